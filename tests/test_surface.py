"""What can be imported: each package shows exactly its `__all__`, and the root stays light."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import prefcast

SOURCE = Path(prefcast.__file__).parent
PACKAGES = sorted(
    ".".join(("prefcast", *path.parent.relative_to(SOURCE).parts)) for path in SOURCE.rglob("__init__.py")
)
HEAVY = {"torch", "transformers", "polars", "numpy", "scipy", "sklearn", "lightgbm", "pandas", "pyarrow", "matplotlib"}


def visible(module: ModuleType) -> set[str]:
    """Names that a user sees: no submodules, nothing private, nothing that ``from __future__`` left."""
    names = {name for name in dir(module) if not name.startswith("_") and name != "annotations"}
    return {name for name in names if not isinstance(getattr(module, name), ModuleType)}


@pytest.mark.parametrize("package", PACKAGES)
def test_package_shows_exactly_its_all(package):
    module = import_module(package)
    assert set(getattr(module, "__all__", [])) - {"__version__"} == visible(module)


@pytest.mark.parametrize("package", PACKAGES)
def test_package_takes_only_what_its_modules_offer(package):
    module = import_module(package)
    for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__" and "._" in node.module:
            offered = import_module(node.module).__all__
            assert {name.name for name in node.names} <= set(offered), node.module


def test_every_public_name_of_the_root_can_be_had():
    assert dir(prefcast) == prefcast.__all__
    for name in prefcast.__all__:
        assert getattr(prefcast, name) is not None, name
    assert set(prefcast._LAZY) <= set(prefcast.__all__)
    with pytest.raises(AttributeError, match="'prefcast' has no attribute 'trian'"):
        prefcast.trian  # noqa: B018


def test_every_error_is_a_prefcast_error():
    names = set(prefcast.errors.__all__)
    assert {name for name in prefcast.__all__ if name.endswith("Error")} == names
    # The tree drawn at the top of the module is the tree that there is.
    assert all(f"{name} " in prefcast.errors.__doc__ for name in names - {"PrefcastError"})
    for package in [*PACKAGES, "prefcast.errors"]:
        for value in vars(import_module(package)).values():
            if isinstance(value, type) and issubclass(value, BaseException):
                assert issubclass(value, prefcast.PrefcastError), value


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running the code."""
    report = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('LOADED', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", report, *arguments], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.rpartition("LOADED")[2].split()}


def test_import_loads_nothing_heavy():
    assert not HEAVY & loaded_by("import prefcast")


def test_help_loads_nothing_heavy():
    loaded = loaded_by("from prefcast.cli import main; main()", "--help")
    assert "typer" in loaded
    assert not (HEAVY | {"rich", "pydantic", "jinja2", "tokenizers"}) & loaded
