"""What a user relies on when files are listed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.errors import OutsideWorkspaceError, ToolArgumentsError, ToolError
from openmanus_graph.tools.list_files import list_files

pytestmark = pytest.mark.usefixtures("context")


@pytest.fixture
def tree(workspace: Path) -> Path:
    names = "a.py b.txt src/c.py src/deep/d.py src/deep/e.tsx .env .git/config src/.cache/f.py"
    for name in names.split():
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).touch()
    return workspace


async def files(pattern: str, **arguments: Any) -> list[str]:
    result = await list_files.ainvoke({"pattern": pattern, **arguments})
    assert set(result) == {"files", "truncated"}
    assert result["truncated"] is False
    return result["files"]


@pytest.mark.usefixtures("tree")
class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("*", "a.py b.txt"),
            ("*.py", "a.py"),
            ("**/*.py", "a.py src/c.py src/deep/d.py"),
            ("**", "a.py b.txt src/c.py src/deep/d.py src/deep/e.tsx"),
            ("src/**", "src/c.py src/deep/d.py src/deep/e.tsx"),
            ("**/deep/*.{py,tsx}", "src/deep/d.py src/deep/e.tsx"),
            ("**/[cd].py", "src/c.py src/deep/d.py"),
            ("./src/?.py", "src/c.py"),
            (".*", ".env"),
            (".git/*", ".git/config"),
            ("**/.cache/*", "src/.cache/f.py"),
            ("nothing*", ""),
        ],
    )
    async def test_matches(self, pattern: str, expected: str) -> None:
        assert await files(pattern) == expected.split()

    async def test_hidden_on_request(self) -> None:
        assert await files("**/*", include_hidden=True, path="src") == [
            "src/c.py",
            "src/.cache/f.py",
            "src/deep/d.py",
            "src/deep/e.tsx",
        ]

    async def test_below_a_folder(self, tree: Path) -> None:
        assert await files("*", path="src/deep") == ["src/deep/d.py", "src/deep/e.tsx"]
        assert await files("*", path=str(tree / "src")) == ["src/c.py"]

    async def test_bad_folder(self) -> None:
        for path in ("missing", "a.py"):
            with pytest.raises(ToolError, match=path):
                await files("*", path=path)

    async def test_never_leaves(self, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "secret.py").touch()
        (tree / "out").symlink_to(tmp_path)
        (tree / "out.py").symlink_to(tmp_path / "secret.py")
        (tree / "in.py").symlink_to("a.py")
        assert await files("*.py") == ["a.py", "in.py"]
        assert await files("out/*") == []
        for pattern in ("../*", "src/../../*", "/etc/*"):
            with pytest.raises(OutsideWorkspaceError):
                await files(pattern)
        with pytest.raises(OutsideWorkspaceError):
            await files("*", path="out")


async def test_bounded_and_says_so(workspace: Path) -> None:
    for n in range(205):
        (workspace / f"{n:03}.txt").touch()
    result = await list_files.ainvoke({"pattern": "*"})
    assert (len(result["files"]), result["truncated"]) == (200, True)
    result = await list_files.ainvoke({"pattern": "*", "max_results": 205})
    assert (len(result["files"]), result["truncated"]) == (205, False)


async def test_patterns_made_to_be_slow(workspace: Path) -> None:
    (workspace / ("a" * 200)).touch()
    started = time.monotonic()
    assert await files("*a" * 60 + "b") == []
    assert await files("**/" * 100 + "x") == []
    assert time.monotonic() - started < 2
    with pytest.raises(ToolArgumentsError, match="alternatives"):
        await files("{a,b}" * 20)
