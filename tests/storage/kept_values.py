"""Kept values: one of each kind that a state may hold, the graphs that hold them, and what counts as the same."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import math
import pathlib
import re
import uuid
import zoneinfo
from collections import deque
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel, Field, PrivateAttr, SecretStr, field_validator

T = TypeVar("T")
Graph = Any

LONE = "x\ud800y"
"""Half of a surrogate pair: no encoding has it."""


class State(TypedDict, total=False):
    given: Any
    seen: Any


class Color(enum.Enum):
    RED = 1
    ODD = object()


class Size(enum.StrEnum):
    BIG = "big"


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Part(BaseModel):
    count: int = Field(alias="the_count")


class Bolt(Part):
    thread: str = "M8"


class Order(BaseModel):
    part: Part
    many: list[Part] = []
    note: Any = None
    hidden: str = Field(default="", exclude=True)
    _seen: int = PrivateAttr(default=0)

    @field_validator("hidden")
    @classmethod
    def twice(cls, value: str) -> str:
        return value * 2


class Box(BaseModel, Generic[T]):
    inside: T


class Shy(dict[str, int]):
    def items(self) -> Any:
        raise OSError("not now")

    keys = __iter__ = items


class Outer:
    class Inner(BaseModel):
        deep: int


@dataclasses.dataclass
class Trip:
    stops: int
    names: list[str] = dataclasses.field(default_factory=list)
    twice: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.twice = 2 * self.stops
        self.beside = "worked out"


@dataclasses.dataclass(frozen=True, slots=True)
class Fixed:
    pair: tuple[int, int]


class Pair(NamedTuple):
    left: int
    right: Any = None


class Word(str):
    __slots__ = ()


def order() -> Order:
    made = Order(part=Bolt(the_count=1, thread="M9"), many=[Part(the_count=2)], note=(1, Color.RED), hidden="ab")
    made._seen = 7
    return made


VALUES: dict[str, Any] = {
    "NUL": "a\0b",
    "half of a pair": LONE,
    "half of a pair inside": [LONE, {LONE: LONE}],
    "infinity": math.inf,
    "a large float": 1e22,
    "zero below zero": -0.0,
    "a tiny float": 5e-324,
    "over 64 bits": 2**70,
    "far below": [-(2**63) - 1],
    "thousands of digits": 10**5000,
    "tuples": (1, (2, [3])),
    "odd keys": {(1, 2): 3, Color.RED: 1, 2**70: 2, dt.date(2026, 1, 1): 4},
    "numbers as keys": {1: 2, None: 3, 1.5: 4, b"x": 5},
    "a moment": dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC),
    "a moment in a zone": dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    "a day": dt.date(2026, 3, 1),
    "a time": dt.time(1, 2, 3, tzinfo=dt.UTC),
    "a span": dt.timedelta(-1, 3, 4),
    "an id": uuid.UUID(int=7),
    "a price": decimal.Decimal("1.10"),
    "a path": pathlib.PurePosixPath("a/b"),
    "a path of here": Path("/x"),
    "a pattern": re.compile("a.*", re.IGNORECASE),
    "a network": ipaddress.ip_network("10.0.0.0/8"),
    "a set": {1, 2},
    "a frozen set": frozenset("ab"),
    "a deque": deque([1, 2], maxlen=3),
    "bytes": [b"\xff", bytearray(b"x")],
    "a document": Document("text", metadata={"day": dt.date(2026, 3, 1)}),
    "an enum": Color.RED,
    "an enum of objects": Color.ODD,
    "an enum of texts": Size.BIG,
    "flags": Right.READ | Right.WRITE,
    "a model": order(),
    "a model of a type": Box[int](inside=3),
    "a model in a class": Outer.Inner(deep=1),
    "a dataclass": Trip(2, ["a"]),
    "a frozen dataclass": Fixed((1, 2)),
    "a named tuple": Pair(1, Size.BIG),
    "a secret": SecretStr("s"),
    "messages": [
        HumanMessage("a", additional_kwargs={"size": Size.BIG}),
        AIMessage("b", response_metadata={"color": Color.RED, "at": dt.date(2026, 1, 1)}),
        ToolMessage("c", tool_call_id="1", artifact=order()),
    ],
}


def thread(name: str = "t", **more: Any) -> Any:
    return {"configurable": {"thread_id": name}, **more}


def asking(value: Any) -> Graph:
    """A graph that puts a value into its state, asks, and then looks at it."""
    graph: Graph = StateGraph(State)
    graph.add_node("put", lambda _: {"given": value})
    graph.add_node("look", lambda state: {"seen": [interrupt("?"), state["given"]]})
    graph.add_edge(START, "put")
    graph.add_edge("put", "look")
    return graph


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same, types included."""
    if left is right:
        return True
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return len(left) == len(right) and all(key in right and same(left[key], right[key]) for key in left)
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (left == right and math.copysign(1, left * right) >= 0)
    if isinstance(left, (list, tuple, deque)):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)
