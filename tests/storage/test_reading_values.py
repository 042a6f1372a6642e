"""Reading values: bytes name classes, and nothing of those runs; what is gone or has changed is named."""

from __future__ import annotations

import dataclasses
import enum
import sys
from pathlib import Path
from typing import Any, cast

import ormsgpack
import pytest
from langgraph.types import Command
from pydantic import BaseModel, Field

from openmanus_graph import ThreadSaver, make_durable
from openmanus_graph.checkpoints.forking.fork import fork_thread
from openmanus_graph.checkpoints.history.checkpoint_ref import find_point
from openmanus_graph.checkpoints.history.values import values_at
from openmanus_graph.checkpoints.serializer import PlainSerializer, StateSerializer, stand_ins
from openmanus_graph.errors import ForeignTypeError, ThreadUnreadableError
from tests.storage.kept_values import Bolt, Pair, Size, asking, same, thread


def named(code: int, *stored: Any) -> tuple[str, bytes]:
    """A value as somebody who can write to the database may store it."""
    return "msgpack", ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(list(stored))))


class Armed(BaseModel):
    target: str = ""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        raise AssertionError("it was run")

    def model_post_init(self, context: Any, /) -> None:
        raise AssertionError("it was run")


@dataclasses.dataclass
class Trap:
    target: str

    def __post_init__(self) -> None:
        raise AssertionError("it was run")


def bang() -> str:
    raise AssertionError("it was run")


class Wired:
    """An attribute that does something when it is set."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else "got"

    def __set__(self, instance: Any, value: Any) -> None:
        raise AssertionError("it was run")


@dataclasses.dataclass
class Mine:
    target: str
    fuse: str = dataclasses.field(default_factory=bang)
    wire: Any = dataclasses.field(default=None, init=False)


Mine.wire = Wired()  # type: ignore[assignment]


class Loaded(BaseModel):
    target: str = Field(default_factory=bang)


class Mode(enum.Flag):
    ON = 1

    @classmethod
    def _missing_(cls, value: object) -> Any:
        raise AssertionError("it was run")


class Closing(BaseModel):
    target: str = ""

    def __del__(self) -> None:
        raise AssertionError("it was run")


@pytest.mark.parametrize("serializer", [StateSerializer(), PlainSerializer()], ids=["users", "ours"])
def test_reading_runs_nothing_that_the_bytes_name(serializer: StateSerializer, tmp_path: Path) -> None:
    marker = str(tmp_path / "made")
    here = __name__
    for stored in (
        named(0, "os", "system", f"touch {marker}"),
        named(1, "subprocess", "Popen", [["touch", marker]]),
        named(2, "subprocess", "Popen", {"args": ["touch", marker]}),
        named(3, "pathlib", "Path", marker, "touch"),
        named(5, "subprocess", "Popen", {"args": ["touch", marker]}, "model_validate_json"),
        named(5, here, "Closing", {"target": "x"}, "model_validate_json", ["target"], {}),
        named(0, here, "order", 1),
        named(0, here, "dt.date", 1),
        named(2, "antigravity", "Anything", {}),
        named(5, here, "Armed", {"target": "x"}, "model_validate_json"),
        named(5, here, "Loaded", {}, "model_validate_json", [], {}),
        named(2, here, "Mine", {"target": "x"}),
        named(0, here, "Mode", 64),
        named(4, here, "Armed", {"target": "x"}),
    ):
        with pytest.raises(ForeignTypeError, match="It is of the class"):
            serializer.loads_typed(stored)
    assert not Path(marker).exists()
    assert "antigravity" not in sys.modules
    armed: Any = serializer.loads_typed(named(5, here, "Armed", {"target": "x"}, "word", ["target"], {}))
    trap: Any = serializer.loads_typed(named(2, here, "Trap", {"target": "x"}))
    assert (type(armed), armed.target, type(trap), trap.target) == (Armed, "x", Trap, "x")
    mine: Any = serializer.loads_typed(named(2, here, "Mine", {"target": "x", "fuse": "y", "wire": 1}, {"wire": 2}))
    assert (mine.target, mine.wire) == ("x", "got")


def test_a_class_that_has_changed_gets_what_it_lacks_or_is_named() -> None:
    serializer = StateSerializer()
    kept: Any = serializer.loads_typed(
        named(5, Bolt.__module__, "Bolt", {"count": 1, "gone": 2}, "word", ["count"], {})
    )
    assert kept == Bolt(the_count=1)
    with pytest.raises(ForeignTypeError, match=r"kept_values\.Part, which cannot be made of it \(it lacks 'count'\)"):
        serializer.loads_typed(named(5, Bolt.__module__, "Part", {"gone": 2}, "word", [], {}))
    with pytest.raises(ForeignTypeError, match=r"Gone, which is no class of 'tests\.storage\.kept_values' that"):
        serializer.loads_typed(named(2, Bolt.__module__, "Gone", {}))


@pytest.mark.postgres
async def test_classes_that_langgraph_allows_are_imported(
    saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "allowed_here.py").write_text("import enum\nclass Shade(enum.Enum):\n    DARK = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    stored = named(0, "allowed_here", "Shade", 1, "DARK")
    with pytest.raises(ForeignTypeError, match="nothing has imported 'allowed_here'"):
        saver.serde.loads_typed(stored)
    allowing = saver.with_allowlist({("allowed_here", "Shade")})
    assert isinstance(allowing, ThreadSaver)
    assert repr(allowing.serde.loads_typed(stored)) == "<Shade.DARK: 1>"
    del sys.modules["allowed_here"]
    for other in (saver, saver.for_plain_values()):
        with pytest.raises(ForeignTypeError, match="nothing has imported 'allowed_here'"):
            other.serde.loads_typed(stored)


@pytest.mark.postgres
async def test_a_class_that_is_gone_is_named_and_its_fields_are_still_shown_and_kept(
    saver: ThreadSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_durable(asking({"order": Pair(1, "x"), "size": Size.BIG}), saver).ainvoke({"seen": 1}, thread())
    async with saver.connection() as connection:
        # As if the module had been renamed; both names have the same length, so that the bytes stay well-formed.
        for table in ("checkpoint_blobs", "checkpoint_writes"):
            rows = await (await connection.execute(f"SELECT ctid, blob FROM {table} WHERE blob IS NOT NULL")).fetchall()  # type: ignore[arg-type]
            for row in rows:
                renamed = bytes(row["blob"]).replace(b"kept_values", b"kept_zalues")
                await connection.execute(f"UPDATE {table} SET blob = %s WHERE ctid = %s", (renamed, row["ctid"]))  # type: ignore[arg-type]
    with pytest.raises(
        ThreadUnreadableError, match=r"the class tests\.storage\.kept_zalues\.\w+, which is not"
    ) as caught:
        await make_durable(asking(1), saver).ainvoke(Command(resume=1), thread())
    assert "Import 'tests.storage.kept_zalues'" in str(caught.value.hint)
    point = await find_point(saver, "t")
    values = await values_at(saver, point)
    assert values["given"] == {"order": {"left": 1, "right": "x"}, "size": {"value": "big"}}
    fork = await fork_thread(saver, point.address, edits={"given.order.left": 2})
    copied = await find_point(saver, fork.thread.thread_id)
    stored = (await values_at(saver, copied))["given"]
    assert stored["order"] == {"left": 2, "right": "x"}
    data = StateSerializer().dumps_typed(stored)[1].replace(b"kept_zalues", b"kept_values")
    assert same(StateSerializer().loads_typed(("msgpack", data)), {"order": Pair(2, "x"), "size": Size.BIG})


def test_stand_ins_end_with_their_block() -> None:
    stored = named(2, "gone_module", "Gone", {"a": 1})
    with stand_ins():
        assert cast("Any", StateSerializer().loads_typed(stored)) == {"a": 1}
    with pytest.raises(ForeignTypeError):
        StateSerializer().loads_typed(stored)
