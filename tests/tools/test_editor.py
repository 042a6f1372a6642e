"""What a user relies on when the editor changes files: nothing but the edit changes."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import OutsideWorkspaceError, ToolArgumentsError, ToolError
from openmanus_graph.tools.str_replace_editor import str_replace_editor

pytestmark = pytest.mark.usefixtures("context")


async def edit(command: str, path: str, **arguments: Any) -> str:
    result = await str_replace_editor.ainvoke({"command": command, "path": path, **arguments})
    assert set(result) == {"text", "path"}
    return result["text"]


class TestView:
    async def test_looks_like_cat_n(self, workspace: Path) -> None:
        (workspace / "a.txt").write_bytes(b"one\n\ttwo\n\nfour")
        printed = subprocess.run(["cat", "-n", workspace / "a.txt"], capture_output=True, check=True)
        assert await edit("view", "a.txt") == printed.stdout.decode()

    async def test_range(self, workspace: Path) -> None:
        (workspace / "a.txt").write_text("".join(f"l{n}\n" for n in range(1, 11)))
        assert await edit("view", "a.txt", view_range=[3, 4]) == "     3\tl3\n     4\tl4"
        assert (await edit("view", "a.txt", view_range=[9, -1])).endswith("    10\tl10")
        assert (await edit("view", "a.txt", view_range=[10, 99])) == "    10\tl10"

    @pytest.mark.parametrize("bad", [[0, 1], [4, 3], [11, 12], [1, -2]])
    async def test_bad_range_names_the_argument(self, workspace: Path, bad: list[int]) -> None:
        (workspace / "a.txt").write_text("".join(f"l{n}\n" for n in range(1, 11)))
        with pytest.raises(ToolArgumentsError, match="view_range"):
            await edit("view", "a.txt", view_range=bad)

    async def test_file_larger_than_memory_allows_is_streamed(self, workspace: Path) -> None:
        with (workspace / "big.txt").open("w") as stream:
            for start in range(0, 600_000, 1000):
                stream.write("".join(f"{n:060d}\n" for n in range(start, start + 1000)))
        tracemalloc.start()
        try:
            text = await edit("view", "big.txt", view_range=[599_999, -1])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert text.splitlines() == [f"599999\t{599_998:060d}", f"600000\t{599_999:060d}"]
        assert peak < 8 * 2**20 < (workspace / "big.txt").stat().st_size

    async def test_long_output_says_what_is_missing(self, workspace: Path) -> None:
        (workspace / "a.txt").write_text("x\n" * 5000)
        assert (await edit("view", "a.txt")).endswith("[Lines 1-2000 of 5,000 shown; see more with `view_range`.]")
        (workspace / "b.txt").write_text("y" * 1_000_000)
        assert (await edit("view", "b.txt")).endswith("y [998,000 characters more]")

    async def test_folder(self, workspace: Path) -> None:
        (workspace / "src").mkdir()
        (workspace / "src/a.py").touch()
        (workspace / ".hidden").touch()
        assert (await edit("view", ".")).splitlines()[1:] == ["src/a.py"]

    async def test_empty_and_missing(self, workspace: Path) -> None:
        (workspace / "empty").touch()
        assert "is empty" in await edit("view", "empty")
        with pytest.raises(ToolError, match="no 'missing'"):
            await edit("view", "missing")


class TestCreate:
    async def test_writes_exactly_the_text(self, workspace: Path) -> None:
        await edit("create", "deep/in/a.txt", file_text="a\r\nb\tü")
        assert (workspace / "deep/in/a.txt").read_bytes() == "a\r\nb\tü".encode()

    async def test_respects_the_umask(self, workspace: Path) -> None:
        await edit("create", "a.txt", file_text="a")
        usual = workspace / "usual"
        usual.touch()
        assert (workspace / "a.txt").stat().st_mode == usual.stat().st_mode

    async def test_refuses_an_existing_file(self, workspace: Path) -> None:
        await edit("create", "a.txt", file_text="one")
        with pytest.raises(ToolError, match="already"):
            await edit("create", "a.txt", file_text="one")
        with pytest.raises(ToolError, match="already"):
            await edit("create", "a.txt", file_text="two")
        assert (workspace / "a.txt").read_text() == "one"

    async def test_file_system_without_hard_links(self, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def link(*_: Any, **__: Any) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", link)
        await edit("create", "a.txt", file_text="one")
        with pytest.raises(ToolError, match="already"):
            await edit("create", "a.txt", file_text="two")
        assert (workspace / "a.txt").read_text() == "one"
        assert {file.name for file in workspace.iterdir()} == {".openmanus", "a.txt"}

    async def test_undo_removes_the_file(self, workspace: Path) -> None:
        await edit("create", "a.txt", file_text="one")
        with pytest.raises(ToolError):
            await edit("create", "a.txt", file_text="two")
        assert "removed" in await edit("undo_edit", "a.txt")
        assert not (workspace / "a.txt").exists()
        with pytest.raises(ToolError, match="no edit to undo"):
            await edit("undo_edit", "a.txt")


ENCODED = {
    "utf-8": "grün\teins\nzwei\n".encode(),
    "utf-8 with mark": b"\xef\xbb\xbf" + "grün eins\n".encode(),
    "utf-16 little": b"\xff\xfe" + "grün eins\r\nzwei".encode("utf-16-le"),
    "utf-16 big": b"\xfe\xff" + "grün eins\n\U0001f600\n".encode("utf-16-be"),
    "utf-32": b"\xff\xfe\x00\x00" + "grün eins\n".encode("utf-32-le"),
    "latin-1": "grün eins\r\nstraße\r\n".encode("latin-1"),
    "crlf": b"\ta\r\neins \r\n\r\n  b\r\n",
    "mixed ends": b"a\reins\nb\r\nc\n\n",
    "no end": b"eins",
    "odd separators": "eins\x0c\u2028 \x85 x\n".encode(),
}


EIGHT_BIT: dict[str, tuple[str, str, str]] = {
    # name: text, codec, what it is called
    "german": ("Größe und Länge, schöne Grüße.\n", "latin-1", "Windows-1252"),
    "spanish": ("El niño comió piña mañana.\n", "latin-1", "Windows-1252"),
    "one letter": ("temp: 20\xb0C\n", "latin-1", "Windows-1252"),
    "euro": ("Der Preis: 5 € für „schöne“ Grüße.\n", "cp1252", "Windows-1252"),
    "polish": ("Zażółć gęślą jaźń. Język polski jest trudny.\n", "cp1250", "Windows-1250"),
    "czech": ("Příliš žluťoučký kůň úpěl ďábelské ódy.\n", "iso8859-2", "ISO 8859-2"),
    "russian": ("Привет, как дела? Это обычный текст.\n", "cp1251", "Windows-1251"),
    "russian, unix": ("Привет, как дела? Это обычный текст.\n", "koi8-r", "KOI8-R"),
    "russian, dos": ("Привет, как дела? Это обычный текст.\n", "cp866", "code page 866"),
    "greek": ("Καλημέρα κόσμε, τι κάνεις;\n", "cp1253", "Windows-1253"),
    "japanese": ("これは日本語のテキストです。\n", "cp932", "Shift-JIS"),
    "chinese": ("这是一个中文文本文件。\n", "gbk", "GB 18030"),
    "korean": ("이것은 한국어 텍스트입니다.\n", "cp949", "EUC-KR"),
}


class TestEightBits:
    @pytest.mark.parametrize("name", EIGHT_BIT)
    @pytest.mark.parametrize("far", [False, True])
    async def test_the_guessed_encoding_is_named_and_kept(self, workspace: Path, name: str, far: bool) -> None:
        text, codec, label = EIGHT_BIT[name]
        ascii_lines = "plain line\n" * 40_000 if far else "first\n"  # more than is read at once
        data = (ascii_lines + text).encode(codec) + b"last\r\n"
        (workspace / "a").write_bytes(data)
        line = ascii_lines.count("\n") + 1

        shown = await edit("view", "a", view_range=[line, line + 1])

        assert shown.splitlines()[0].endswith(f"\t{text.rstrip()}")
        assert shown.splitlines()[-1] == f"[The file is not in UTF-8; it is read as {label}, which is a guess.]"
        told = await edit("str_replace", "a", old_str=text.rstrip(), new_str=f"{text.rstrip()} {text[:4]}")
        assert (workspace / "a").read_bytes() == (ascii_lines + text.rstrip() + f" {text[:4]}\n").encode(
            codec
        ) + b"last\r\n"
        assert told.splitlines()[-1] == shown.splitlines()[-1]
        await edit("undo_edit", "a")
        assert (workspace / "a").read_bytes() == data

    async def test_an_edit_that_would_change_other_bytes_is_refused(self, workspace: Path) -> None:
        text = "これは日本語のテキストです。\n" * 3
        data = text.encode("cp932") + b"\xfa\x54 \x81\xca\n"  # two ways to write one character
        (workspace / "a").write_bytes(data)
        assert "日本語" in await edit("view", "a")
        with pytest.raises(ToolError, match="would change more than the edit") as caught:
            await edit("insert", "a", insert_line=0, new_str="x")
        assert "Convert it to UTF-8" in str(caught.value)
        assert (workspace / "a").read_bytes() == data

    async def test_any_bytes_without_controls_are_shown_and_survive(self, workspace: Path) -> None:
        data = b"one\n" + bytes(range(128, 256)) + b"\nlast\n"
        (workspace / "a").write_bytes(data)
        assert "which is a guess" in await edit("view", "a")
        await edit("str_replace", "a", old_str="last", new_str="end")
        assert (workspace / "a").read_bytes() == data.replace(b"last", b"end")

    async def test_utf_8_is_no_guess(self, workspace: Path) -> None:
        (workspace / "a").write_text("Größe 日本語\n", encoding="utf-8")
        assert await edit("view", "a") == "     1\tGröße 日本語"


class TestReplace:
    @pytest.mark.parametrize("data", ENCODED.values(), ids=ENCODED.keys())
    async def test_bytes_outside_the_edit_survive(self, workspace: Path, data: bytes) -> None:
        codec = {b"\xff\xfe\x00\x00": "utf-32-le"}.get(data[:4]) or {
            b"\xff\xfe": "utf-16-le",
            b"\xfe\xff": "utf-16-be",
        }.get(data[:2], "ascii")
        (workspace / "a").write_bytes(data)
        await edit("str_replace", "a", old_str="eins", new_str="one")
        assert (workspace / "a").read_bytes() == data.replace("eins".encode(codec), "one".encode(codec))
        await edit("undo_edit", "a")
        assert (workspace / "a").read_bytes() == data

    async def test_a_line_feed_stands_for_the_files_line_end(self, workspace: Path) -> None:
        (workspace / "a").write_bytes(b"a\r\nb\r\nc\r\n")
        await edit("str_replace", "a", old_str="a\nb\n", new_str="x\ny\nz\n")
        assert (workspace / "a").read_bytes() == b"x\r\ny\r\nz\r\nc\r\n"

    async def test_all_lines_of_several_matches_are_named(self, workspace: Path) -> None:
        (workspace / "a").write_bytes(b"x\r\ny\r\nx x\r\nz\r\nx")
        with pytest.raises(ToolError, match=r"lines 1, 3, 5\."):
            await edit("str_replace", "a", old_str="x", new_str="w")
        (workspace / "b").write_text("aaa")
        with pytest.raises(ToolError, match="more than once"):
            await edit("str_replace", "b", old_str="aa", new_str="b")

    async def test_no_match(self, workspace: Path) -> None:
        (workspace / "a").write_text("\tx\n")
        with pytest.raises(ToolError, match="does not occur"):
            await edit("str_replace", "a", old_str="    x", new_str="y")

    async def test_equal_texts_are_refused(self, workspace: Path) -> None:
        (workspace / "a.txt").write_text("one\n")
        with pytest.raises(ToolError, match="are equal"):
            await edit("str_replace", "a.txt", old_str="one", new_str="one")

    async def test_special_characters_are_literal(self, workspace: Path) -> None:
        (workspace / "a").write_text(r"f(x)* \1 [a]")
        await edit("str_replace", "a", old_str=r"(x)* \1", new_str=r"\g<0>\n")
        assert (workspace / "a").read_text() == r"f\g<0>\n [a]"

    async def test_nothing_deletes(self, workspace: Path) -> None:
        (workspace / "a").write_text("one two")
        await edit("str_replace", "a", old_str=" two")
        assert (workspace / "a").read_text() == "one"

    async def test_character_the_encoding_lacks(self, workspace: Path) -> None:
        (workspace / "a").write_bytes("grün".encode("latin-1"))
        with pytest.raises(ToolError, match="'ж' cannot be written in Windows-1252"):
            await edit("str_replace", "a", old_str="g", new_str="ж")
        assert (workspace / "a").read_bytes() == "grün".encode("latin-1")

    async def test_mode_is_kept(self, workspace: Path) -> None:
        script = workspace / "run.sh"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o750)
        await edit("str_replace", "run.sh", old_str="sh\n", new_str="bash\n")
        assert script.stat().st_mode & 0o777 == 0o750

    async def test_shows_the_place(self, workspace: Path) -> None:
        (workspace / "a").write_text("".join(f"l{n}\n" for n in range(1, 21)))
        text = await edit("str_replace", "a", old_str="l10\n", new_str="new\nlines\n")
        assert "    10\tnew\n    11\tlines\n    12\tl11" in text
        assert "l3\n" not in text


class TestInsert:
    @pytest.mark.parametrize(
        ("data", "line", "new", "expected"),
        [
            (b"a\nb\n", 0, "x", b"x\na\nb\n"),
            (b"a\nb\n", 1, "x\n", b"a\nx\nb\n"),
            (b"a\nb\n", 2, "x", b"a\nb\nx\n"),
            (b"a\nb", 2, "x\n", b"a\nb\nx"),
            (b"a\r\nb", 1, "x\ny", b"a\r\nx\r\ny\r\nb"),
            (b"a\nb\n", 1, "", b"a\n\nb\n"),
            (b"", 0, "x\n", b"x\n"),
        ],
    )
    async def test_whole_lines(self, workspace: Path, data: bytes, line: int, new: str, expected: bytes) -> None:
        (workspace / "a").write_bytes(data)
        await edit("insert", "a", insert_line=line, new_str=new)
        assert (workspace / "a").read_bytes() == expected
        await edit("undo_edit", "a")
        assert (workspace / "a").read_bytes() == data

    async def test_line_behind_the_end(self, workspace: Path) -> None:
        (workspace / "a").write_text("a\nb\n")
        with pytest.raises(ToolError, match="has 2 lines"):
            await edit("insert", "a", insert_line=3, new_str="x")


class TestUndo:
    async def test_several_edits_back_to_the_first_bytes(self, workspace: Path) -> None:
        states = [b"\xff\xfe" + "0\r\n".encode("utf-16-le")]
        (workspace / "a").write_bytes(states[0])
        for n in range(5):
            await edit("str_replace", "a", old_str=str(n), new_str=str(n + 1))
            states.append((workspace / "a").read_bytes())
        for state in reversed(states[:-1]):
            await edit("undo_edit", "a")
            assert (workspace / "a").read_bytes() == state

    async def test_survives_a_restart(self, workspace: Path) -> None:
        """Another process made the edit; its history is in the workspace."""
        program = f"""
import asyncio
from pathlib import Path
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.config.settings import Settings
from openmanus_graph.tools.str_replace_editor import str_replace_editor
context = ToolContext(thread_id="t", subtask_id="s", workspace=Path({str(workspace)!r}), settings=Settings())
with using_tool_context(context):
    for arguments in (
        dict(path="x/a.txt", command="create", file_text="a"),
        dict(path="x/a.txt", command="insert", insert_line=1, new_str="b"),
    ):
        asyncio.run(str_replace_editor.ainvoke(arguments))
"""
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=True)
        assert (workspace / "x/a.txt").read_bytes() == b"a\nb"
        await edit("undo_edit", "x/a.txt")
        assert (workspace / "x/a.txt").read_bytes() == b"a"
        await edit("undo_edit", "x/a.txt")
        assert not (workspace / "x/a.txt").exists()

    async def test_a_strangers_change_is_not_lost(self, workspace: Path) -> None:
        await edit("create", "a", file_text="a")
        (workspace / "a").write_text("precious")
        with pytest.raises(ToolError, match="something else"):
            await edit("undo_edit", "a")
        assert (workspace / "a").read_text() == "precious"

    async def test_history_is_bounded(self, workspace: Path) -> None:
        await edit("create", "a", file_text="0")
        for n in range(60):
            await edit("str_replace", "a", old_str=str(n), new_str=str(n + 1))
        kept = list((workspace / ".openmanus/undo").glob("*/*"))
        assert len(kept) == 51

    async def test_history_itself_is_not_edited(self) -> None:
        with pytest.raises(ToolError, match="belongs to the engine"):
            await edit("create", ".openmanus/undo/x", file_text="x")


class TestStepThatRunsAgain:
    """A step in flight when the process died runs once more, with the same call id."""

    async def test_each_command_happens_once(self, context: ToolContext, workspace: Path) -> None:
        async def twice(call: str, command: str, **arguments: Any) -> None:
            with using_tool_context(replace(context, call_id=call)):
                await edit(command, "a", **arguments)
                await edit(command, "a", **arguments)

        await twice("1", "create", file_text="a\n")
        await twice("2", "insert", insert_line=0, new_str="b")
        assert (workspace / "a").read_text() == "b\na\n"
        await twice("3", "str_replace", old_str="a", new_str="c")
        assert (workspace / "a").read_text() == "b\nc\n"
        await twice("4", "undo_edit")
        assert (workspace / "a").read_text() == "b\na\n"

    async def test_died_between_history_and_file(self, workspace: Path) -> None:
        await edit("create", "a", file_text="1")
        await edit("str_replace", "a", old_str="1", new_str="2")
        (workspace / "a").write_text("1")  # as if the last write had never happened
        await edit("undo_edit", "a")
        assert not (workspace / "a").exists()


class TestConfinement:
    @pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "/", ".."])
    async def test_paths_that_lead_out(self, path: str) -> None:
        for command in ("view", "create"):
            with pytest.raises(OutsideWorkspaceError, match="leads out"):
                await edit(command, path, **({"file_text": "x"} if command == "create" else {}))

    async def test_absolute_path_inside(self, workspace: Path) -> None:
        await edit("create", str(workspace / "a"), file_text="x")
        assert (workspace / "a").read_text() == "x"

    async def test_links(self, workspace: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        (workspace / "file").symlink_to(tmp_path / "secret")
        (workspace / "folder").symlink_to(tmp_path)
        (workspace / "dangling").symlink_to(tmp_path / "new")
        (workspace / "loop").symlink_to("loop")
        (workspace / "inside").write_text("inside")
        (workspace / "good").symlink_to("inside")
        for path in ("file", "folder/secret"):
            with pytest.raises(OutsideWorkspaceError):
                await edit("view", path)
            with pytest.raises(OutsideWorkspaceError):
                await edit("str_replace", path, old_str="secret", new_str="x")
        for path in ("dangling", "folder/new"):
            with pytest.raises(OutsideWorkspaceError):
                await edit("create", path, file_text="x")
        with pytest.raises(ToolError):
            await edit("view", "loop")
        await edit("str_replace", "good", old_str="inside", new_str="changed")
        assert (workspace / "inside").read_text() == "changed"
        assert (workspace / "good").is_symlink()
        assert (tmp_path / "secret").read_text() == "secret"
        assert not (tmp_path / "new").exists()

    async def test_history_folder_swapped_for_a_link(self, workspace: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (workspace / ".openmanus").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OutsideWorkspaceError):
            await edit("create", "a", file_text="x")
        assert not list((tmp_path / "elsewhere").iterdir())

    async def test_pipe_does_not_hang(self, workspace: Path) -> None:
        os.mkfifo(workspace / "pipe")
        with pytest.raises(ToolError, match="regular"):
            await asyncio.wait_for(edit("view", "pipe"), 5)


class TestRefusals:
    async def test_binary(self, workspace: Path) -> None:
        (workspace / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
        (workspace / "b").write_bytes(bytes(range(1, 256)))
        for path in ("a.png", "b"):
            with pytest.raises(ToolError, match="binary"):
                await edit("view", path)
            with pytest.raises(ToolError, match="binary"):
                await edit("insert", path, insert_line=0, new_str="x")

    async def test_too_large_to_edit(self, workspace: Path) -> None:
        with (workspace / "a").open("wb") as stream:
            stream.truncate(11 * 2**20)
        with pytest.raises(ToolError, match="edits up to"):
            await edit("str_replace", "a", old_str="x", new_str="y")

    async def test_missing_argument_is_named(self) -> None:
        for command, name in (("create", "file_text"), ("str_replace", "old_str"), ("insert", "insert_line")):
            with pytest.raises(ToolArgumentsError, match=name):
                await edit(command, "a")
