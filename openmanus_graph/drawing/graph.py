"""Graph: a compiled graph with all graphs inside it, as SVG, Mermaid or text, drawn from the code and offline."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from langgraph.constants import END, START
from langgraph.errors import InvalidUpdateError
from langgraph.graph import StateGraph

from openmanus_graph.display_text import counted
from openmanus_graph.drawing.diagram import Box, Diagram, Link, State
from openmanus_graph.drawing.label import plain
from openmanus_graph.drawing.mermaid import mermaid
from openmanus_graph.drawing.style import Theme
from openmanus_graph.drawing.subgraphs import AnyGraph, subgraphs_of
from openmanus_graph.drawing.svg import svg

DEEPEST = 6
"""Graphs that are drawn one within the other."""
_UNNAMED = "LangGraph"


def graph_diagram(app: AnyGraph, *, xray: bool = True) -> Diagram:
    """Nodes and edges of a graph, and of the graphs that its nodes run.

    The key of a box is its node's name, behind the names of the nodes around it and `:`, as in LangGraph's own
    drawings. Nodes with the very same edges, such as an agent's tools, are one block.

    Args:
        app: The compiled graph.
        xray: Whether to draw the graphs inside of nodes.
    """
    name = str(app.get_name())
    return _diagram(app, "" if name == _UNNAMED else name, "", (app,) if xray else None)


def graph_svg(
    app: AnyGraph, *, xray: bool = True, states: Mapping[str, State] | None = None, theme: Theme = "auto"
) -> str:
    """The graph as SVG.

    Args:
        app: The compiled graph.
        xray: Whether to draw the graphs inside of nodes.
        states: What nodes stand at, by key; see `graph_diagram`.
        theme: Its colours; by default those that the reader's system prefers.
    """
    return svg(graph_diagram(app, xray=xray).with_states(states or {}), theme=theme)


def graph_mermaid(app: AnyGraph, *, xray: bool = True) -> str:
    """The graph as Mermaid."""
    return mermaid(graph_diagram(app, xray=xray))


def graph_text(app: AnyGraph, *, xray: bool = True) -> str:
    """One line a node with the nodes it leads to; `?` marks an edge that is taken on a condition, and says which."""
    return "\n".join(_lines(graph_diagram(app, xray=xray), ""))


def _lines(diagram: Diagram, indent: str) -> Iterator[str]:
    boxes = {box.key: box for box in diagram.boxes}
    leads: dict[str, list[str]] = {key: [] for key in boxes}
    for link in diagram.links:
        condition = f"? ({plain(link.label)})" if link.label else "?" if link.dashed else ""
        leads[link.source].append(f"{_short(boxes[link.target])}{condition}")
    for key, box in boxes.items():
        arrow = f" → {', '.join(leads[key])}" if leads[key] else ""
        if arrow or box.inside or box.shape != "end":
            yield f"{indent}{_name(box)}{arrow}"
        if box.inside:
            yield from _lines(box.inside, indent + "    ")


def _name(box: Box) -> str:
    return " | ".join(plain(member.label) for member in (box.members or (box,)))


def _short(box: Box) -> str:
    """A block of many by its first node and how many more there are; its own line has them all."""
    names = [plain(member.label) for member in (box.members or (box,))]
    if len(names) <= 2:
        return names[0] if len(names) == 1 else f"[{' | '.join(names)}]"
    return f"[{names[0]} and {len(names) - 1} more]"


def _diagram(app: AnyGraph, title: str, prefix: str, around: tuple[AnyGraph, ...] | None) -> Diagram:
    """One graph, and what is inside its nodes unless `around`, the graphs it is itself inside of, is `None`."""
    nodes, edges = _nodes_and_edges(app)
    boxes: list[Box] = []
    for name, metadata in nodes.items():
        shape = "start" if name == START else "end" if name == END else "box"
        inside = None
        if around is not None and name in app.nodes:
            inside = _inside(app.nodes[name].bound, f"{prefix}{name}:", around)
        tools = metadata.get("__tools")
        hint = f"Tools: {', '.join(map(str, cast('list[Any]', tools)))}" if tools else ""
        paused = metadata.get("__interrupt")
        note = f"pauses {str(paused).replace(',', ' and ')}" if paused else ""
        boxes.append(Box(f"{prefix}{name}", str(name), note, hint, shape=shape, inside=inside))
    labels = _labels(app)
    links = [
        Link(
            f"{prefix}{source}",
            f"{prefix}{target}",
            dashed=conditional,
            label=", ".join(labels.get((source, target), ())) if conditional else "",
        )
        for source, target, conditional in edges
    ]
    unique = list(dict.fromkeys(links))
    return Diagram(boxes, unique, title, _description(boxes, unique)).alike_joined()


def _nodes_and_edges(app: AnyGraph) -> tuple[dict[str, Mapping[str, Any]], list[tuple[str, str, bool]]]:
    """Nodes with what is known of them, and edges with whether they are conditional.

    LangGraph finds the edges by a trial run of the channels, which fails where branches write to a key that takes one
    value, as in every `StateGraph(dict)` with parallel branches. What the graph was built from has them too.
    """
    try:
        drawn = app.get_graph()
    except InvalidUpdateError:
        builder = getattr(app, "builder", None)
        if not isinstance(builder, StateGraph):
            raise
        return _as_built(app, builder)
    nodes = {str(name): cast("Mapping[str, Any]", node.metadata or {}) for name, node in drawn.nodes.items()}
    return nodes, [(str(edge.source), str(edge.target), edge.conditional) for edge in drawn.edges]


def _as_built(
    app: AnyGraph, builder: StateGraph[Any, Any, Any, Any]
) -> tuple[dict[str, Mapping[str, Any]], list[tuple[str, str, bool]]]:
    edges = [(source, target, False) for source, target in sorted(builder.edges)]
    edges += [(source, target, False) for sources, target in sorted(builder.waiting_edges) for source in sources]
    for source, branches in builder.branches.items():
        for branch in branches.values():
            targets = dict.fromkeys(branch.ends.values() if branch.ends else [*builder.nodes, END])
            edges += [(source, str(target), True) for target in targets]
    for name, spec in builder.nodes.items():
        edges += [(name, str(target), True) for target in spec.ends or ()]
    leaving = {source for source, _, _ in edges}
    edges += [(name, END, False) for name in builder.nodes if name not in leaving]
    paused = {"before": list(app.interrupt_before_nodes), "after": list(app.interrupt_after_nodes)}
    nodes: dict[str, Mapping[str, Any]] = {START: {}}
    for name in builder.nodes:
        when = ",".join(key for key, names in paused.items() if name in names)
        nodes[str(name)] = {"__interrupt": when} if when else {}
    return {**nodes, END: {}}, edges


def _labels(app: AnyGraph) -> dict[tuple[str, str], list[str]]:
    """Answers on which each conditional edge is taken; LangGraph's own drawing has only one of several."""
    found: dict[tuple[str, str], list[str]] = {}
    branches = cast("Mapping[str, Mapping[str, Any]]", getattr(getattr(app, "builder", None), "branches", None) or {})
    for source, named in branches.items():
        for branch in named.values():
            ends = cast("Mapping[Any, Any]", getattr(branch, "ends", None) or {})
            if all(str(label) == str(target) for label, target in ends.items()):
                continue  # a list of targets, which says nothing more
            for label, target in ends.items():
                found.setdefault((source, str(target)), []).append(str(label))
    return found


def _inside(node: Any, prefix: str, around: tuple[AnyGraph, ...]) -> Diagram | None:
    found = {name: graph for name, graph in subgraphs_of(node).items() if all(graph is not outer for outer in around)}
    if not found or len(around) >= DEEPEST:
        return None
    if len(found) == 1:
        graph = next(iter(found.values()))
        return _diagram(graph, "", prefix, (*around, graph))
    boxes = [
        Box(f"{prefix}{name}", name, inside=_diagram(graph, "", f"{prefix}{name}:", (*around, graph)))
        for name, graph in found.items()
    ]
    return Diagram(boxes, [])


def _description(boxes: list[Box], links: list[Link]) -> str:
    names = {box.key: box.label for box in boxes}
    edges = [
        f"{names[link.source]} to {names[link.target]}"
        + (f" on {link.label}" if link.label else " on a condition" if link.dashed else "")
        for link in links[:200]
    ]
    more = f", and {len(links) - 200} more" if len(links) > 200 else ""
    nodes = counted(len(boxes), "node")
    return f"{nodes}. Edges: {', '.join(edges)}{more}." if edges else f"{nodes}."
