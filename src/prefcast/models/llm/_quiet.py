"""Other libraries kept from printing: what they would warn of is checked by prefcast, and refused."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from prefcast.models.llm._need import need

__all__ = ["quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers, peft and what they import from printing reports, bars and warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # libraries warn of kernels that they could not load while they are imported
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft calls what transformers is about to rename
            said = need("transformers").utils.logging
            level, bars = said.get_verbosity(), said.is_progress_bar_enabled()
            said.set_verbosity_error()
            said.disable_progress_bar()
            try:
                yield
            finally:
                said.set_verbosity(level)
                if bars:
                    said.enable_progress_bar()
    finally:
        logging.disable(before)
