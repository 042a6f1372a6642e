"""What a user relies on when files are searched."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.errors import OutsideWorkspaceError, ToolArgumentsError, ToolError
from openmanus_graph.tools.search_files import find, search_files

pytestmark = pytest.mark.usefixtures("context")


async def search(pattern: str, **arguments: Any) -> list[tuple[str, int, str]]:
    result = await search_files.ainvoke({"pattern": pattern, **arguments})
    assert set(result) == {"matches", "truncated"}
    assert result["truncated"] is False
    return [(match["path"], match["line"], match["text"]) for match in result["matches"]]


async def test_lines_with_place_and_text(workspace: Path) -> None:
    (workspace / "src").mkdir()
    (workspace / "a.py").write_bytes(b"import os\r\n\r\n  x = 1\r\nX\r\n")
    (workspace / "src/b.txt").write_bytes("grün x".encode("latin-1"))
    (workspace / "src/c.txt").write_bytes(b"\xff\xfe" + "eins\nx zwei\n".encode("utf-16-le"))
    assert await search(r"\bx\b") == [
        ("a.py", 3, "  x = 1"),
        ("src/b.txt", 1, "grün x"),
        ("src/c.txt", 2, "x zwei"),
    ]
    assert await search("^x$", ignore_case=True) == [("a.py", 4, "X")]
    assert await search("x", glob="**/*.py") == [("a.py", 3, "  x = 1")]
    assert await search("x", path="src/b.txt") == [("src/b.txt", 1, "grün x")]
    assert await search("nowhere") == []


async def test_a_guessed_encoding_is_named(workspace: Path) -> None:
    (workspace / "a.txt").write_bytes("Привет, как дела? Это обычный текст.\n".encode("cp1251"))
    (workspace / "b.txt").write_text("Привет, дела\n", encoding="utf-8")
    result = await search_files.ainvoke({"pattern": "дела"})
    assert result["matches"] == [
        {"path": "a.txt", "line": 1, "text": "Привет, как дела? Это обычный текст.", "encoding": "Windows-1251"},
        {"path": "b.txt", "line": 1, "text": "Привет, дела"},
    ]


async def test_hidden_on_request(workspace: Path) -> None:
    (workspace / ".env").write_text("KEY")
    assert await search("KEY") == []
    assert await search("KEY", include_hidden=True) == [(".env", 1, "KEY")]
    assert await search("KEY", glob=".*") == [(".env", 1, "KEY")]


async def test_binary_is_left_out_unless_named(workspace: Path) -> None:
    (workspace / "a.bin").write_bytes(b"needle\0")
    (workspace / "b.txt").write_text("needle")
    assert await search("needle") == [("b.txt", 1, "needle")]
    with pytest.raises(ToolError, match="binary"):
        await search("needle", path="a.bin")


async def test_bounded_and_says_so(workspace: Path) -> None:
    (workspace / "a").write_text("x\n" * 250)
    result = await search_files.ainvoke({"pattern": "x"})
    assert (len(result["matches"]), result["truncated"]) == (200, True)
    result = await search_files.ainvoke({"pattern": "x", "max_results": 250})
    assert (len(result["matches"]), result["truncated"]) == (250, False)


async def test_huge_file_is_skipped_and_long_line_is_cut(workspace: Path) -> None:
    with (workspace / "huge").open("wb") as stream:
        stream.write(b"x" * 9000)
        stream.truncate(30 * 2**20)
    (workspace / "long").write_text("a" * 100_000 + "needle" + "b" * 100_000)
    result = await search_files.ainvoke({"pattern": "needle"})
    assert result["truncated"] is True
    (match,) = result["matches"]
    assert "needle" in match["text"]
    assert len(match["text"]) < 500


async def test_never_leaves(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("needle")
    (workspace / "file").symlink_to(tmp_path / "secret")
    (workspace / "folder").symlink_to(tmp_path)
    assert await search("needle") == []
    for path in ("file", "folder", "..", str(tmp_path)):
        with pytest.raises(OutsideWorkspaceError):
            await search("needle", path=path)
    with pytest.raises(OutsideWorkspaceError):
        await search("needle", glob="../*")


async def test_endless_pattern_is_ended_and_others_go_on(workspace: Path) -> None:
    (workspace / "a").write_text("a" * 40 + "b")
    (workspace / "c").write_text("fine")
    request = {
        "workspace": str(workspace),
        "path": ".",
        "glob": "**/*",
        "ignore_case": False,
        "max_results": 5,
        "include_hidden": False,
    }
    started = time.monotonic()
    endless = asyncio.create_task(find({**request, "pattern": "(a+)+$"}, 1.5))
    assert (await find({**request, "pattern": "fin"}, 10))["matches"][0]["path"] == "c"
    with pytest.raises(ToolError, match=r"longer than 1\.5 s, and was at 'a'"):
        await endless
    assert time.monotonic() - started < 8


async def test_bad_pattern_and_missing_folder() -> None:
    with pytest.raises(ToolArgumentsError, match="not a regular expression"):
        await search("(")
    with pytest.raises(ToolError, match="missing"):
        await search("x", path="missing")
