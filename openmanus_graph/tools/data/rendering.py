"""Rendering: a Vega-Lite specification drawn by vl-convert, in a confined process and without a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Literal, cast

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import ToolError
from openmanus_graph.sandbox.limits import GIB, MIB, SandboxLimits
from openmanus_graph.sandbox.worker import program_of, run_worker

Format = Literal["png", "svg", "html"]

SECONDS = 180.0
"""Seconds that a chart may take; a page with all that it needs inside takes the longest."""
# What draws is a JavaScript engine, which reserves far more addresses than it uses.
_LIMITS = replace(SandboxLimits(), memory=3 * GIB, address_space=256 * GIB, file_size=256 * MIB, cpu_s=int(SECONDS))


def unavailable(settings: Settings) -> str | None:
    """Why no chart can be drawn here; `None` if it can."""
    del settings
    if find_spec("vl_convert") is not None:
        return None
    return f"What draws charts is not installed; get it with: {shell_commands.install('openmanus-graph[data]')}"


async def draw_chart(spec: dict[str, Any], form: Format, context: ToolContext, *, scale: float = 2.0) -> bytes:
    """Draw a chart.

    Args:
        spec: The specification, its data inside.
        form: What is made of it.
        context: The call that it is for.
        scale: Pixels of a PNG for one unit of the specification.

    Raises:
        SandboxUnavailableError: If drawing cannot be confined.
        ToolError: If the specification cannot be drawn, or takes too long.
    """
    if (why := unavailable(context.settings)) is not None:
        raise ToolError(why)
    program = program_of("openmanus_graph.tools.data", "chart_worker.py")
    try:
        said = await run_worker(
            program,
            json.dumps({"spec": spec, "form": form, "scale": scale}, allow_nan=False).encode(),
            workspace=context.workspace,
            settings=context.settings,
            sandbox=context.sandbox,
            limits=_LIMITS,
            seconds=SECONDS,
        )
    except TimeoutError:
        raise ToolError(f"The chart was not drawn within {SECONDS:g} s.", hint="Give it fewer rows.") from None
    line, _, drawn = said.partition(b"\n")
    try:
        found = cast("dict[str, Any]", json.loads(line))
    except ValueError:
        raise ToolError("Drawing was ended before there was a chart.", hint="Give it fewer rows.") from None
    if "error" in found:
        raise ToolError(
            f"The chart cannot be drawn: {found['error']}", hint="Mend the specification; it is Vega-Lite's, version 6."
        )
    return drawn
