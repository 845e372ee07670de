"""Write a clean table: rows with an error left out, cells mended, and a list of every change."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Final

import polars as pl

from prefcast.battles._check import Diagnosis, check_battles
from prefcast.battles._parse import Texts
from prefcast.battles._problems import KINDS
from prefcast.battles._read import Source
from prefcast.battles._table import Battles
from prefcast.battles._write import write_battles
from prefcast.errors import DataError

__all__ = ["Repair", "repair_battles"]

CHANGES_SCHEMA: Final[dict[str, pl.DataType]] = {
    "row": pl.Int64(),
    "id": pl.String(),
    "column": pl.String(),
    "action": pl.String(),
    "reason": pl.String(),
}


@dataclass(frozen=True, eq=False)
class Repair:
    """A repaired table and what was changed.

    Parameters
    ----------
    battles
        The battles that are left.
    changes
        One row per change: ``row`` of the table repaired, ``id``, ``column``, ``action`` (``row dropped``,
        ``cell repaired`` or ``id changed``) and ``reason``.
    path
        The file written.
    """

    battles: Battles
    changes: pl.DataFrame
    path: Path


def repair_battles(
    source: Source | Diagnosis,
    target: str | PathLike[str],
    against: Source | None = None,
    *,
    layout: Texts = "auto",
    seed: int = 0,
) -> Repair:
    """Write what can be used of a table of battles.

    Rows with an error are left out; repeated ids get a suffix; cells that reading mends are written as they were read.

    Parameters
    ----------
    source
        What to repair, as for `read_battles`, or the diagnosis of it.
    target
        Where to write: ``.csv``, ``.parquet`` or ``.jsonl``, in the competition's layout. It appears whole or not at
        all.
    against
        A second table: rows of a group that stands in it are left out too.
    layout, seed
        As for `read_battles`.

    Returns
    -------
    Repair
        The battles written, and every change.

    Raises
    ------
    DataError
        The source cannot be read at all, no row is left, or the target cannot be written.
    """
    diagnosis = source if isinstance(source, Diagnosis) else check_battles(source, against, layout=layout, seed=seed)
    problems = diagnosis.problems
    errors = problems.filter((pl.col("severity") == "error") & (pl.col("kind") != "duplicate_id"))
    dropped = _dropped(errors)
    rows = diagnosis.frame.with_row_index("row").cast({"row": pl.Int64})
    kept = rows.join(errors.select("row").unique(), on="row", how="anti", maintain_order="left")
    if kept.height == 0:
        raise DataError(f"{diagnosis.name} has an error in every row: nothing is left to write. See prefcast check.")
    renamed = _renamed(kept)
    battles = Battles(kept.with_columns(renamed["new"].alias("id")).drop("row"))
    changed = renamed.filter(pl.col("id") != pl.col("new"))
    changes = pl.concat([dropped, _mended(problems, errors), _ids(changed)]).sort("row", maintain_order=True)
    return Repair(battles, changes, write_battles(battles, target))


def _dropped(errors: pl.DataFrame) -> pl.DataFrame:
    titles = pl.col("kind").replace_strict({k: v.title for k, v in KINDS.items()}, return_dtype=pl.String)
    reasons = errors.with_columns(reason=pl.format("{}: {}", titles, "detail"))
    by_row = reasons.group_by("row", maintain_order=True)
    return _as_changes(
        by_row.agg(pl.col("id").first(), pl.col("column").first(), pl.col("reason").str.join("; ")), "row dropped"
    )


def _mended(problems: pl.DataFrame, errors: pl.DataFrame) -> pl.DataFrame:
    """Say which cells stand otherwise in the clean file; those of dropped rows are gone."""
    mended = [name for name, kind in KINDS.items() if kind.mends]
    cells = problems.filter(pl.col("kind").is_in(mended)).join(errors.select("row").unique(), on="row", how="anti")
    return _as_changes(cells.with_columns(reason="detail"), "cell repaired")


def _renamed(kept: pl.DataFrame) -> pl.DataFrame:
    """Give each repeated id a suffix, the first one excepted, such that no two are left the same."""
    ids = kept.select("row", "id")
    taken = set(ids["id"].to_list())
    new = ids["id"].to_list()
    for i in ids["id"].is_first_distinct().not_().arg_true():
        number = 2
        while f"{new[i]}-{number}" in taken:
            number += 1
        new[i] = f"{new[i]}-{number}"
        taken.add(new[i])
    return ids.with_columns(pl.Series("new", new, dtype=pl.String))


def _ids(changed: pl.DataFrame) -> pl.DataFrame:
    said = pl.format("an earlier row has the same id: this one is now {}", pl.col("new"))
    return _as_changes(changed.select("row", "id", column=pl.lit("id"), reason=said), "id changed")


def _as_changes(frame: pl.DataFrame, action: str) -> pl.DataFrame:
    return frame.with_columns(action=pl.lit(action)).select(pl.col(c).cast(t) for c, t in CHANGES_SCHEMA.items())
