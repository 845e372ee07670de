"""The application: commands in the order a newcomer meets them, and errors as one paragraph."""

from __future__ import annotations

import sys

import typer

from prefcast import __version__
from prefcast.errors import PrefcastError

__all__ = ["app", "main"]

app = typer.Typer(
    name="prefcast",
    help="Forecast which of two chatbot answers people will prefer.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; an error of prefcast is one paragraph on standard error and exit code 1."""
    try:
        app()
    except PrefcastError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
