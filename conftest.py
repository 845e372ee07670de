"""What every collection needs, of the tests and of the examples in docstrings."""

import os
from importlib.util import find_spec

os.environ.setdefault("TRITON_INTERPRET", "1")  # read when a kernel is first imported: kernels run without a GPU

# Triton is for Linux only; elsewhere its kernel cannot be imported, nor is it ever.
collect_ignore = [] if find_spec("triton") else ["src/prefcast/models/llm/_triton.py"]
