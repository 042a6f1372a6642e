"""Call: one call of a tool, and what came of it; a failure of the tool never raises."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.errors import GraphBubbleUp
from pydantic import ValidationError

from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import ForeignTypeError, OpenManusGraphError, ToolArgumentsError, ToolError
from openmanus_graph.outputs import to_json_value


@dataclass(frozen=True)
class Outcome:
    """What came of one call."""

    output: Any = None
    error: str | None = None
    known: bool = True
    """Whether it is certain what the call did; a timeout or a broken connection leaves that open."""
    again: bool = True
    """Whether another attempt could end otherwise."""


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
        said = str(fields.get("stderr") or "").strip().splitlines()
        tail = [line for line in said if not line.startswith("[")]  # our own notes are in brackets
        return f"The command ended with exit code {code}{': ' + tail[-1] if tail else ''}."
    if fields.keys() == {"status", "answer"} and fields["status"] == "failure":
        return str(fields["answer"] or "It was ended as a failure.")
    error = fields.get("error")
    return error if isinstance(error, str) and error else None


async def call(
    tool: BaseTool, arguments: Mapping[str, Any], context: ToolContext, config: RunnableConfig, limit: float | None
) -> Outcome:
    """Make a call within its time.

    Args:
        tool: The tool.
        arguments: Its arguments, references resolved.
        context: What the tool is handed.
        config: The node's config.
        limit: Seconds it may take; `None` means no limit.

    Raises:
        OpenManusGraphError: If the engine itself failed, such as for a lost database.
    """
    scope = asyncio.timeout(limit)
    try:
        with using_tool_context(context):
            async with scope:
                output = to_json_value(await _invoke(tool, dict(arguments), config))
    except GraphBubbleUp:
        raise
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return Outcome(error=f"The tool {tool.name!r} cancelled itself.", known=False)
    except TimeoutError as error:
        if not scope.expired():
            return Outcome(error=f"The tool {tool.name!r} failed: {_words(error)}", known=False)
        return Outcome(error=f"The tool {tool.name!r} did not end within {limit:g} s.", known=False)
    except ValidationError as error:
        return Outcome(error=_arguments_problem(tool, error), again=False)
    except ToolArgumentsError as error:
        return Outcome(error=str(error), again=False)
    except ForeignTypeError as error:
        return Outcome(error=str(error), again=False)
    except (ToolError, ToolException) as error:
        return Outcome(error=str(error))
    except OpenManusGraphError:
        raise  # the engine's own failure, such as a lost database, is not the tool's
    except Exception as error:  # noqa: BLE001 - a tool may raise anything; it becomes its subtask's failure
        return Outcome(error=f"The tool {tool.name!r} failed: {_words(error)}", known=False)
    return Outcome(output=output, error=failure_in(output))


async def _invoke(tool: BaseTool, arguments: dict[str, Any], config: RunnableConfig) -> Any:
    if isinstance(tool, StructuredTool) and tool.coroutine is None:
        return await _in_thread(partial(copy_context().run, tool.invoke, arguments, config))
    return await tool.ainvoke(arguments, config)


async def _in_thread(function: Callable[..., Any]) -> Any:
    """Run what blocks in a thread of its own.

    Not in a pool: a call that ran out of time keeps its thread, which would then be missing for the next ones and
    hold up the end of the process. Slots bound how many there are.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:  # noqa: BLE001 - handed to whoever awaits
            error = raised
        with suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="tool", daemon=True).start()
    return await future


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _arguments_problem(tool: BaseTool, error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the arguments"
    return f"The tool {tool.name!r} cannot take {field!r} = {first.get('input')!r}: {first['msg']}."
