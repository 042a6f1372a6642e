"""Lazy command: options and help at hand, the function that does the work imported when it runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from openmanus_graph.cli.terminal import stdout_for_json


class LazyCommand(click.Command):
    """A command whose body stands in a module that only running the command imports.

    Click's own lazy groups import a command's module for its `--help`, too, and repeat its short help in a table. The
    engine takes a second to import; options and help are there at once, for each command as for the whole program.
    """

    def __init__(self, *args: Any, body: str, starts_others: bool = False, **attributes: Any) -> None:
        """Declare a command.

        Args:
            args: As for `click.Command`.
            body: The function that does the work, as `package.module:function`; its parameters are the options.
            starts_others: Whether it starts commands that print JSON on its stdout themselves.
            attributes: As for `click.Command`; the callback only carries help and options, and is never called.
        """
        super().__init__(*args, **attributes)
        self.body = body
        self._starts_others = starts_others

    def load(self) -> Callable[..., Any]:
        """The function that does the work."""
        module, _, name = self.body.partition(":")
        return getattr(import_module(module), name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read options and arguments; an unknown option of a command that takes words may be a word."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            takes_words = any(isinstance(one, click.Argument) and one.nargs == -1 for one in self.params)
            if takes_words and not error.possibilities:
                hint = f"If it is a word, put -- before the words: {ctx.command_path} -- …"
                raise click.NoSuchOption(error.option_name, f"{error.message} {hint}", ctx=ctx) from error
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Import the body and call it with the options."""
        if self._starts_others or not (ctx.params.get("as_json") or ctx.params.get("in_json")):
            self.callback = self.load()
            return super().invoke(ctx)
        with stdout_for_json():  # also while the body and what it imports are imported
            self.callback = self.load()
            return super().invoke(ctx)
