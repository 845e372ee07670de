"""Writing battles in the competition's layout, whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import polars as pl

from prefcast.battles._table import Battles
from prefcast.errors import DataError

__all__ = ["WRITE_SUFFIXES", "write_battles"]

WRITE_SUFFIXES: Final = (".csv", ".parquet", ".jsonl")

_TEXTS: Final = ("prompt", "response_a", "response_b")
_VOTES: Final = {"winner_model_a": "vote_a", "winner_model_b": "vote_b", "winner_tie": "vote_tie"}
_EXTRAS: Final = {
    "source": "source", "group_id": "group", "annotator": "annotator", "language": "language",
    "weight": "weight", "both_bad": "both_bad", "flipped": "flipped",
}  # fmt: skip
_PLAIN: Final[dict[str, object]] = {"weight": 1.0, "both_bad": False, "flipped": False}


def write_battles(battles: Battles, path: str | os.PathLike[str]) -> Path:
    """Write battles in the competition's layout: ``id, model_a, ..., winner_tie``.

    The texts are JSON lists of turns (in ``.jsonl``: lists). Votes are 0 and 1 if every one is whole, otherwise shares.
    Model names, votes and the columns source, group_id, annotator, language, weight, both_bad and flipped are written
    only if a battle has any. The file appears whole or not at all.

    Parameters
    ----------
    battles
        n battles.
    path
        ``.csv``, ``.parquet`` or ``.jsonl``; its folder must exist.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        The suffix is another, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from prefcast.battles import simulate, write_battles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_battles(simulate(5).battles, f"{folder}/battles.csv")
    ...     print(path.read_text().splitlines()[0])
    id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie,language
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in WRITE_SUFFIXES:
        raise DataError(f"{target} ends in {suffix or 'nothing'}; battles are written to {', '.join(WRITE_SUFFIXES)}.")
    layout = _layout(battles.frame)
    if suffix != ".jsonl":
        layout = layout.with_columns(_json(c) for c in _TEXTS)
    part = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        if suffix == ".csv":
            layout.write_csv(part)
        elif suffix == ".parquet":
            layout.write_parquet(part)
        else:
            layout.write_ndjson(part)
        part.replace(target)
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error}). Give a path in a folder that exists.") from None
    finally:
        part.unlink(missing_ok=True)
    return target


def _layout(frame: pl.DataFrame) -> pl.DataFrame:
    columns = [pl.col("id")]
    if frame.select(pl.any_horizontal(pl.col("model_a", "model_b").is_not_null()).any()).item():
        columns += [pl.col("model_a"), pl.col("model_b")]
    columns += [pl.col(c) for c in _TEXTS]
    votes = frame.select(_VOTES.values())
    if votes["vote_a"].is_not_null().any():
        whole = votes.select(pl.all_horizontal(pl.all().is_in([0.0, 1.0]).all())).item()
        columns += [pl.col(v).cast(pl.Int8 if whole else pl.Float64).alias(name) for name, v in _VOTES.items()]
    columns += [pl.col(c).alias(name) for name, c in _EXTRAS.items() if _told(frame[c], name)]
    return frame.select(columns)


def _told(values: pl.Series, name: str) -> bool:
    plain = _PLAIN.get(name)
    return bool((values.is_not_null() if plain is None else values != plain).any())


def _json(column: str) -> pl.Expr:
    """A column of turns as JSON lists: a struct of it alone, without the braces and the name."""
    name = len(f'{{"{column}":')
    encoded = pl.struct(column).struct.json_encode()
    return encoded.str.slice(name, encoded.str.len_chars() - name - 1).alias(column)
