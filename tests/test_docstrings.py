"""Every public name is documented in the numpydoc form, as numpydoc itself checks it."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest
from numpydoc.validate import ERROR_MSGS, validate

import prefcast

SOURCE = Path(prefcast.__file__).parent
PACKAGES = sorted(
    ".".join(("prefcast", *path.parent.relative_to(SOURCE).parts)) for path in SOURCE.rglob("__init__.py")
)

LEFT_OUT = {
    "GL01": "the summary starts on the line of the quotes (ruff's D212 and D213 exclude each other)",
    "GL02": "a docstring of one line closes on it",
    "ES01": "a summary that says everything needs no second paragraph",
    "SA01": "no See Also for its own sake",
    "EX01": "examples stand where they help, and run as doctests",
    "SS05": "takes every summary that starts with a plural noun for a verb in the third person",
    "PR04": "types stand in the annotations, which mypy checks",
    "PR08": "a description may start with a literal or a column's name",
    "RT02": "the type stands before the description, unnamed",
    "RT04": "as PR08",
}
CHECKED = set(ERROR_MSGS) - set(LEFT_OUT)
SECTIONS = {"PR01", "RT01", "YD01"}
"""Parameters, Returns or Yields missing: a method may do without any section, a function or class may not.

A protocol is never called, so it has no parameters to document.
"""


def public_names(package):
    """Yield (name, whether it may be short) of functions and classes in ``__all__``, and of their methods."""
    module = import_module(package)
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)) or not value.__module__.startswith("prefcast"):
            continue
        yield f"{package}.{name}", getattr(value, "_is_protocol", False)
        for member, what in vars(value).items() if inspect.isclass(value) else ():
            if not member.startswith("_") and isinstance(
                what, property | classmethod | staticmethod | type(public_names)
            ):
                yield f"{package}.{name}.{member}", True


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings(package):
    problems = []
    for name, may_be_short in public_names(package):
        report = validate(name)
        checked = (
            CHECKED - SECTIONS if may_be_short and "\n---" not in inspect.cleandoc(report["docstring"]) else CHECKED
        )
        problems += [f"{name}: {code} {text}" for code, text in report["errors"] if code in checked]
    assert not problems, "\n" + "\n".join(problems)


def test_the_list_of_checks_left_out_names_real_checks():
    assert set(LEFT_OUT) <= set(ERROR_MSGS)
