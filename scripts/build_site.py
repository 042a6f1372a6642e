#!/usr/bin/env python3
"""Build site: makes the documentation site from README, CHANGELOG and docs, for a browser without a network.

    python scripts/build_site.py [FOLDER]  write it, by default into build/site; a broken link is an error

The pages are taken as they are in the repository, links between them included. What Sphinx is given is a copy: a
README becomes the index of its folder, a Mermaid flowchart becomes an SVG of the project's own, and the list in
docs/README.md becomes the navigation.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

from flowchart import FlowchartError, flowchart
from sphinx.cmd.build import main as sphinx_build

from openmanus_graph import __version__
from openmanus_graph.drawing.style import host_style
from openmanus_graph.drawing.svg import svg

TOP = Path(__file__).resolve().parents[1]
ROOT_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")

_LINK = re.compile(r"(?P<before>\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(?P<caption>[^\n]+):\n\n(?P<list>(?:- .*\n?)+)", re.MULTILINE)
_LISTED = re.compile(r"^- \[(?P<title>[^]]+)\]\((?P<path>[^)]+)\.md\)", re.MULTILINE)

CONFIG = {
    "project": "openmanus-graph",
    "release": __version__,
    "root_doc": "index",
    "extensions": ["myst_parser"],
    "html_theme": "furo",
    "html_title": f"openmanus-graph {__version__}",
    "html_static_path": ["_static"],
    "html_css_files": ["diagrams.css"],
    "html_copy_source": False,
    "html_show_copyright": False,
    "html_show_search_summary": False,  # would be fetched, which a page opened as a file may not
    "smartquotes": False,
    "html_show_sphinx": False,
    "myst_heading_anchors": 4,
    # Blocks with "…" in them, or with `await` at the top, are shown as text where the lexer refuses them.
    "suppress_warnings": ["misc.highlighting_failure"],
}


class SiteError(Exception):
    """A page that cannot be shown as it is; the message names the place."""


def pages() -> list[Path]:
    """The pages of the site, relative to the repository."""
    return [*map(Path, ROOT_PAGES), *sorted(path.relative_to(TOP) for path in (TOP / "docs").glob("*.md"))]


def stage(folder: Path) -> None:
    """Write the copy that Sphinx reads.

    Raises:
        SiteError: If a page has a link to a file that is not there, or a diagram that cannot be drawn.
    """
    for page in pages():
        target = folder / _staged(page)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_page(page, folder), encoding="utf-8")
    (folder / "_static").mkdir()
    (folder / "_static" / "diagrams.css").write_text(_stylesheet(), encoding="utf-8")


def _staged(page: Path) -> Path:
    return page.with_name("index.md") if page.name == "README.md" else page


def _page(page: Path, folder: Path) -> str:
    """A page's text for Sphinx; files that it shows or links to are copied beside it."""
    text = (TOP / page).read_text(encoding="utf-8")
    parts: list[str] = []
    end = 0
    for fence in _FENCE.finditer(text):
        parts += [_links(text[end : fence.start()], page, folder), _block(fence, page)]
        end = fence.end()
    parts.append(_links(text[end:], page, folder))
    if page == Path("README.md"):
        parts.append(_navigation())
    return "".join(parts)


def _links(text: str, page: Path, folder: Path) -> str:
    def link(found: re.Match[str]) -> str:
        path = Path(os.path.normpath(page.parent / unquote(found["path"])))
        if not (TOP / path).is_file():
            line = (TOP / page).read_text(encoding="utf-8").partition(found[0])[0].count("\n") + 1
            raise SiteError(
                f"{page}:{line}: {found['path']!r} is no file of the repository, so no page can link to it."
            )
        if path in pages():
            staged = os.path.relpath(_staged(path), page.parent)
            return f"{found['before']}{staged}{found['anchor'] or ''}"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TOP / path, folder / path)
        return found[0]

    return _LINK.sub(link, text)


def _block(fence: re.Match[str], page: Path) -> str:
    if fence["language"] != "mermaid":
        return fence[0]
    try:
        diagram, down = flowchart(fence["text"])
    except FlowchartError as error:
        line = fence.string.count("\n", 0, fence.start()) + 1
        raise SiteError(f"{page}:{line}: {error} Write it as a flowchart, or show a picture.") from error
    # Inline, so that the picture follows the page's choice of light or dark.
    return f'<div class="diagram">\n{svg(diagram, theme="host", down=down)}</div>\n'


def _navigation() -> str:
    """The list of docs/README.md as the site's navigation, and what stands beside it."""
    index = (TOP / "docs" / "README.md").read_text(encoding="utf-8")
    parts = [_toctree("", ["Documentation <docs/index>"])]
    for found in _HEADING.finditer(index):
        lines = [f"{one['title']} <docs/{one['path']}>" for one in _LISTED.finditer(found["list"])]
        parts.append(_toctree(found["caption"], lines))
    others = [page.removesuffix(".md") for page in ROOT_PAGES if page != "README.md"]
    return "".join([*parts, _toctree("The project", others)])


def _toctree(caption: str, lines: list[str]) -> str:
    named = [f":caption: {caption}"] if caption else []
    return "\n".join(["", "```{toctree}", ":hidden:", *named, "", *lines, "```", ""])


def _stylesheet() -> str:
    """Colours of the diagrams: light, dark, and where the reader has not chosen, what the system prefers."""
    chosen = host_style("body", 'body[data-theme="dark"]')
    system = host_style('body[data-theme="light"]', 'body[data-theme="auto"]')
    return (
        f"{chosen}\n@media (prefers-color-scheme: dark) {{{system}}}\n"
        ".diagram { overflow-x: auto; margin: 1rem 0; }\n.diagram svg { max-width: 100%; height: auto; }\n"
    )


def build(folder: Path) -> int:
    """Make the site; everything that Sphinx warns of is an error.

    Args:
        folder: Where it is written; what was there before is removed.

    Returns:
        The exit code: 0 if all is well.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        source, cache = Path(temporary, "source"), Path(temporary, "cache")
        source.mkdir()
        stage(source)
        (source / "conf.py").write_text(
            "".join(f"{key} = {value!r}\n" for key, value in CONFIG.items()), encoding="utf-8"
        )
        return sphinx_build(["-q", "-W", "--keep-going", "-d", str(cache), str(source), str(folder)])


def main(arguments: list[str]) -> int:
    """Build the site and say where it is."""
    folder = Path(arguments[0]).absolute() if arguments else TOP / "build" / "site"
    try:
        code = build(folder)
    except SiteError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if code:
        sys.stderr.write("The site was not made: every warning above is an error.\n")
        return code
    print(f"{len(pages())} pages: {folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
