"""From raw columns to battles and findings: what reading and checking share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from prefcast.battles._layouts import Layout, detect
from prefcast.battles._messages import coin, read_chosen, read_conversations
from prefcast.battles._problems import Log
from prefcast.battles._raw import Raw
from prefcast.battles._table import Battles
from prefcast.battles._turns import Column, equal_turns, looks_json, read_turns
from prefcast.battles._votes import read_flags, read_names, read_shares, read_weights, read_winners
from prefcast.errors import DataError

__all__ = ["TEXTS", "Parsed", "Parser", "Texts"]

Texts = Literal["auto", "json", "plain"]
TEXTS: Final = ("prompt", "response_a", "response_b")
_UNREAD: Final = ("broken_json", "wrong_type")
_WORST: Final = ("ragged_row", "broken_line")


@dataclass(frozen=True)
class Parsed:
    """Battles of a part of a table, and everything found in it; rows with an error hold stand-ins."""

    frame: pl.DataFrame
    found: pl.DataFrame


class Parser:
    """Reads the parts of one table in turn; remembers its layout and how its texts stand.

    Parameters
    ----------
    name
        What to call the table in errors.
    texts
        Whether strings are JSON lists, plain texts, or to be told from the file.
    source_name
        Value of ``source`` where the table has none.
    seed
        Seed of the order in which chosen and rejected answers are put.
    start
        Number of the first row.
    """

    def __init__(self, name: str, *, texts: Texts, source_name: str | None, seed: int, start: int = 0) -> None:
        if texts not in ("auto", "json", "plain"):
            raise DataError(f"layout={texts!r} is unknown: it is 'auto', 'json' or 'plain'.")
        self.rows = start
        self._name = name
        self._source_name = source_name
        self._seed = seed
        self._fixed = texts != "auto"
        self._as_json = {"json": True, "plain": False, "auto": None}[texts]

    def parse(self, raw: Raw) -> Parsed:
        """Read the next part of the table.

        Raises
        ------
        DataError
            The columns are those of no layout.
        """
        if not raw.present and raw.found.height:
            raise DataError(f"{self._name} holds no objects with columns; row 0: {raw.found['detail'][0]}")
        layout = detect(raw.present, self._name)
        log = Log(self.rows)
        ids = self._ids(raw, layout, log)
        columns = {"id": ids, **self._texts(raw, layout, ids, log), **self._votes(raw, layout, log)}
        columns |= self._names(raw, layout) | self._numbers(raw, layout, log, columns)
        frame = pl.DataFrame(columns)
        found = self._found(raw, log, frame)
        self.rows += raw.height
        return Parsed(Battles.from_frame(frame).frame, found)

    def _found(self, raw: Raw, log: Log, frame: pl.DataFrame) -> pl.DataFrame:
        """Join what was found in rows and in cells, and name the rows by their ids."""
        before = raw.found.with_columns(pl.col("row") + self.rows)
        lost = before.filter(pl.col("kind").is_in(_WORST))["row"]
        after = log.found().filter(~pl.col("row").is_in(lost.implode()))
        # a cell that cannot be read has a stand-in of one turn: that it was padded says nothing
        unread = after.filter(pl.col("kind").is_in(_UNREAD))["row"]
        after = after.filter((pl.col("kind") != "unequal_turns") | ~pl.col("row").is_in(unread.implode()))
        found = pl.concat([before, after]).sort("row", maintain_order=True)
        return found.with_columns(frame["id"].gather(found["row"] - self.rows).alias("id"))

    def _ids(self, raw: Raw, layout: Layout, log: Log) -> pl.Series:
        name = layout.named("id", raw.present)
        if name is None:
            return pl.int_range(self.rows, self.rows + raw.height, eager=True).cast(pl.String).alias("id")
        ids = read_names(raw.columns[name]).alias("id")
        log.add("null_id", name, np.flatnonzero(ids.is_null().to_numpy()), "the id is empty")
        return ids

    def _texts(self, raw: Raw, layout: Layout, ids: pl.Series, log: Log) -> dict[str, pl.Series]:
        columns = raw.columns
        if layout.texts == "conversations":
            last = columns[layout.last_turn] if layout.last_turn else None
            a, b = layout.needs[:2]
            frame = read_conversations(columns[a], columns[b], (a, b), log, last)
            return equal_turns(frame, TEXTS, log).to_dict()
        as_json = self._tell({n: columns[n] for n in layout.needs}, log)
        if layout.texts == "turns":
            turns = {n: read_turns(columns[n], n, as_json=as_json, log=log).alias(n) for n in TEXTS}
            return equal_turns(pl.DataFrame(turns), TEXTS, log).to_dict()
        numbered = [str(i) if key is None else key for i, key in enumerate(ids, self.rows)]
        flipped = coin(numbered, self._seed)
        frame = read_chosen(
            columns["chosen"], columns["rejected"], columns.get("prompt"), flipped, as_json=as_json, log=log
        )
        votes = {"vote_a": (~flipped).astype(np.float64), "vote_b": flipped.astype(np.float64)}
        frame = equal_turns(frame, TEXTS, log).with_columns(
            flipped=pl.Series(flipped), vote_tie=pl.lit(0.0), **{k: pl.Series(v) for k, v in votes.items()}
        )
        return frame.to_dict()

    def _tell(self, columns: dict[str, Column], log: Log) -> bool:
        """Tell whether strings are JSON lists of turns: all cells look so, or none do; the first rows decide."""
        if self._fixed:
            return bool(self._as_json)
        seen = {name: looks_json(column) for name, column in columns.items()}
        listed = any(mask.any() for mask, _ in seen.values())
        plain = any(mask.any() for _, mask in seen.values())
        if self._as_json is None and (listed or plain):
            self._as_json = listed
        if self._as_json is False and listed:
            for name, (mask, _) in seen.items():
                log.add("mixed_texts", name, np.flatnonzero(mask), "a JSON list, where the rows before are plain texts")
        return bool(self._as_json)

    def _votes(self, raw: Raw, layout: Layout, log: Log) -> dict[str, pl.Series]:
        names = layout.votes(raw.present)
        if not names:
            return {}
        bad = None
        if len(names) == 3:
            shares = read_shares([raw.columns[n] for n in names], names, log)
        else:
            shares, bad = read_winners(raw.columns[names[0]], names[0], log)
        votes = {c: pl.Series(shares[:, i]).fill_nan(None) for i, c in enumerate(("vote_a", "vote_b", "vote_tie"))}
        return votes if bad is None else {**votes, "both_bad": pl.Series(bad)}

    def _names(self, raw: Raw, layout: Layout) -> dict[str, pl.Series]:
        found: dict[str, pl.Series] = {}
        for column in ("model_a", "model_b", "source", "group", "annotator", "language"):
            name = layout.named(column, raw.present)
            if name is not None:
                found[column] = read_names(raw.columns[name])
        if self._source_name is not None:
            source = found.get("source", pl.Series([None], dtype=pl.String).new_from_index(0, raw.height))
            found["source"] = source.fill_null(self._source_name)
        return found

    def _numbers(self, raw: Raw, layout: Layout, log: Log, known: dict[str, pl.Series]) -> dict[str, pl.Series]:
        found: dict[str, pl.Series] = {}
        weight = layout.named("weight", raw.present)
        if weight is not None:
            found["weight"] = pl.Series(read_weights(raw.columns[weight], weight, log))
        for column in ("both_bad", "flipped"):
            name = layout.named(column, raw.present)
            if name is None or (column == "flipped" and column in known):
                continue
            flags = pl.Series(read_flags(raw.columns[name], name, log))
            found[column] = flags | known[column] if column in known else flags
        return found
