"""How good forecasts are: probabilities and votes in, numbers with intervals out. Knows no model."""

from prefcast.evaluation._bootstrap import Interval, PairedInterval, mean_interval, paired_interval
from prefcast.evaluation._ceiling import Ceiling
from prefcast.evaluation._compare import ClassComparison, Comparison, compare_forecasts
from prefcast.evaluation._effects import Effect, Effects, Identical
from prefcast.evaluation._evaluation import Evaluation, evaluate
from prefcast.evaluation._forecasts import read_forecasts
from prefcast.evaluation._json import write_json
from prefcast.evaluation._metrics import accuracy, brier, ece, log_loss, row_brier, row_hit, row_log_loss
from prefcast.evaluation._scored import SideBySide
from prefcast.evaluation._scores import ClassScores, Prior, Reliability, ReliabilityBin, TieKind, TieScores
from prefcast.evaluation._show import Table, comparison_table, tables
from prefcast.evaluation._slices import ModelSlice, Slice
from prefcast.evaluation._words import findings, verdict

__all__ = [
    "Ceiling",
    "ClassComparison",
    "ClassScores",
    "Comparison",
    "Effect",
    "Effects",
    "Evaluation",
    "Identical",
    "Interval",
    "ModelSlice",
    "PairedInterval",
    "Prior",
    "Reliability",
    "ReliabilityBin",
    "SideBySide",
    "Slice",
    "Table",
    "TieKind",
    "TieScores",
    "accuracy",
    "brier",
    "compare_forecasts",
    "comparison_table",
    "ece",
    "evaluate",
    "findings",
    "log_loss",
    "mean_interval",
    "paired_interval",
    "read_forecasts",
    "row_brier",
    "row_hit",
    "row_log_loss",
    "tables",
    "verdict",
    "write_json",
]
