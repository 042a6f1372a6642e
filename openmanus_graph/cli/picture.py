"""Picture: the format of a drawing, by option or file name, and where the drawing goes."""

from __future__ import annotations

from pathlib import Path

import click

_SUFFIXES = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".md": "mermaid", ".txt": "text"}


def format_of(form: str | None, output: Path | None) -> str:
    """The format that is wanted.

    Args:
        form: What was asked for, if anything was.
        output: The file it goes to; `None` is stdout.
    """
    return form or (_SUFFIXES.get(output.suffix.lower(), "text") if output else "text")


def put_out(text: str, output: Path | None) -> None:
    """Print what was drawn, or write it to a file."""
    if output is None:
        click.echo(text.rstrip("\n"))
        return
    output.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    click.echo(f"Wrote {output}.", err=True)
