"""The extra packages of the LLM, imported when first needed, and one line on how to get them."""

from __future__ import annotations

import importlib
import logging
from types import ModuleType

from prefcast.errors import EngineError

__all__ = ["need"]

_EXTRAS = {"bitsandbytes": "quant", "torchao": "quant", "vllm": "vllm"}


def need(module: str, what: str = "a language model") -> ModuleType:
    """Import a module of an extra.

    Parameters
    ----------
    module
        Its name, such as ``"torch"``.
    what
        What it is needed for.

    Returns
    -------
    ModuleType
        The module.

    Raises
    ------
    EngineError
        It is not installed; the message says what to type.
    """
    extra = _EXTRAS.get(module.split(".")[0], "llm")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # torchao and bitsandbytes warn, while imported, of kernels for other machines
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        name = module.split(".")[0]
        raise EngineError(f"{what} needs {name}, which is not installed: pip install 'prefcast[{extra}]'") from error
    finally:
        logging.disable(before)
