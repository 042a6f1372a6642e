"""Site: every page is there, nothing is fetched to read it, and what leads nowhere ends the build."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from openmanus_graph import Settings, build_manus_graph, build_plan_graph
from openmanus_graph.drawing.diagram import Diagram, Link
from openmanus_graph.drawing.graph import graph_mermaid
from openmanus_graph.drawing.svg import svg
from tests.repository.scripts import script

pytestmark = pytest.mark.programs


class Sources(HTMLParser):
    """Whatever a browser fetches by itself to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "object") or (tag == "link" and "href" in given):
            self.found += [value for name in ("src", "href", "data") if (value := given.get(name))]


@pytest.fixture(scope="module")
def site(top: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, top / "scripts" / "build_site.py", folder], check=True, capture_output=True)
    return folder


def test_site_has_every_page(top: Path, site: Path) -> None:
    pages = {path.stem for path in (top / "docs").glob("*.md")} - {"README"}

    assert pages <= {path.stem for path in (site / "docs").glob("*.html")}
    assert all((site / f"{name}.html").is_file() for name in ("index", "docs/index", "CHANGELOG", "SECURITY"))
    first = (site / "index.html").read_text(encoding="utf-8")
    assert {name for name in pages if f'href="docs/{name}.html"' not in first} == set()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched: list[str] = []
    for page in site.rglob("*.html"):
        sources = Sources()
        sources.feed(page.read_text(encoding="utf-8"))
        fetched += [f"{page.name}: {source}" for source in sources.found if re.match(r"(https?:)?//", source)]
    for sheet in site.rglob("*.css"):
        fetched += re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", sheet.read_text(encoding="utf-8"))

    assert fetched == []


def test_flowcharts_are_pictures(site: Path) -> None:
    page = (site / "docs" / "architecture.html").read_text(encoding="utf-8")

    assert page.count('<svg xmlns="http://www.w3.org/2000/svg" class="omg"') >= 3
    assert ">coordinator</text>" in page
    assert "flowchart TD" not in page
    assert "prefers-color-scheme: dark" in (site / "_static" / "diagrams.css").read_text(encoding="utf-8")


@pytest.fixture
def checkout(top: Path, tmp_path: Path) -> Path:
    """A small repository with the scripts of this one."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "scripts").mkdir()
    for name in ("build_site.py", "flowchart.py"):
        shutil.copy(top / "scripts" / name, tmp_path / "scripts")
    for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n\n[Pages](docs/README.md)\n", encoding="utf-8")
    (tmp_path / "docs" / "README.md").write_text("# Pages\n\nAll:\n\n- [One](one.md): a page\n", encoding="utf-8")
    return tmp_path


def built(checkout: Path, text: str) -> tuple[int, str]:
    (checkout / "docs" / "one.md").write_text(f"# One\n\n## Part of it\n\n{text}\n", encoding="utf-8")
    call = [sys.executable, checkout / "scripts" / "build_site.py"]
    ran = subprocess.run(call, check=False, capture_output=True, text=True)
    return ran.returncode, ran.stderr


def test_links_that_lead_somewhere_are_kept(checkout: Path) -> None:
    text = "[Top](../README.md) [here](#part-of-it) [there](README.md#pages)\n\n```text\n[no](link.md)\n```"

    assert built(checkout, text) == (0, "")
    page = (checkout / "build" / "site" / "docs" / "one.html").read_text(encoding="utf-8")
    assert all(target in page for target in ('href="../index.html"', 'href="#part-of-it"', 'href="index.html#pages"'))


def test_a_link_to_no_file_is_named_with_its_line(checkout: Path) -> None:
    code, said = built(checkout, "Text.\n\n[Gone](gone.md)")

    assert code == 1
    assert said.startswith("docs/one.md:7: 'gone.md' is no file")


def test_an_anchor_that_is_not_there_ends_the_build(checkout: Path) -> None:
    code, said = built(checkout, "[Gone](README.md#gone)")

    assert code != 0
    assert "one.md:5" in said
    assert "gone" in said


def test_a_diagram_that_cannot_be_drawn_is_named_with_its_line(checkout: Path) -> None:
    code, said = built(checkout, "```mermaid\nsequenceDiagram\n    a->>b: hello\n```")

    assert code == 1
    assert said.startswith("docs/one.md:5: 'sequenceDiagram' begins no flowchart")


# ---------------------------------------------------------------- reading flowcharts


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    return script("flowchart")


def links(diagram: Diagram) -> set[tuple[str, str, bool, str]]:
    inner = [links(box.inside) for box in diagram.boxes if box.inside]
    return {(one.source, one.target, one.dashed, one.label) for one in diagram.links}.union(*inner)


@pytest.mark.parametrize("kind", ["plan", "manus"])
def test_what_the_project_writes_is_read_back(reader: ModuleType, kind: str) -> None:
    settings = Settings.model_construct()
    plain = build_plan_graph(["ask_human", "bash"], settings=settings)
    graph = plain if kind == "plan" else build_manus_graph("openai/none", ["bash"], agents={}, settings=settings)
    text = graph_mermaid(graph.compile())

    diagram, down = reader.flowchart(text)

    assert down
    arrows = re.findall(r'^ +(\w+) (-\.->|-->)(?:\|"(.*)"\|)? (\w+)$', text, re.MULTILINE)
    assert links(diagram) == {(source, target, arrow == "-.->", label) for source, arrow, label, target in arrows}
    assert svg(diagram).startswith("<svg")


def test_people_write_more_than_the_project_does(reader: ModuleType) -> None:
    diagram, down = reader.flowchart("""
        graph LR
        %% a remark
        a["Plan<br/>a file"] --> b(Check) & c{Sound?}
        c -->|no| d[(Store)]
        c -- yes --> e([Run]);
        e -. later .-> a
        class d completed
    """)

    assert not down
    assert {(box.key, box.label, box.note, box.state) for box in diagram.boxes} == {
        ("a", "Plan", "a file", ""),
        ("b", "Check", "", ""),
        ("c", "Sound?", "", ""),
        ("d", "Store", "", "completed"),
        ("e", "Run", "", ""),
    }
    assert set(diagram.links) == {
        Link("a", "b"),
        Link("a", "c"),
        Link("c", "d", label="no"),
        Link("c", "e", label="yes"),
        Link("e", "a", dashed=True, label="later"),
    }


def test_a_label_that_would_be_cut_becomes_two_lines(reader: ModuleType) -> None:
    diagram, _ = reader.flowchart(
        "flowchart TD\na[tool node: policy, consent, ledger] --> b[command line, Python or notebook]\n"
        "b --> c[short: yes]"
    )

    assert [(box.label, box.note) for box in diagram.boxes] == [
        ("tool node", "policy, consent, ledger"),
        ("command line,", "Python or notebook"),
        ("short: yes", ""),
    ]


def test_a_frame_that_links_cross_becomes_a_note(reader: ModuleType) -> None:
    crossed, _ = reader.flowchart('flowchart TD\nsubgraph s["Store"]\na --> b\nend\nc --> a')
    whole, _ = reader.flowchart('flowchart TD\nsubgraph s["Store"]\na --> b\nend\nc --> s')

    assert {(box.key, box.note) for box in crossed.boxes} == {("a", "Store"), ("b", "Store"), ("c", "")}
    assert set(crossed.links) == {Link("a", "b"), Link("c", "a")}
    assert [(box.key, box.label, bool(box.inside)) for box in whole.boxes] == [("s", "Store", True), ("c", "c", False)]
    assert set(whole.links) == {Link("c", "s")}


@pytest.mark.parametrize(
    "line",
    [
        "a ~~~ b",
        "a -->",
        "--> a",
        'a["open',
        "subgraph s[",
        "subgraph s",
        "a --> b c",
        "subgraph s\na\nend\nb --> s --> a",
    ],
)
def test_what_is_not_understood_is_an_error(reader: ModuleType, line: str) -> None:
    with pytest.raises(reader.FlowchartError):
        reader.flowchart(f"flowchart TD\n{line}")
