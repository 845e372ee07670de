"""A progress bar on standard error, for what takes longer than two seconds."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

__all__ = ["progress_bar"]

_PATIENCE = 2.0
"""Seconds before the bar appears: what is quicker says nothing."""


@contextlib.contextmanager
def progress_bar(what: str, *, quiet: bool = False) -> Iterator[Callable[[str, float], None]]:
    """Give a function to tell progress to; a bar follows it on standard error if that is a terminal.

    Parameters
    ----------
    what
        A few words shown before the first progress.
    quiet
        Show nothing, for all but one of several processes.

    Yields
    ------
    Callable
        Called with a few words and the share done, from 0 to 1; 0 means that the share is not known yet.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda words, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None)
    # A timer and not the first call starts it: the first call may be what takes long.
    timer = threading.Timer(_PATIENCE, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda words, share: bar.update(task, description=words, completed=share, total=1.0 if share else None)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
