"""Call: makes one call of a tool and gives its outcome; a failure of the tool never raises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from langgraph.errors import GraphBubbleUp
from pydantic import ValidationError

from openmanus_graph.checkpoints.ledger import Effect
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import ForeignTypeError, OpenManusGraphError, ToolArgumentsError, ToolError
from openmanus_graph.nodes.failure_line import TRACEBACK, failure_line
from openmanus_graph.nodes.invocation import Returned, invoke
from openmanus_graph.outputs import store_artifact, to_json_value, with_artifact
from openmanus_graph.plans.arguments import check_call
from openmanus_graph.values.storable_json import storable, storable_text


@dataclass(frozen=True)
class CallOutcome:
    """The outcome of one call."""

    output: Any = None
    error: str | None = None
    known: bool = True
    """Whether it is certain what the call did; a timeout or a broken connection leaves that open."""
    again: bool = True
    """Whether another attempt could end otherwise."""
    portable: bool = True
    """Whether the output means the same in another workspace: no artifact of it is kept as a file there."""
    recorded: Effect | None = None
    """The call as the ledger has it, where an earlier process made it; its arguments may be others than those given."""


def failure_in(output: Any) -> str | None:
    """The failure that an output itself states.

    That is a non-zero `exit_code`, `timed_out`, an `error` text, or the status `failure` of `terminate`.
    """
    if not isinstance(output, dict):
        return None
    fields = cast("dict[str, Any]", output)
    if fields.get("timed_out") is True:
        return "The command ran into its time limit."
    code = fields.get("exit_code")
    if isinstance(code, int) and code != 0:
        line = failure_line(str(fields.get("stderr") or ""))
        return f"The command ended with exit code {code}{': ' + line.removesuffix('.') if line else ''}."
    if fields.keys() == {"status", "answer"} and fields["status"] == "failure":
        return str(fields["answer"] or "It was ended as a failure.")
    error = fields.get("error")
    if not isinstance(error, str) or not error:
        return None
    return failure_line(error) or error if TRACEBACK in error else error  # which the output has whole


async def call(
    tool: BaseTool,
    arguments: Mapping[str, Any],
    context: ToolContext,
    config: RunnableConfig,
    limit: float | None,
    call_id: str,
) -> CallOutcome:
    """Make a call within its time.

    Args:
        tool: The tool.
        arguments: Its arguments, references resolved.
        context: What the tool is handed.
        config: The node's config.
        limit: Seconds it may take; `None` means no limit.
        call_id: The call's id, as the tool is told it.

    Raises:
        OpenManusGraphError: If the engine itself failed, such as for a lost database.
    """
    with using_tool_context(context):
        outcome = await _made(tool, lambda: _checked(tool, arguments, config, call_id), context, limit)
    return outcome if outcome.error is None else replace(outcome, error=storable_text(outcome.error))


async def _checked(tool: BaseTool, arguments: Mapping[str, Any], config: RunnableConfig, call_id: str) -> Returned:
    check_call(tool, dict(arguments))
    return await invoke(tool, arguments, config, call_id)


async def _made(
    tool: BaseTool, make: Callable[[], Awaitable[Returned]], context: ToolContext, limit: float | None
) -> CallOutcome:
    """The outcome of a call that `make` makes, whatever it raises."""
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            returned = await make()
        return await _outcome(returned, context)
    except GraphBubbleUp:
        raise
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return CallOutcome(error=f"The tool {tool.name!r} cancelled itself.", known=False)
    except TimeoutError as error:
        if not scope.expired():
            return CallOutcome(error=f"The tool {tool.name!r} failed: {_words(error)}", known=False)
        return CallOutcome(error=f"The tool {tool.name!r} did not end within {limit:g} s.", known=False)
    except (ValidationError, ToolException, ToolError, ForeignTypeError) as error:
        return _refused(tool, error)
    except OpenManusGraphError:
        raise  # the engine's own failure, such as a lost database, is not the tool's
    except Exception as error:  # noqa: BLE001 - a tool may raise anything; it becomes its subtask's failure
        return CallOutcome(error=f"The tool {tool.name!r} failed: {_words(error)}", known=False)


async def _outcome(returned: Returned, context: ToolContext) -> CallOutcome:
    again, unfit = returned.again, None
    try:
        output = to_json_value(returned.content)
    except (ForeignTypeError, RecursionError) as problem:
        # The work is done: what has a plain form is kept, and the rest as text.
        output, again = to_json_value(storable(returned.content)), False
        unfit = (
            str(problem)
            if isinstance(problem, ForeignTypeError)
            else "The output holds itself, or is nested too deeply."
        )
    error = returned.error or unfit or failure_in(output)
    if returned.artifact is not None:
        kept = await asyncio.to_thread(
            store_artifact, returned.artifact, workspace=context.workspace, subtask_id=context.subtask_id
        )
        output = with_artifact(output, kept)
    return CallOutcome(output, error, again=again, portable=returned.artifact is None)


def _refused(tool: BaseTool, error: Exception) -> CallOutcome:
    """The outcome of a call of which it is certain what it did."""
    arguments = error.__cause__ if isinstance(error, ToolException) else error  # so `ToolNode` tells of arguments
    if isinstance(arguments, ValidationError):
        return CallOutcome(error=_arguments_problem(tool, arguments), again=False)
    return CallOutcome(error=str(error), again=not isinstance(error, ToolArgumentsError | ForeignTypeError))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _arguments_problem(tool: BaseTool, error: ValidationError) -> str:
    found = [(".".join(str(part) for part in one["loc"]) or "the arguments", one) for one in error.errors()]
    lacking = [repr(field) for field, one in found if one["type"] == "missing"]
    if lacking:
        return f"The tool {tool.name!r} needs {', '.join(lacking)}."
    field, first = found[0]
    return f"The tool {tool.name!r} cannot take {field!r} = {first.get('input')!r}: {first['msg']}."
