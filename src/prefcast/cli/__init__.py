"""The command line: parse, call, print. One file per command."""

from prefcast.cli._app import app, main

__all__ = ["app", "main"]
