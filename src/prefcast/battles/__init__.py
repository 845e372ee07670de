"""What a battle is: table, reading, checking, grouping and folds, simulating, submission files."""

from prefcast.battles._table import CLASSES, SCHEMA, Battles

__all__ = ["CLASSES", "SCHEMA", "Battles"]
