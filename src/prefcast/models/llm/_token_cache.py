"""Tokens kept for the next time the same texts are asked for: in memory and, if a folder is given, in Arrow files."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from prefcast.battles import Battles
from prefcast.errors import DataError
from prefcast.models.llm._encoder import backend_of
from prefcast.models.llm._sequences import Sequences
from prefcast.models.llm._template import Template
from prefcast.models.llm._tokenized import TokenizedBattles

__all__ = ["TokenCache", "cache_key"]

_FORMAT: Final = 1
"""Raised when the same template and texts would give other tokens."""


class TokenCache:
    """Tokenised battles by what they were made of.

    Parameters
    ----------
    folder
        Where they are also written, one Arrow file each; made when needed. Files there can be deleted at any time.
    keep
        How many are held in memory, the latest used.
    """

    def __init__(self, folder: str | Path | None = None, keep: int = 2) -> None:
        self._folder = None if folder is None else Path(folder)
        self._keep = keep
        self._held: dict[str, TokenizedBattles] = {}

    def get(self, key: str) -> TokenizedBattles | None:
        """Give what was put under a key, or None. A damaged file is as good as none: it is made again."""
        found = self._held.pop(key, None)
        if found is None and self._folder is not None:
            try:
                found = _read(self._folder / f"{key}.arrow")
            except (OSError, ValueError, KeyError):
                return None
        if found is not None:
            self._hold(key, found)
        return found

    def put(self, key: str, value: TokenizedBattles) -> None:
        """Keep tokenised battles under a key.

        Raises
        ------
        DataError
            The folder cannot be written to.
        """
        self._hold(key, value)
        if self._folder is None:
            return
        target = self._folder / f"{key}.arrow"
        part = target.with_name(f".{key}.{secrets.token_hex(4)}.partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(value, part)
            part.replace(target)
        except OSError as error:
            raise DataError(
                f"cannot write {target} ({error}); give a folder for tokens that you may write to."
            ) from error
        finally:
            part.unlink(missing_ok=True)

    def _hold(self, key: str, value: TokenizedBattles) -> None:
        self._held[key] = value
        while len(self._held) > self._keep:
            del self._held[next(iter(self._held))]


def cache_key(battles: Battles, template: Template, tokenizer: Any, max_tokens: int) -> str:
    """SHA-256 of all that tokens depend on.

    Parameters
    ----------
    battles
        Their ids, texts and votes.
    template
        All its values.
    tokenizer
        A fast tokenizer.
    max_tokens
        Longest sequence.

    Returns
    -------
    str
        Hexadecimal.
    """
    special = sorted(getattr(tokenizer, "all_special_ids", ()))
    digest = hashlib.sha256(json.dumps([_FORMAT, template.to_dict(), max_tokens, special]).encode())
    digest.update(backend_of(tokenizer).to_str().encode())
    digest.update(battles.fingerprint().encode())
    return digest.hexdigest()


def _write(value: TokenizedBattles, path: Path) -> None:
    columns: dict[str, pa.Array] = {}
    for name in ("given", "swapped"):
        sequences: Sequences = getattr(value, name)
        columns[name] = pa.LargeListArray.from_arrays(pa.array(sequences.offsets), pa.array(sequences.ids))
        columns[f"{name} prefix"] = pa.array(sequences.prefix)
    columns["exchange"], columns["identical"] = pa.array(value.exchange), pa.array(value.identical)
    for name in value.cut.columns:
        columns[f"cut {name}"] = value.cut[name].to_arrow(compat_level=pl.CompatLevel.oldest())
    table = pa.table(columns)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table)


def _read(path: Path) -> TokenizedBattles:
    with pa.OSFile(str(path), "rb") as file:
        table = pa.ipc.open_file(file).read_all()
    both = []
    for name in ("given", "swapped"):
        lists = table[name].combine_chunks()
        ids, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
        both.append(Sequences(ids.astype(np.int32), offsets.astype(np.int64), _numpy(table, f"{name} prefix")))
    names = [name for name in table.column_names if name.startswith("cut ")]
    cut = pl.DataFrame({name.removeprefix("cut "): pl.Series(table[name]) for name in names})
    return TokenizedBattles(both[0], both[1], _numpy(table, "exchange"), _numpy(table, "identical"), cut)


def _numpy(table: Any, name: str) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = table[name].to_numpy()
    return values
