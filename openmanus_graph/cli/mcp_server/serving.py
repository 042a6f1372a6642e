"""Serving: the MCP server over standard input and output, or over HTTP on the loopback interface."""

# The SDK's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping
from typing import Any

from mcp.server import Server
from mcp.types import CallToolResult, InputRequiredResult, ListToolsResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from openmanus_graph._version import __version__
from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.cli.mcp_server.elicited import message_of, schema_of
from openmanus_graph.cli.mcp_server.http import serve_http
from openmanus_graph.cli.mcp_server.served_threads import ServedThreads
from openmanus_graph.cli.mcp_server.server_tools import WAIT_S, Elicit, ServerTools, as_failure, as_result
from openmanus_graph.cli.mcp_server.standard_streams import standard_streams
from openmanus_graph.config.settings import Settings
from openmanus_graph.questions import Question

INSTRUCTIONS = (
    "Runs a durable agent. `run` gives a thread's id, and its result if it ends in time; else ask with `result`. What "
    "a thread asks is for your user to decide: give the answers by `answer`. After a crash it goes on by `resume`."
)


class _AskedLaterError(Exception):
    """The client is asked by the result of the call, and answers with the call's next round."""

    def __init__(self, thread_id: str, questions: Mapping[str, Question]) -> None:
        super().__init__(thread_id)
        self.thread_id = thread_id
        self.questions = questions


class Serving:
    """The handlers of the protocol."""

    def __init__(self, tools: ServerTools) -> None:
        """Serve some tools.

        Args:
            tools: The tools.
        """
        self._tools = tools

    def server(self) -> Any:
        """The SDK's server."""
        return Server(
            "openmanus-graph",
            version=__version__,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def _list(self, context: Any, params: Any) -> Any:
        del context, params
        return ListToolsResult.model_validate({"tools": await self._tools.listed()})

    async def _call(self, context: Any, params: Any) -> Any:
        async def progress(lines: int, line: str) -> None:
            await context.session.report_progress(lines, None, line)

        try:
            elicit = _elicit_of(context)
            if params.request_state is None:
                said = await self._tools.call(params.name, params.arguments or {}, progress, elicit)
            else:
                thread_id = str(json.loads(params.request_state)["thread"])
                responses = {key: one.model_dump() for key, one in (params.input_responses or {}).items()}
                is_answered, run = await self._tools.answered(thread_id, responses)
                elicit = elicit if is_answered else _nobody
                said = await self._tools.followed(thread_id, run, WAIT_S, progress, elicit)
            return CallToolResult.model_validate(as_result(said))
        except _AskedLaterError as asked:
            return _input_required(asked)
        except Exception as error:  # noqa: BLE001 - the client's reader is told in words
            return CallToolResult.model_validate(as_failure(error))


def _input_required(asked: _AskedLaterError) -> Any:
    """The questions as the result of a call, which goes on with the next round."""
    requests = {name: _request(question) for name, question in asked.questions.items()}
    state = json.dumps({"thread": asked.thread_id})
    return InputRequiredResult.model_validate({"inputRequests": requests, "requestState": state})


def _request(question: Question) -> dict[str, Any]:
    params = {"mode": "form", "message": message_of(question), "requestedSchema": schema_of(question)}
    return {"method": "elicitation/create", "params": params}


async def _nobody(thread_id: str, questions: Mapping[str, Question]) -> None:
    del thread_id, questions


def _elicit_of(context: Any) -> Elicit:
    """What asks the client's person, as the client can be asked."""
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return _nobody
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return _later

    async def at_once(thread_id: str, questions: Mapping[str, Question]) -> Mapping[str, Any]:
        del thread_id
        responses: dict[str, Any] = {}
        for name, question in questions.items():
            given = await context.session.elicit_form(message_of(question), schema_of(question), context.request_id)
            responses[name] = given.model_dump()
        return responses

    return at_once


async def _later(thread_id: str, questions: Mapping[str, Question]) -> None:
    raise _AskedLaterError(thread_id, questions)


def serve(http: bool, port: int, client_approves: bool) -> int:
    """Serve until the client leaves or a signal comes; the exit code."""
    return asyncio.run(_serve(http, port, client_approves))


async def _serve(http: bool, port: int, client_approves: bool) -> int:
    settings = Settings.load()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_checkpointer(settings=settings) as saver:
        threads = ServedThreads(saver)
        server = Serving(ServerTools(threads, client_approves=client_approves)).server()
        try:
            await (serve_http(server, port, settings.home, stop) if http else _over_standard_streams(server, stop))
        finally:
            await threads.runs.aclose()
    return 0


async def _over_standard_streams(server: Any, stop: asyncio.Event) -> None:
    async with standard_streams() as (hearing, saying):
        serving = asyncio.create_task(server.run(hearing, saying, server.create_initialization_options()))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        serving.cancel()
        await asyncio.gather(serving, stopping, return_exceptions=True)
