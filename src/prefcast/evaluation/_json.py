"""Figures as JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import secrets
from pathlib import Path
from typing import Any

from prefcast.errors import DataError

__all__ = ["plain", "write_json"]


def plain(value: Any) -> Any:
    """Turn dataclasses and tuples into JSON values; a figure that is not defined becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def write_json(value: dict[str, Any], path: str | Path) -> None:
    """Write JSON whole or not at all.

    Parameters
    ----------
    value
        JSON values.
    path
        Where to; missing folders are made.

    Raises
    ------
    DataError
        The place cannot be written to.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(target)
    except OSError as error:
        raise DataError(f"cannot write {path} ({error}); choose a place that you may write to.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
