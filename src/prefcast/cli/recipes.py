"""``prefcast recipes``: what models can be trained."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["recipes"]


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this recipe as TOML, every value spelled out.", metavar="[NAME]")
    ] = None,
) -> None:
    """List the packaged recipes, or print one.

    Save one to a file, change it, and train with it: prefcast recipes cpu > mine.toml
    """
    from prefcast.pipeline import load_recipe, recipe_names

    if name is not None:
        typer.echo(load_recipe(name).to_toml(), nl=False)
        return
    names = recipe_names()
    width = max(map(len, names))
    for one in names:
        typer.echo(f"{one:{width}}  {load_recipe(one).description}")
