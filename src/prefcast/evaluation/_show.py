"""An evaluation as rows of text: shared by the plain table and by the command line."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefcast.evaluation._bootstrap import Interval
from prefcast.evaluation._words import findings

if TYPE_CHECKING:
    from prefcast.evaluation._compare import ClassComparison, Comparison
    from prefcast.evaluation._evaluation import Evaluation

__all__ = ["Table", "comparison_table", "show", "tables"]

_MODELS_SHOWN = 12


@dataclass(frozen=True)
class Table:
    """Rows of text under a title.

    Parameters
    ----------
    title
        What it shows.
    columns
        Headings, all empty if none are needed; the first column is text and the others are figures.
    rows
        As many entries as headings.
    note
        What the reader must know, or nothing.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __str__(self) -> str:
        widths = [max(len(r[k]) for r in (self.columns, *self.rows)) for k in range(len(self.columns))]
        lines = [self.title] if self.title else []
        for row in (self.columns, *self.rows) if any(self.columns) else self.rows:
            cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
            lines.append(f"  {'  '.join(cells)}".rstrip())
        return "\n".join([*lines, f"  {self.note}"] if self.note else lines)


def _value(interval: Interval, spec: str = ".3f") -> str:
    return "-" if math.isnan(interval.value) else f"{interval.value:{spec}}"


def _cell(interval: Interval, spec: str = ".3f") -> str:
    return "-" if math.isnan(interval.value) else f"{interval:{spec}}"


def _headline(e: Evaluation) -> Table:
    rows = [
        ("log loss", _cell(e.log_loss, ".4f")),
        ("accuracy", _cell(e.accuracy, ".1%")),
        ("Brier", _cell(e.brier, ".4f")),
        ("ECE", _cell(e.ece, ".4f")),
    ]
    if e.prior:
        rows.append(("log loss of the class prior", _cell(e.prior.log_loss, ".4f")))
    if e.ceiling:
        rows.append(("log loss of other people's votes*", _cell(e.ceiling.others_log_loss, ".4f")))
        rows.append(("log loss of the forecast there*", _cell(e.ceiling.model_log_loss, ".4f")))
    left = f", {e.without_votes:,} without votes left out" if e.without_votes else ""
    note = f"* on the {e.ceiling.votes:,} votes of {e.ceiling.pairs:,} pairs with several" if e.ceiling else ""
    title = f"{e.n:,} votes in {e.groups:,} groups{left}; 95 % intervals over groups"
    return Table(title, ("", ""), tuple(rows), note)


def _classes(e: Evaluation) -> Table:
    rows = tuple(
        (
            {"a": "A wins", "b": "B wins", "tie": "tie"}[c.name],
            _value(c.share, ".1%"),
            _value(c.forecast, ".1%"),
            _cell(c.log_loss),
            _value(c.recall, ".1%"),
            _value(c.precision, ".1%"),
        )
        for c in e.classes
    )
    return Table("By class", ("", "voted", "forecast", "log loss", "recall", "precision"), rows)


def _ties(e: Evaluation) -> Table:
    t = e.ties
    rows = [
        ("AUC of the tie probability", _cell(t.auc)),
        ("tie probability where people voted tie", _cell(t.when_tie)),
        ("tie probability where they did not", _cell(t.when_decisive)),
    ]
    for name, kind in (("both bad", t.both_bad), ("other ties", t.other_ties)):
        if kind and kind.n:
            rows.append((f"tie probability, {name} ({kind.n:,})", _cell(kind.forecast)))
    return Table("Ties", ("", ""), tuple(rows))


def _effects(e: Evaluation) -> Table:
    f = e.effects
    sides = [
        ("share of A minus share of B", f.position, "+.3f"),
        (f"longer answer wins ({f.length.n:,})", f.length.wins, ".3f"),
        ("slope on log length ratio", f.length.slope, "+.3f"),
        (f"more markdown wins ({f.markdown.n:,})", f.markdown.wins, ".3f"),
        ("slope on log markdown ratio", f.markdown.slope, "+.3f"),
        (f"identical answers tie ({f.identical.n:,})", f.identical.tie, ".3f"),
    ]
    rows = tuple((name, _cell(side.people, spec), _cell(side.forecasts, spec)) for name, side, spec in sides)
    return Table("Effects, side by side", ("", "people", "forecasts"), rows)


def _calibration(e: Evaluation) -> Table:
    names = {"a": "A", "b": "B", "tie": "tie"}
    found = {(c.name, round(b.low * 10)): b for c in e.calibration for b in c.bins}
    rows = []
    for k in range(10):
        cells = [f"{k / 10:.1f} to {(k + 1) / 10:.1f}"]
        for c in e.calibration:
            b = found.get((c.name, k))
            cells += [f"{b.forecast:.2f}  {_value(b.observed, '.2f')}", f"{b.n:,}"] if b else ["-", "-"]
        if any((c.name, k) in found for c in e.calibration):
            rows.append(tuple(cells))
    heads = [h for c in e.calibration for h in (f"{names[c.name]}: mean  seen", "n")]
    return Table("Calibration: mean forecast and observed share by probability", ("", *heads), tuple(rows))


def _slices(e: Evaluation) -> Table:
    rows = tuple(
        (
            f"{s.kind}: {s.name}"[:44] + "*" * s.few,
            f"{s.n:,}",
            f"{s.groups:,}",
            _cell(s.log_loss),
            _value(s.accuracy, ".1%"),
        )
        for s in e.slices
    )
    note = "* under 50 battles or 10 groups: says little" if any(s.few for s in e.slices) else ""
    return Table("Slices", ("", "n", "groups", "log loss", "accuracy"), rows, note)


def _models(e: Evaluation) -> Table:
    rows = tuple(
        (
            m.name[:34] + "*" * m.few,
            f"{m.n:,}",
            _cell(m.log_loss),
            _cell(m.win_rate.people, ".2f"),
            _value(m.win_rate.forecasts, ".2f"),
        )
        for m in e.models[:_MODELS_SHOWN]
    )
    hidden = len(e.models) - len(rows)
    notes = ["* under 50 battles or 10 groups: says little"] if any(m.few for m in e.models[:_MODELS_SHOWN]) else []
    notes += [f"{hidden} more chatbots in the JSON"] if hidden else []
    return Table("Chatbots", ("", "n", "log loss", "win rate", "forecast"), rows, "; ".join(notes))


def tables(evaluation: Evaluation) -> Sequence[Table]:
    """Lay an evaluation out as tables.

    Parameters
    ----------
    evaluation
        The figures.

    Returns
    -------
    sequence of Table
        At most 100 characters wide, the most important first.
    """
    made = [
        _headline(evaluation),
        _classes(evaluation),
        _ties(evaluation),
        _effects(evaluation),
        _calibration(evaluation),
        _slices(evaluation),
        _models(evaluation),
    ]
    return [table for table in made if table.rows]


def comparison_table(comparison: Comparison) -> Table:
    """Lay a comparison out as one table.

    Parameters
    ----------
    comparison
        The differences.

    Returns
    -------
    Table
        Differences over all votes and by class.
    """
    lines: list[tuple[str, Comparison | ClassComparison]] = [("all votes", comparison)]
    lines += [(f"votes for {c.name}", c) for c in comparison.classes]
    rows = tuple((name, _cell(c.log_loss, "+.4f"), _cell(c.brier, "+.4f"), _cell(c.error, "+.4f")) for name, c in lines)
    title = (
        f"First minus second on {comparison.n:,} votes in {comparison.groups:,} groups; below 0, the first is better"
    )
    return Table(title, ("", "log loss", "Brier", "error rate"), rows)


def show(evaluation: Evaluation) -> str:
    """Return the tables and the findings as plain text.

    Parameters
    ----------
    evaluation
        The figures.

    Returns
    -------
    str
        Several lines.
    """
    said = "\n".join(textwrap.fill(sentence, 100) for sentence in findings(evaluation))
    return "\n\n".join([*(str(t) for t in tables(evaluation)), said])
