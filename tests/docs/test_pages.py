"""Pages: what README and docs show works as shown."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from openmanus_graph import Settings
from openmanus_graph.tools.browser.confinement import why_unavailable
from tests.conftest import Require
from tests.docs.blocks import TOP, blocks_of, pages
from tests.docs.story import SET_UP, Story, set_up

_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LANGUAGES = {"python", "yaml", "json", "toml", "bash", "sh", "console", "mermaid", "text", "sql"}

FOLLOWED = [page for page in pages() if page.name not in ("CONTRIBUTING.md", "CHANGELOG.md")]


def name(page: Path) -> str:
    return str(page.relative_to(TOP))


@pytest.mark.postgres
@pytest.mark.parametrize("page", FOLLOWED, ids=name)
def test_every_block_of_a_page_works_in_order(page: Path, story: Story, require: Require) -> None:
    if page.name == "browser.md":
        why = why_unavailable(Settings())
        require(why is None, why or "", "make setup")
    for block in blocks_of(page):
        story.follow(block)


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_block_says_its_language(page: Path) -> None:
    assert [block.place for block in blocks_of(page) if block.language not in _LANGUAGES] == []


@pytest.mark.parametrize("page", pages(), ids=name)
def test_targets_of_make_exist(page: Path) -> None:
    named = {line for block in blocks_of(page) for line in block.text.splitlines() if SET_UP.match(line)}
    named |= set(re.findall(r"`(make [a-z0-9-]+)[^`]*`", page.read_text(encoding="utf-8")))

    assert all(set_up(line) for line in named)


def anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    broken: list[str] = []
    for found in _LINK.finditer(page.read_text(encoding="utf-8")):
        target, _, anchor = found["target"].partition("#")
        if re.match(r"https?:|mailto:", target):
            continue
        path = (page.parent / target) if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(found["target"])

    assert broken == []


def test_every_page_is_in_the_index() -> None:
    index = (TOP / "docs" / "README.md").read_text(encoding="utf-8")

    assert [page.name for page in (TOP / "docs").glob("*.md") if page.name != "README.md"] == [
        page.name for page in (TOP / "docs").glob("*.md") if f"({page.name})" in index
    ]


def test_every_name_that_blocks_import_is_in_the_reference() -> None:
    reference = (TOP / "docs" / "reference.md").read_text(encoding="utf-8")
    blocks = [block for page in pages() for block in blocks_of(page) if block.language == "python"]
    imported = {
        alias.name
        for block in blocks
        for node in ast.walk(ast.parse(re.sub(r"^[%!].*", "", block.text, flags=re.MULTILINE)))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("openmanus_graph")
        for alias in node.names
    }

    assert {"ScriptedServer", "svg_of", "builtin", "Place", "run"} <= imported
    assert [name for name in sorted(imported) if f"\n## `{name}`\n" not in reference] == []


def test_generated_parts_are_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, TOP / "scripts" / "documents.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr


def commands() -> list[str]:
    text = (TOP / "docs" / "cli.md").read_text(encoding="utf-8")
    return re.findall(r"<!-- generated: help ?(.*?) -->", text)


@pytest.mark.parametrize("words", commands())
def test_help_in_the_docs_is_what_the_program_prints(words: str) -> None:
    said = subprocess.run(
        [Path(sys.executable).with_name("openmanus-graph"), *words.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "80"},
    )

    assert f"```text\n{said.stdout.rstrip()}\n```" in (TOP / "docs" / "cli.md").read_text(encoding="utf-8")


def test_docs_show_the_help_of_every_command() -> None:
    import click

    from openmanus_graph.cli import cli

    names = {""}
    for command in cli.commands.values():
        names.add(command.name or "")
        if isinstance(command, click.Group):
            names |= {f"{command.name} {inner}" for inner in command.commands}
            groups = [inner for inner in command.commands.values() if isinstance(inner, click.Group)]
            names |= {f"{command.name} {group.name} {inner}" for group in groups for inner in group.commands}

    assert set(commands()) == names


def test_readme_has_the_promise_in_its_words() -> None:
    promise = (
        "a committed result never runs again; a step in flight when the process died may run once more; "
        "external effects are guarded separately."
    )

    assert promise in " ".join((TOP / "README.md").read_text(encoding="utf-8").split())
