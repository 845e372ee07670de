"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real human votes; skips where there is none.

    With ``CI`` set a missing folder fails, unless ``PREFCAST_DATA`` is set to nothing to say that there are no votes.
    """
    given = os.environ.get("PREFCAST_DATA")
    folder = Path(given) if given else ROOT.parent / "shared" / "data"
    if given == "" or (not (folder / "mt_bench").is_dir() and not os.environ.get("CI")):
        pytest.skip("needs the real votes: set PREFCAST_DATA to the folder that holds mt_bench/votes.parquet")
    return folder
