"""Everything here needs torch, and nothing here may reach the network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))  # for tiny.py

torch = pytest.importorskip("torch", reason="needs the llm extra: pip install 'prefcast[llm]'")
torch.set_num_threads(1)
