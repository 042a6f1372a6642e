"""Body: the code of a cell below its first line, and the expression that it ends with."""

from __future__ import annotations

import ast
import warnings
from typing import cast

from IPython.core.interactiveshell import InteractiveShell


def python_of(shell: InteractiveShell, body: str) -> str:
    """The body as Python, IPython's own syntax replaced, each line where it stands in the cell.

    Args:
        shell: The shell that is to run it.
        body: What stands below the first line of the cell.

    Raises:
        SyntaxError: If IPython's own syntax is wrong in it.
    """
    code = shell.input_transformer_manager.transform_cell(body)
    # IPython drops blank lines at the top, which tracebacks and debuggers count.
    dropped = body[: len(body) - len(body.lstrip())].count("\n") if body.strip() else 0
    return "\n" * (1 + dropped) + code


def last_expression(shell: InteractiveShell, code: str) -> ast.expr | None:
    """The expression that code ends with; `None` if it ends with something else.

    Args:
        shell: The shell that is to run it.
        code: Python.

    Raises:
        SyntaxError: If it is no Python.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are given when the cell is compiled
        nodes = cast("ast.Module", shell.compile.ast_parse(code)).body
    return nodes[-1].value if nodes and isinstance(nodes[-1], ast.Expr) else None
