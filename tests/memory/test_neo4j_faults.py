"""Neo4j faults: a server that is down, refuses, or is stopped in the middle of a write, and what a store then says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openmanus_graph import fault_points
from openmanus_graph.errors import MemoryStoreError, SettingsError
from openmanus_graph.memory.procedural.neo4j_templates import Neo4jTemplates
from tests.memory.ways import COPY, copying, run, without_driver
from tests.neo4j_server import Neo4jServer, free_port

pytestmark = pytest.mark.programs


@pytest.fixture
def unwatched() -> Iterator[None]:
    yield
    fault_points.watch(None)


def store_of(server: Neo4jServer, patience_s: float = 200.0) -> Neo4jTemplates:
    return Neo4jTemplates(server.uri, "me", password=server.password, patience_s=patience_s, limit_s=300.0)


async def test_wrong_credentials_are_said_without_the_password(neo4j: Neo4jServer) -> None:
    for user, password in (("neo4j", "wrong-password"), ("nobody", neo4j.password), ("", "")):
        with pytest.raises(MemoryStoreError, match="does not let the user") as caught:
            await Neo4jTemplates(neo4j.uri, "me", user=user, password=password).templates()

        assert repr(user) in caught.value.message
        assert "NEO4J_PASSWORD" in (caught.value.hint or "")
        assert not password or password not in str(caught.value)


async def test_a_server_that_is_not_there_is_said_with_its_place() -> None:
    uri = f"bolt://127.0.0.1:{free_port()}"

    with pytest.raises(MemoryStoreError, match="No Neo4j answers at") as caught:
        await Neo4jTemplates(uri, "me").remember(copying(), run())

    assert repr(uri) in caught.value.message
    assert "NEO4J_URI" in (caught.value.hint or "")


@pytest.mark.parametrize("uri", ["", "localhost:7687", "http://localhost:7687", "bolt://", "bolt:// x"])
async def test_an_address_that_is_none_is_a_setting_to_correct(uri: str) -> None:
    with pytest.raises((SettingsError, MemoryStoreError)) as caught:
        await Neo4jTemplates(uri, "me").templates()

    assert repr(uri) in caught.value.message


async def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    without_driver(monkeypatch)

    with pytest.raises(SettingsError, match="not installed") as caught:
        await Neo4jTemplates("bolt://localhost:7687", "me").templates()

    assert "openmanus-graph[neo4j]" in (caught.value.hint or "")


async def test_a_silent_server_is_not_waited_for_again_at_once(silent: str) -> None:
    store = Neo4jTemplates(silent, "me")
    said: list[str] = []
    for _ in range(3):
        with pytest.raises(MemoryStoreError, match="No Neo4j answers at") as caught:
            await store.offered(COPY)
        said.append(caught.value.message)

    assert "no answer in 5 s" in said[0]
    assert all("it did not answer within the last minute" in one for one in said[1:])


@pytest.mark.chaos
async def test_a_write_that_the_server_did_not_keep_is_made_again(neo4j: Neo4jServer, unwatched: None) -> None:
    """Stopped in the ordinary way with a transaction open, a server answers the commit as if it had worked."""
    await store_of(neo4j).remember(copying(), run(1))
    stops = 0

    def stop_once(name: str) -> None:
        nonlocal stops
        if name == "inside template in neo4j" and not stops:
            stops += 1
            neo4j.stop()
            neo4j.start()

    fault_points.watch(stop_once)
    await store_of(neo4j).remember(copying(), run(2))
    fault_points.watch(None)

    assert stops == 1
    (known,) = await store_of(neo4j).templates()
    assert (known.runs, known.worked) == (2, 2)


@pytest.mark.chaos
async def test_a_server_that_dies_in_a_write_is_an_error_and_nothing_is_half_stored(
    neo4j: Neo4jServer, unwatched: None
) -> None:
    await store_of(neo4j).remember(copying(), run(1))
    fault_points.watch(lambda name: neo4j.kill() if name == "inside template in neo4j" else None)

    with pytest.raises(MemoryStoreError):
        await store_of(neo4j, patience_s=1.0).remember(copying(), run(2))

    fault_points.watch(None)
    neo4j.start()
    (known,) = await store_of(neo4j).templates()
    assert known.runs == 1
    await store_of(neo4j).remember(copying(), run(2))
    (known,) = await store_of(neo4j).templates()
    assert known.runs == 2
