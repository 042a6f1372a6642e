"""Interpreter: one Python inside the sandbox that keeps its variables from call to call."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SandboxUnavailableError
from openmanus_graph.sandbox.bridge import WayOut
from openmanus_graph.sandbox.capture import Capture
from openmanus_graph.sandbox.channel import Channel
from openmanus_graph.sandbox.launch import Level
from openmanus_graph.sandbox.process import SandboxProcess, open_process

_START_S = 30.0
_END_S = 2.0


@dataclass(frozen=True)
class CodeOutcome:
    """Output, result and error of a piece of code."""

    output: str
    """What it printed, on both streams, head and tail of a flood."""
    result: str | None
    """`repr` of its last expression, or `None` if there is none or its value is `None`."""
    error: str | None
    """The traceback, or what ended the interpreter; `None` if all went well."""


class Interpreter:
    """A running Python; after its end (`alive` is false) only `aclose` is left to call."""

    def __init__(self, process: SandboxProcess, answers: Channel, requests: int, output: Capture) -> None:
        self._process = process
        self._answers = answers
        self._requests = requests
        self._output = output
        self._broken = False

    @classmethod
    async def open(
        cls, workspace: Path, level: Level, settings: Settings, way_out: WayOut | None = None
    ) -> Interpreter:
        """Start the interpreter of `sys.executable` in `workspace`.

        Raises:
            SandboxUnavailableError: If it cannot be started at this level.
        """
        answers, output = await Channel.open(), Capture()
        request_end, requests = os.pipe()
        program = files("openmanus_graph.sandbox").joinpath("python_worker.py").read_text(encoding="utf-8")
        try:
            process = await open_process(
                [sys.executable, "-X", "utf8", "-u", "-c", program, str(request_end), str(answers.write_end)],
                workspace=workspace,
                level=level,
                settings=settings,
                stdout=output.write_end,
                stderr=output.write_end,
                pass_fds=[request_end, answers.write_end],
                way_out=way_out,
            )
        except BaseException:
            answers.close()
            output.close()
            os.close(requests)
            raise
        finally:
            os.close(request_end)
        worker = cls(process, answers, requests, output)
        try:
            await worker._greet(level)
        except BaseException:
            await worker.aclose()
            raise
        return worker

    async def _greet(self, level: Level) -> None:
        self._answers.close_write_end()
        self._output.close_write_end()
        os.set_blocking(self._requests, False)
        try:
            answer = await asyncio.wait_for(self._answer(), _START_S)
        except TimeoutError:
            answer = None
        if answer is None:
            lines = self._output.take().strip().splitlines()
            reason = lines[-1] if lines else "no answer"
            raise SandboxUnavailableError(
                f"Python cannot be started at the sandbox level {level!r}: {reason}.",
                hint=f"See what works on this machine with: {shell_commands.DOCTOR}",
            )

    @property
    def alive(self) -> bool:
        """Whether it takes code."""
        return not self._broken and self._process.returncode is None

    async def run(self, code: str, timeout_s: float) -> CodeOutcome:
        """Run `code`; an interpreter that has not answered after `timeout_s` is killed."""
        started = asyncio.get_running_loop().time()
        try:
            answer = await self._ask(code, timeout_s)
        except BaseException:
            self._broken = True
            self._process.kill()
            raise
        if answer is not None:
            return CodeOutcome(self._output.take(), answer.get("result"), answer.get("error"))
        self._broken = True
        if asyncio.get_running_loop().time() - started >= timeout_s:
            error = f"Timed out after {timeout_s:g} s: the interpreter was ended and all variables are lost."
            await self._process.aclose()
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _END_S)
            await self._process.aclose()
            error = f"The interpreter ended with exit code {self._process.returncode}; all variables are lost."
        return CodeOutcome(self._output.take(), None, error)

    async def _ask(self, code: str, timeout_s: float) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(json.dumps({"code": code}).encode() + b"\n")
                return await self._answer()
        except TimeoutError:
            return None

    async def _send(self, data: bytes) -> None:
        """Write a request; a longer one than the pipe holds goes in as the worker reads it."""
        while data:
            try:
                data = data[os.write(self._requests, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.005)
            except BrokenPipeError:
                return

    async def _answer(self) -> dict[str, Any] | None:
        """The worker's next answer; `None` if it is gone, or what came is not an answer."""
        line = await self._answers.read_line()
        try:
            value: object = None if line is None else json.loads(line)
        except ValueError:
            return None
        return cast("dict[str, Any]", value) if isinstance(value, dict) else None

    async def aclose(self) -> None:
        """End the interpreter and everything it started."""
        await self._process.aclose()
        if self._requests >= 0:
            os.close(self._requests)
            self._requests = -1
        self._answers.close()
        self._output.close()
