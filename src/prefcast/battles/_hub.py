"""Data sets of the Hugging Face Hub; the only module here that may use the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from prefcast.battles._frames import from_arrow, guarded
from prefcast.battles._raw import Raw
from prefcast.errors import DataError

__all__ = ["from_hub"]

_SCHEME = "hf://datasets/"
_ROWS = 10_000


def from_hub(address: str) -> Iterator[Raw]:
    """Fetch and read ``hf://datasets/owner/name[/path/to/file][?split=name&config=name]``.

    Raises
    ------
    DataError
        The ``hub`` extra is not installed, the address is none, or it cannot be fetched.
    """
    where, _, query = address.removeprefix(_SCHEME).partition("?")
    parts = where.strip("/").split("/")
    if not address.startswith(_SCHEME) or len(parts) < 2 or not all(parts):
        raise DataError(f"{address} is no address of a data set: type hf://datasets/owner/name.")
    try:
        import datasets
    except ImportError:
        raise DataError(f"reading {address} needs the hub extra: pip install 'prefcast[hub]'.") from None
    options = {k: v[0] for k, v in parse_qs(query).items()}
    path = "/".join(parts[2:]) or None
    try:
        loaded = datasets.load_dataset("/".join(parts[:2]), options.get("config"), data_files=path)
    except Exception as error:  # whatever the network and the Hub answer, as one sentence
        raise DataError(f"{address} cannot be fetched: {str(error).strip() or type(error).__name__}") from error
    table = _split(loaded, options.get("split"), address).with_format("arrow")
    with guarded(address):
        for batch in table.iter(batch_size=_ROWS):
            yield from_arrow(batch, batch.column_names)


def _split(loaded: Any, split: str | None, address: str) -> Any:
    names = list(loaded)
    if split is None:
        split = "train" if "train" in names else names[0] if len(names) == 1 else None
    if split not in names:
        typed = f"{address.partition('?')[0]}?split={names[0]}"
        raise DataError(f"{address} has the splits {', '.join(names)}: type one of them, as in {typed}.")
    return loaded[split]
