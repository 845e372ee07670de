"""Recipes: TOML files that say how to train a model."""

from __future__ import annotations

import inspect
import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from prefcast.errors import RecipeError
from prefcast.models import PreferenceModel, model_class

__all__ = ["Member", "Recipe", "TrainingOptions", "load_recipe", "recipe_names"]

_T = TypeVar("_T", bound=pydantic.BaseModel)


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class TrainingOptions(_Strict):
    """How the members are cross-fitted and put together.

    Parameters
    ----------
    folds
        Grouped folds, 2 to 100.
    seed
        Of the folds and, unless a member has its own, of the members.
    subsample
        Keep every k-th group of battles.
    calibrate
        Fit temperature and tie bias, and keep them if a paired interval supports it.
    position_effect
        Fit a known position effect. Gives up swap symmetry, and says so in the manifest.
    """

    folds: int = pydantic.Field(default=5, ge=2, le=100)
    seed: int = pydantic.Field(default=0, ge=0)
    subsample: int = pydantic.Field(default=1, ge=1)
    calibrate: bool = True
    position_effect: bool = False


class Member(pydantic.BaseModel):
    """One model of the blend; its parameters stand beside its kind.

    Parameters
    ----------
    kind
        A name in ``prefcast.models.KINDS``.
    **extra_data
        Parameters of that kind of model.
    """

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    kind: str

    def build(self, seed: int) -> PreferenceModel:
        """Make the unfitted model."""
        given = dict(self.model_extra or {})
        kind = model_class(self.kind)
        known = inspect.signature(kind).parameters
        unknown = sorted(set(given) - set(known))
        if unknown or {"members", "model"} & set(known):
            raise RecipeError(
                f"a member of kind {self.kind!r} has no parameter {', '.join(unknown) or 'set'}; "
                f"it has {', '.join(known)}. Mend the recipe."
            )
        if "seed" in known:
            given.setdefault("seed", seed)
        try:
            return kind(**given)
        except (TypeError, ValueError) as error:
            raise RecipeError(f"a member of kind {self.kind!r} cannot be made: {error}") from error


class Recipe(_Strict):
    """How to train a model.

    Parameters
    ----------
    name
        Its name.
    description
        One sentence.
    training
        How the members are cross-fitted and put together.
    members
        The models to blend, one or more.

    Examples
    --------
    >>> [member.kind for member in load_recipe("linear").members]
    ['linear']
    """

    name: str = pydantic.Field(min_length=1)
    description: str = ""
    training: TrainingOptions = TrainingOptions()
    members: tuple[Member, ...] = pydantic.Field(min_length=1)

    def with_training(self, **changes: Any) -> Recipe:
        """Replace training options; those that are None stay."""
        given = self.training.model_dump() | {k: v for k, v in changes.items() if v is not None}
        return self.model_copy(update={"training": _validate(TrainingOptions, given, "the training options")})

    def with_backbone(self, backbone: str | None) -> Recipe:
        """Replace the backbone of every language model.

        Parameters
        ----------
        backbone
            Folder or hub name; None changes nothing.

        Returns
        -------
        Recipe
            The changed recipe.

        Raises
        ------
        RecipeError
            A backbone was given, and the recipe has no language model.
        """
        if backbone is None:
            return self
        if all(member.kind != "llm" for member in self.members):
            raise RecipeError(f"the recipe {self.name} has no language model, so --backbone {backbone} does nothing.")
        members = tuple(
            Member(**{"kind": m.kind, **(m.model_extra or {})} | ({"backbone": backbone} if m.kind == "llm" else {}))
            for m in self.members
        )
        return self.model_copy(update={"members": members})

    def to_toml(self) -> str:
        """Write the recipe as TOML, every value spelled out."""
        lines = [f"name = {_toml(self.name)}", f"description = {_toml(self.description)}", "", "[training]"]
        lines += [f"{k} = {_toml(v)}" for k, v in self.training.model_dump().items()]
        for member in self.members:
            lines += ["", "[[members]]", f"kind = {_toml(member.kind)}"]
            built = member.build(self.training.seed).params()
            lines += [f"{k} = {_toml(v)}" for k, v in built.items() if v is not None and not isinstance(v, dict)]
            for name, table in built.items():
                if isinstance(table, dict):
                    lines += ["", f"[members.{name}]", *(f"{k} = {_toml(v)}" for k, v in table.items())]
        return "\n".join(lines) + "\n"


def recipe_names() -> list[str]:
    """Names of the packaged recipes.

    Returns
    -------
    list[str]
        In alphabetical order.
    """
    return sorted(p.name.removesuffix(".toml") for p in files("prefcast.recipes").iterdir() if p.name.endswith(".toml"))


def load_recipe(recipe: str | Path | Recipe) -> Recipe:
    """Load a recipe.

    Parameters
    ----------
    recipe
        Name of a packaged recipe, path of a TOML file, or a recipe.

    Returns
    -------
    Recipe
        Checked: unknown keys and kinds are refused.

    Raises
    ------
    RecipeError
        There is no such recipe, or it is not valid.
    """
    if isinstance(recipe, Recipe):
        return recipe
    name = str(recipe)
    if name in recipe_names():
        text = (files("prefcast.recipes") / f"{name}.toml").read_text("utf-8")
    elif name.endswith(".toml"):
        try:
            text = Path(recipe).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"cannot read the recipe {name}: {error}") from error
    else:
        raise RecipeError(
            f"there is no recipe {name!r}; the packaged ones are {', '.join(recipe_names())}. "
            "For one of your own give the path of a file that ends in .toml."
        )
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe {name} is not TOML: {error}") from error
    found = _validate(Recipe, values, f"the recipe {name}")
    for member in found.members:
        member.build(found.training.seed)
    return found


def _validate(kind: type[_T], values: Any, what: str) -> _T:
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        first = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        known = f"Known keys: {', '.join(kind.model_fields)}."
        if kind is Recipe and any(e["loc"][:1] == ("training",) for e in error.errors()):
            known += f" Those of training: {', '.join(TrainingOptions.model_fields)}."
        raise RecipeError(f"{what} is not valid: {first}. {known}") from error


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    # A JSON string is a basic string of TOML but for one control character that JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
