"""Pictures: graphs, plans and threads that cells show, drawn offline in IPython and Jupyter.

Without them, LangGraph has a remote service draw each graph that a cell shows.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from IPython.core.interactiveshell import InteractiveShell
from traitlets import Enum
from traitlets.config import Configurable

if TYPE_CHECKING:
    from openmanus_graph.checkpoints.threads import Thread
    from openmanus_graph.drawing.diagram import Diagram, State
    from openmanus_graph.drawing.style import Theme

SVG = "image/svg+xml"
TEXT = "text/plain"
PICTURED = (
    ("langgraph.pregel.main", "Pregel"),
    ("langgraph.graph.state", "StateGraph"),
    ("openmanus_graph.plan", "Plan"),
    ("openmanus_graph.checkpoints.threads", "Thread"),
    ("openmanus_graph.drawing.record", "Record"),
    ("openmanus_graph.drawing.timeline", "Timeline"),
    ("openmanus_graph.drawing.tree", "HistoryTree"),
    ("openmanus_graph.drawing.diagram", "Diagram"),
)
"""Classes whose objects get a picture, with their modules; by name, so that the extension imports none of them."""


class Pictures(Configurable):
    """Settings of pictures in notebooks; `%config Pictures.theme = "dark"` sets one."""

    theme = Enum(
        ["auto", "light", "dark"], "auto", help="Colours: `light`, `dark`, or what the reader's system prefers."
    ).tag(config=True)

    def bundle(self, thing: Any) -> dict[str, str]:
        """A picture of what a cell shows, and the same in text, for readers that show no SVG.

        Args:
            thing: An object of one of the classes in `PICTURED`.

        Returns:
            Text by media type.
        """
        from openmanus_graph.drawing import svg_of

        shown, text = _shown(thing)
        svg = svg_of(shown, theme=cast("Theme", self.theme))
        return {SVG: svg, TEXT: text} if text else {SVG: svg}


def _shown(thing: Any) -> tuple[Any, str]:
    """The object to draw, and its picture in text."""
    from langgraph.graph import StateGraph
    from langgraph.pregel import Pregel

    from openmanus_graph.checkpoints.threads import Thread
    from openmanus_graph.drawing.diagram import Diagram
    from openmanus_graph.drawing.gantt import gantt_text
    from openmanus_graph.drawing.graph import graph_text
    from openmanus_graph.drawing.plan import plan_text
    from openmanus_graph.drawing.record import Record
    from openmanus_graph.drawing.timeline import Timeline
    from openmanus_graph.drawing.tree import HistoryTree, tree_text
    from openmanus_graph.plan import Plan

    if isinstance(thing, StateGraph):
        try:
            thing = cast("StateGraph[Any, Any, Any, Any]", thing).compile()  # pyright: ignore[reportUnknownMemberType] # LangGraph's
        except ValueError as error:
            # A cell whose last line is `graph.add_node(...)` shows the graph before it is whole.
            thing = _unfinished(cast("Any", thing), str(error))
    if isinstance(thing, Pregel):
        app = cast("Any", thing)
        return app, graph_text(app)
    if isinstance(thing, Thread):
        return _of_thread(thing)
    if isinstance(thing, Record):
        return thing, plan_text(thing.plan, thing.states) if thing.plan else gantt_text(thing.timeline)
    if isinstance(thing, Diagram):
        return thing, f"{thing.title}\n{thing.description}".strip()
    texts: list[tuple[type, Callable[[Any], str]]] = [
        (Plan, plan_text),
        (Timeline, gantt_text),
        (HistoryTree, tree_text),
    ]
    return thing, next((text(thing) for kind, text in texts if isinstance(thing, kind)), "")


def _unfinished(graph: Any, why: str) -> Diagram:
    """Nodes and edges of a graph that does not compile yet."""
    from langgraph.constants import END, START

    from openmanus_graph.drawing.diagram import Box, Diagram, Link

    links = [Link(source, target) for source, target in sorted(graph.edges)]
    links += [Link(source, target) for sources, target in sorted(graph.waiting_edges) for source in sources]
    for source, branches in graph.branches.items():
        ends = [cast("dict[Any, str]", branch.ends or {}) for branch in branches.values()]
        targets = [target for branch_ends in ends for target in branch_ends.values()]
        links += [Link(source, target, dashed=True) for target in targets]
    named = [name for link in links for name in (link.source, link.target)]
    boxes = [
        Box(name, name, shape="start" if name == START else "end" if name == END else "box")
        for name in dict.fromkeys([*(START for name in named if name == START), *graph.nodes, *named])
    ]
    description = f"{' '.join(why.split())}. Nodes so far: {', '.join(graph.nodes) or 'none'}."
    return Diagram(boxes, list(dict.fromkeys(links)), "Not complete yet", description)


_STATES: dict[str, State] = {
    "running": "running",
    "waiting": "waiting",
    "completed": "completed",
    "failed": "failed",
    "partial": "failed",
}
"""What the signs of a thread say; a thread that was paused or stopped is still to be gone on with."""


def _of_thread(thread: Thread) -> tuple[Diagram, str]:
    """Picture of a thread's plan, or of the thread alone, with its status as title."""
    from openmanus_graph.drawing.diagram import Box, Diagram
    from openmanus_graph.drawing.plan import plan_diagram, plan_text
    from openmanus_graph.plan import Plan

    done, total = thread.progress.get("done"), thread.progress.get("total")
    heading = f"{thread.thread_id}: {thread.status}{f', {done} of {total}' if total else ''}"
    if thread.plan:
        plan = Plan.parse(thread.plan)
        diagram = plan_diagram(plan)
        title = f"{heading}. {diagram.title}"
        return replace(diagram, title=title), f"{heading}\n{plan_text(plan)}"
    box = Box(thread.thread_id, thread.title or thread.thread_id, thread.status, state=_STATES.get(thread.status, ""))
    if thread.status in ("paused", "stopped"):
        box = replace(box, state="pending")
    return Diagram([box], [], heading), f"{heading}\n{thread.title}".strip()


def _configurables(shell: InteractiveShell) -> list[Any]:
    """Objects that `%config` sets; IPython declares the list as one of shells."""
    return cast("list[Any]", shell.configurables)


def _formatter(shell: InteractiveShell) -> Any:
    """IPython's formatter for all media types of an object; IPython declares no type for it."""
    return cast("Any", shell.display_formatter).mimebundle_formatter


def add_pictures(shell: InteractiveShell) -> None:
    """Draw what cells show.

    Args:
        shell: The shell; one that has pictures is not to be given them again.
    """
    pictures = Pictures(parent=shell)
    _configurables(shell).append(pictures)
    for module, name in PICTURED:
        _formatter(shell).for_type_by_name(module, name, pictures.bundle)


def drop_pictures(shell: InteractiveShell) -> None:
    """Leave pictures to LangGraph again.

    Args:
        shell: The shell, with pictures or without.
    """
    for module, name in PICTURED:
        _formatter(shell).pop(f"{module}.{name}", None)
    known = _configurables(shell)
    known[:] = [configurable for configurable in known if not isinstance(configurable, Pictures)]
