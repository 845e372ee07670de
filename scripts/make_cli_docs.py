"""Write docs/cli.md from the ``--help`` of every command. Run it with ``make docs``; a test fails where it is stale."""

from __future__ import annotations

from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from prefcast.cli import app

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
HEAD = """# Commands

Written by `make docs` from each command's `--help`; do not edit.
"""


def commands() -> list[str]:
    """Names of the commands, in the order of the help."""
    return list(getattr(get_command(app), "commands", {}))


def help_of(*command: str) -> str:
    """Return what ``prefcast COMMAND --help`` prints, 80 columns wide whatever the terminal."""
    result = CliRunner().invoke(
        app, [*command, "--help"], prog_name="prefcast", terminal_width=80, color=False, catch_exceptions=False
    )
    return "\n".join(line.rstrip() for line in result.stdout.rstrip().splitlines())


def render() -> str:
    """Return the whole page as Markdown."""
    sections = [("prefcast", help_of()), *((f"prefcast {name}", help_of(name)) for name in commands())]
    return HEAD + "".join(f"\n## {title}\n\n```text\n{text}\n```\n" for title, text in sections)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
