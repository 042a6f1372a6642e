"""Contents of files, which threads share: a key that is lost, or an archive that is forged, spoils no other thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import (
    Settings,
    ThreadSaver,
    build_plan_graph,
    delete_thread,
    export_thread,
    find_thread,
    fork_thread,
    import_thread,
    open_checkpointer,
)
from openmanus_graph.checkpoints.encryption.cipher import FILE_MAGIC
from openmanus_graph.config.encryption_keys import new_key
from openmanus_graph.errors import ArchiveError, EncryptionKeyError
from tests.chains import thread
from tests.encryption.plain_text import rows_with

pytestmark = pytest.mark.postgres


def with_key(database: str, key: str | None) -> Any:
    return open_checkpointer(database, settings=Settings.load(encryption_key=key))


async def writes(saver: ThreadSaver, name: str, words: str = "a walrus") -> None:
    """A plan whose only step writes a file."""
    step = {"id": "a", "tool": "bash", "args": {"command": f"echo {words} > a.txt"}}
    app = build_plan_graph(["bash"], settings=Settings.load(sandbox="none")).compile(checkpointer=saver)
    await app.ainvoke({"plan": {"subtasks": [step]}}, thread(name))


async def forked(saver: ThreadSaver, name: str) -> str:
    """What the file says in a fork of a thread."""
    fork = await fork_thread(saver, name, workspace=f"fork-of-{name}")
    assert not fork.missing
    return (Path(f"fork-of-{name}") / "a.txt").read_text()


async def test_a_content_of_a_lost_key_is_written_anew_by_who_has_it(database: str) -> None:
    for name, key in (("lost", new_key()), ("other", new_key()), ("plain", None)):
        async with with_key(database, key) as saver:
            await writes(saver, name)
            assert await forked(saver, name) == "a walrus\n"


async def test_a_content_that_a_plain_thread_stored_is_sealed_by_the_next(database: str, key: str) -> None:
    async with with_key(database, None) as saver:
        await writes(saver, "plain")
        plain = await find_thread(saver, "plain")
    async with with_key(database, key) as saver:
        await writes(saver, "sealed")
        await delete_thread(saver, plain)
    assert rows_with(database, "a walrus") == {}


@pytest.mark.parametrize("says", ["plain", "encrypted"])
@pytest.mark.parametrize("has_key", [False, True])
async def test_a_forged_content_is_refused_and_spoils_no_thread(
    database: str, elsewhere: str, key: str, tmp_path: Path, says: str, has_key: bool
) -> None:
    async with with_key(elsewhere, key) as saver:
        name = bytes.fromhex(saver.cipher.id)
    file = tmp_path / "t.thread"
    async with with_key(database, None) as saver:
        await writes(saver, "t")
        async with saver.connection() as connection:
            await connection.execute("UPDATE file_contents SET content = %s", (FILE_MAGIC + name + bytes(40),))
            if says == "encrypted":
                await connection.execute("UPDATE threads SET encrypted_with = %s", ([name.hex()],))
        await export_thread(saver, await find_thread(saver, "t", locked_too=True), file)
    async with with_key(elsewhere, key if has_key else None) as saver:
        refusal = EncryptionKeyError if says == "encrypted" and not has_key else ArchiveError
        with pytest.raises(refusal, match="names that are not theirs" if refusal is ArchiveError else name.hex()):
            await import_thread(saver, file, workspace=tmp_path / "there")
        await writes(saver, "own")
        assert await forked(saver, "own") == "a walrus\n"


@pytest.mark.parametrize("arrives", ["plain", "sealed"])
async def test_a_content_that_arrives_takes_the_place_of_one_of_a_lost_key(
    database: str, elsewhere: str, key: str, tmp_path: Path, arrives: str
) -> None:
    async with with_key(elsewhere, new_key()) as saver:
        await writes(saver, "lost")
    async with with_key(database, key if arrives == "sealed" else None) as saver:
        await writes(saver, "t")
        await export_thread(saver, await find_thread(saver, "t"), tmp_path / "t.thread")
    async with with_key(elsewhere, key) as saver:
        await import_thread(saver, tmp_path / "t.thread", workspace=tmp_path / "there")
        assert await forked(saver, "t") == "a walrus\n"
    assert rows_with(elsewhere, "a walrus") == {}
