"""Templates: how a battle becomes one text. Data, stored with the model; the packaged ones are TOML files."""

from __future__ import annotations

import string
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, Self

import pydantic

from prefcast.errors import RecipeError

__all__ = ["Template", "load_template", "template_names"]

_PACKAGE: Final = "prefcast.models.llm"


class Template(pydantic.BaseModel):
    r"""How a battle becomes one text.

    Parameters
    ----------
    name
        Its name.
    layout
        ``"rounds"``: per turn the prompt and both answers. ``"fields"``: all prompts, all answers of A, all of B.
    cut
        ``"middle"``: a long text loses its middle, within a budget shared by all texts. ``"right"``: the whole loses
        its end, but for the suffix, so that B may be missing; for comparison.
    joined
        Tokenise the whole text in one piece, as the notebook does. Needs ``cut = "right"``.
    prompt, answer_a, answer_b
        The mark before each text. No text of a user can contain one; special tokens of the tokenizer may stand here.
    next_round
        Stands between rounds.
    join
        Stands between turns where ``layout = "fields"``.
    suffix
        The end, never cut.
    cut_mark
        Stands where a text lost its middle.
    left_out
        Stands before the first round where earlier ones are left out.
    minimum
        Tokens that every text kept has at least, where it has as many.
    escape
        Put behind the first character of a mark in a user's text, so that it is no mark.

    Examples
    --------
    >>> load_template("default").answer_b
    '\n\n[Answer B]\n'
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = pydantic.Field(min_length=1)
    layout: Literal["rounds", "fields"] = "rounds"
    cut: Literal["middle", "right"] = "middle"
    joined: bool = False
    prompt: str
    answer_a: str
    answer_b: str
    next_round: str = ""
    join: str = " "
    suffix: str = ""
    cut_mark: str = " [… cut …] "
    left_out: str = ""
    minimum: int = pydantic.Field(default=16, ge=1)
    escape: str = "\\"

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.answer_a == self.answer_b or not (self.answer_a.strip() and self.answer_b.strip()):
            raise ValueError("answer_a and answer_b must be two different marks, neither blank")
        if len(self.escape) != 1 or self.escape not in string.punctuation:
            raise ValueError(f"escape must be one of {string.punctuation}")
        if any(self.escape in mark for mark in self.marks):
            raise ValueError("no mark may contain the escape")
        if self.joined and (self.cut != "right" or self.layout != "fields" or self.suffix):
            raise ValueError('joined = true needs layout = "fields", cut = "right" and no suffix')
        return self

    @property
    def marks(self) -> tuple[str, ...]:
        """What no text of a user may contain, without the white space around it."""
        fixed = self.prompt, self.answer_a, self.answer_b, self.next_round, self.join, self.suffix
        given = (*fixed, self.cut_mark, self.left_out)
        return tuple(dict.fromkeys(mark.strip() for mark in given if mark.strip()))

    def to_dict(self) -> dict[str, Any]:
        """Give all values, as JSON values."""
        return self.model_dump()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make a template of what `to_dict` gave; unknown and missing keys are refused."""
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            first = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors()[:5])
            keys = ", ".join(cls.model_fields)
            raise RecipeError(f"the template is not valid: {first}. Known keys: {keys}.") from error


def template_names() -> list[str]:
    """Names of the packaged templates.

    Returns
    -------
    list[str]
        In alphabetical order.

    Examples
    --------
    >>> template_names()
    ['default', 'notebook']
    """
    folder = files(_PACKAGE) / "templates"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def load_template(template: str | Path | Template) -> Template:
    """Load a template.

    Parameters
    ----------
    template
        Name of a packaged template, path of a TOML file, or a template.

    Returns
    -------
    Template
        Checked: unknown keys are refused.

    Raises
    ------
    RecipeError
        There is no such template, or it is not valid.
    """
    if isinstance(template, Template):
        return template
    name = str(template)
    if name in template_names():
        text = (files(_PACKAGE) / "templates" / f"{name}.toml").read_text("utf-8")
    elif name.endswith(".toml"):
        try:
            text = Path(template).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"cannot read the template {name}: {error}") from error
    else:
        raise RecipeError(
            f"there is no template {name!r}; the packaged ones are {', '.join(template_names())}. "
            "For one of your own give the path of a file that ends in .toml."
        )
    try:
        return Template.from_dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the template {name} is not TOML: {error}") from error
