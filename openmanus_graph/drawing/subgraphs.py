"""Subgraphs: finds the graphs that a node runs, among the objects that its function refers to.

LangGraph's own search stops at the first, looks into no container, and needs the source text, which a function that
was typed at a prompt does not have; this one reads the closures and the names of the compiled code.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType, MethodType
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableParallel, RunnableSequence
from langgraph.pregel import Pregel

AnyGraph = Pregel[Any, Any, Any, Any]
DEEPEST = 6
"""How many functions, runnables and containers are looked through, one within the other."""


def subgraphs_of(node: Any) -> dict[str, AnyGraph]:
    """The graphs that a node's runnable or function refers to, by the name it knows them by, in the order met.

    Args:
        node: A runnable, a function, or an object with a method that is the node.
    """
    graphs: dict[str, AnyGraph] = {}
    seen: set[int] = set()
    for name, graph in _graphs(node, "", DEEPEST, seen):
        if all(graph is not other for other in graphs.values()):
            known = name or str(graph.get_name())
            while known in graphs:
                known += "′"
            graphs[known] = graph
    return graphs


def _graphs(value: Any, name: str, depth: int, seen: set[int]) -> Iterator[tuple[str, AnyGraph]]:
    if isinstance(value, Pregel):
        yield name, cast("AnyGraph", value)
        return
    if depth == 0 or id(value) in seen:
        return
    inside = list(_inside(value, name))
    if inside:
        seen.add(id(value))
    for part, inner in inside:
        yield from _graphs(inner, part, depth - 1, seen)


def _inside(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Objects that a value refers to, with names."""
    if isinstance(value, FunctionType):
        yield from _referred(value)
    elif isinstance(value, MethodType):
        names = _names(value.__func__.__code__)
        yield from ((key, attribute) for key, attribute in _attributes(value.__self__).items() if key in names)
        yield from _referred(cast("FunctionType", value.__func__))
    elif isinstance(value, functools.partial):
        part = cast("functools.partial[Any]", value)
        yield from ((name, argument) for argument in (part.func, *part.args))
        yield from part.keywords.items()
    elif isinstance(value, Runnable):
        yield from _steps(value, name)
    elif isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in cast("Mapping[Any, Any]", value).items() if _may_hold(item))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (("", item) for item in cast("list[Any]", value) if _may_hold(item))
    elif callable(value) and not isinstance(value, type):  # an object that can be called
        called = vars(type(value)).get("__call__")
        names = _names(called.__code__) if isinstance(called, FunctionType) else set[str]()
        yield from ((key, attribute) for key, attribute in _attributes(value).items() if key in names)


def _steps(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Steps of a runnable."""
    if isinstance(value, RunnableSequence):
        yield from ((name, step) for step in value.steps)
    elif isinstance(value, RunnableParallel):
        yield from value.steps__.items()
    elif isinstance(getattr(value, "bound", None), Runnable):  # LangChain's bindings, and nodes behind a gate
        yield name, value.bound
    else:  # one function, in one or both forms, or LangGraph's own sequence
        yield from ((name, getattr(value, key, None)) for key in ("afunc", "func"))
        yield from ((name, step) for step in cast("Sequence[Any]", getattr(value, "steps", ())))


def _may_hold(value: Any) -> bool:
    return isinstance(value, Runnable | FunctionType | MethodType | functools.partial)


def _attributes(value: Any) -> dict[str, Any]:
    return dict(getattr(value, "__dict__", {}))


def _referred(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Objects that a function closes over, and graphs and containers among the globals it uses."""
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        yield "", wrapped
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        if isinstance(value, Pregel | Mapping | list | tuple | functools.partial):
            yield name, value


def _names(code: CodeType) -> set[str]:
    """Names of globals and attributes that code uses, functions inside of it included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names
