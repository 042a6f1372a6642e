"""Pending call: a call of a server's tool that is under way, with what the server asks in the middle of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from openmanus_graph.context import Sample
from openmanus_graph.errors import ToolError
from openmanus_graph.tools.mcp.sampling import sampled

MOST_ROUNDS = 20
"""Times that a server may answer one call with questions."""
LONGEST_SAID = 300
"""Characters of what a server says of its progress that are passed on."""
SAYS_EVERY_S = 0.25
"""Seconds between two things that a server says of its progress; what comes sooner is left out."""
_TICK_S = 1.0

Say = Callable[[str], None]
Send = Callable[[Mapping[str, Any], Callable[..., Awaitable[None]]], Awaitable[dict[str, Any]]]
"""Sends the parameters of a call, with what takes its progress; gives the answer as it came."""
Reply = asyncio.Future[dict[str, Any]]
HandOver = Callable[[Mapping[str, Any], Reply], bool]
"""Takes a question that a call leaves open at its end, with what its reply goes into; whether another call has it."""


@dataclass(frozen=True)
class ServerQuestion:
    """What a server asks a person in the middle of a call."""

    params: Mapping[str, Any]
    """As the protocol has it: `mode`, `message`, and `requestedSchema` or `url`."""
    number: int
    """How many equal ones it has asked before in this call."""

    @property
    def about(self) -> str:
        """Names its content, by which an answer that is kept is found again."""
        return _digest(self.params)


def _digest(params: Mapping[str, Any]) -> str:
    content = {key: params.get(key) for key in ("mode", "message", "requestedSchema", "url")}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


class PendingCall:
    """A call; it goes on by itself, and waits where the server wants an answer."""

    def __init__(
        self, send: Send, tool: str, arguments: Mapping[str, Any], seconds: float, hand_over: HandOver
    ) -> None:
        """Begin the call.

        Args:
            send: Sends it.
            tool: The tool's name at the server.
            arguments: Its arguments.
            seconds: How long the server may take, without the time in which it waits for us.
            hand_over: Takes questions that are open at its end: where a server does not say which call it asks about,
                one of them may have been taken for this one's.
        """
        self._hand_over = hand_over
        self._send = send
        self._tool = tool
        self._arguments = dict(arguments)
        self._seconds = self._left = seconds
        self._sampling = 0
        self._news: asyncio.Queue[tuple[ServerQuestion, Reply] | None] = asyncio.Queue()
        self._open: tuple[ServerQuestion, Reply] | None = None
        self._asked: Counter[str] = Counter()
        self._waiting: list[tuple[Mapping[str, Any], Reply]] = []
        self._said = 0.0
        self.say: Say = _nothing
        """Takes what the server says of its progress; another one after the run was suspended."""
        self.sample: Sample | None = None
        """Asks the run's model for the server; `None` where that is not allowed, or there is none."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._over)

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self._task.done()

    @property
    def answered(self) -> bool:
        """Whether its answer is there."""
        return self._task.done() and not self._task.cancelled() and self._task.exception() is None

    @property
    def asking(self) -> bool:
        """Whether the server waits for an answer."""
        return self._open is not None or not self._news.empty()

    async def step(self) -> ServerQuestion | dict[str, Any]:
        """The answer, or what the server asks before it; the same again until `reply` is called.

        Raises:
            ToolError: If the server refused the call.
            TimeoutError: If the server took too long; the call is given up.
            Exception: Whatever else; then nobody knows what the call has done.
        """
        while True:
            if self._task.done():  # whatever it has asked: the server needs no reply to it any more
                return self._task.result()
            if self._open is not None:
                return self._open[0]
            began = time.monotonic()
            try:
                async with asyncio.timeout(max(self._left, 0.001)):
                    news = await self._news.get()
            except TimeoutError:
                if self._sampling:
                    self._left = _TICK_S
                    continue
                await self.aclose()
                raise TimeoutError(f"it did not answer within {self._seconds:g} s") from None
            self._left -= time.monotonic() - began
            self._open = news

    def reply(self, response: dict[str, Any]) -> None:
        """Answer what the server asks.

        Args:
            response: `action`, and `content` if it is `accept`.
        """
        if self._open is not None and not self._open[1].done():
            self._open[1].set_result(response)
        self._open = None

    async def ask(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Have a person asked, and wait for what is replied.

        Args:
            params: What the server wants to know.
        """
        reply: Reply = asyncio.get_running_loop().create_future()
        self.adopt(params, reply)
        return await reply

    def adopt(self, params: Mapping[str, Any], reply: Reply) -> None:
        """Have a person asked what the server asks.

        Args:
            params: What the server wants to know.
            reply: What the reply goes into.
        """
        about = _digest(params)
        question = ServerQuestion(dict(params), self._asked[about])
        self._asked[about] += 1
        self._waiting.append((params, reply))
        self._news.put_nowait((question, reply))

    async def ask_model(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Have the run's model asked, in the server's words.

        Raises:
            ToolError: If that is not allowed, or the model gives no answer.
        """
        if self.sample is None:
            raise ToolError("No model is asked for this server.")
        began = time.monotonic()
        self._sampling += 1
        try:
            return await sampled(params, self.sample)
        finally:
            self._sampling -= 1
            self._left += time.monotonic() - began

    async def aclose(self) -> None:
        """Give the call up, if it is not over."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _over(self, task: asyncio.Task[dict[str, Any]]) -> None:
        if not task.cancelled():
            task.exception()  # seen: nobody may ask for it, if the run is over
        for params, reply in self._waiting:
            if not reply.done() and not self._hand_over(params, reply):
                reply.set_result({"action": "cancel"})
        self._news.put_nowait(None)

    async def _run(self) -> dict[str, Any]:
        params: dict[str, Any] = {"name": self._tool, "arguments": self._arguments}
        for _ in range(MOST_ROUNDS):
            answer = await self._send(params, self._progress)
            if answer.get("resultType") != "input_required":
                return answer
            wanted: Any = answer.get("inputRequests")
            requests = cast("dict[str, Any]", wanted) if isinstance(wanted, dict) else {}
            params = {"name": self._tool, "arguments": self._arguments}
            if isinstance(answer.get("requestState"), str):
                params["requestState"] = answer["requestState"]
            if requests:
                params["inputResponses"] = {key: await self._response(one) for key, one in requests.items()}
            else:
                await asyncio.sleep(_TICK_S)
        raise ConnectionError(f"it asked more than {MOST_ROUNDS} times")

    async def _response(self, request: Any) -> dict[str, Any]:
        """What the server wants to know before it goes on.

        Raises:
            ConnectionError: If it wants what it is not given; what it has done until then is unknown.
        """
        fields = cast("dict[str, Any]", request) if isinstance(request, dict) else {}
        given: Any = fields.get("params")
        params = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        method: Any = fields.get("method")
        if method == "elicitation/create":
            return await self.ask(params)
        if method == "sampling/createMessage":
            try:
                return await self.ask_model(params)
            except ToolError as error:
                raise ConnectionError(f"it wanted a model's answer: {error.message}") from error
        raise ConnectionError(f"it wanted {str(method)[:80]!r}, which it is not given")

    async def _progress(self, done: float, total: float | None, message: str | None) -> None:
        now = time.monotonic()
        if now - self._said < SAYS_EVERY_S:
            return
        self._said = now
        share = "" if total is None else f" of {total:g}"
        self.say(f"{self._tool}: {message or f'{done:g}{share}'}"[:LONGEST_SAID])


def _nothing(_: str) -> None:
    return None
