"""What a battle is: table, reading, checking, grouping and folds, simulating, submission files."""

from prefcast.battles._check import Diagnosis, check_battles
from prefcast.battles._folds import Folds, hold_out_groups, hold_out_models, make_folds
from prefcast.battles._groups import find_groups
from prefcast.battles._read import iter_battles, read_battles
from prefcast.battles._repair import Repair, repair_battles
from prefcast.battles._simulate import Simulation, simulate
from prefcast.battles._submission import SUBMISSION_COLUMNS, SubmissionWriter, read_submission_ids, write_submission
from prefcast.battles._table import CLASSES, SCHEMA, Battles
from prefcast.battles._vote_model import VoteModel, best_possible
from prefcast.battles._write import write_battles

__all__ = [
    "CLASSES",
    "SCHEMA",
    "SUBMISSION_COLUMNS",
    "Battles",
    "Diagnosis",
    "Folds",
    "Repair",
    "Simulation",
    "SubmissionWriter",
    "VoteModel",
    "best_possible",
    "check_battles",
    "find_groups",
    "hold_out_groups",
    "hold_out_models",
    "iter_battles",
    "make_folds",
    "read_battles",
    "read_submission_ids",
    "repair_battles",
    "simulate",
    "write_battles",
    "write_submission",
]
