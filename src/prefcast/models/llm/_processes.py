"""One program in several processes, as ``torchrun`` and ``accelerate launch`` start it: who speaks, and who waits."""

from __future__ import annotations

import os
import sys

__all__ = ["is_first_process", "wait_for_all"]


def is_first_process() -> bool:
    """Whether this process prints and writes what all of them have made.

    Returns
    -------
    bool
        True for the only process, or the first of several.
    """
    return os.environ.get("RANK", "0") == "0"


def wait_for_all() -> None:
    """Wait until every process is here; return at once if there is only one."""
    if "accelerate" in sys.modules and int(os.environ.get("WORLD_SIZE", "1")) > 1:  # else none has trained, or met
        from accelerate import PartialState

        PartialState().wait_for_everyone()
