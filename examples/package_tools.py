"""Tools of `package_report.yaml`: a report on the Python packages installed beside this program.

They are ordinary LangChain tools. `metadata` tells the engine what each does to the world, and
`tool_context()` is where a tool finds its workspace and says how far it is.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from langchain_core.tools import tool

from openmanus_graph.context import tool_context
from openmanus_graph.errors import ToolError

LARGEST = 12
"""Packages that the plan measures."""
NOTHING = "–"
"""Shown where there was nothing to count."""
MEASURES = Path(__file__).with_name("package_measures.py")


@tool
def take_inventory() -> dict[str, Any]:
    """List the installed packages: how many, how large, and the twelve largest."""
    context = tool_context()
    found: dict[str, dict[str, Any]] = {}
    for package in distributions():
        name = re.sub(r"[-_.]+", "-", package.name).lower()
        if name not in found:  # what comes first on the path is what gets imported
            context.report(f"{len(found) + 1} packages, {package.name}")
            found[name] = describe(package)
    if len(found) < LARGEST:
        raise ToolError(
            f"Only {len(found)} packages are installed here, and the plan measures {LARGEST}.",
            hint="Run it in the environment that `make demo` sets up.",
        )
    packages = sorted(found.values(), key=lambda package: (-package["size"], package["name"]))
    return {
        "count": len(packages),
        "files": sum(package["files"] for package in packages),
        "size": sum(package["size"] for package in packages),
        "largest": packages[:LARGEST],
    }


def describe(package: Distribution) -> dict[str, Any]:
    """Name, version, number of files and bytes of one package; what Python compiles is not counted."""
    files = [file for file in package.files or [] if file.suffix != ".pyc"]
    sizes: list[int] = []
    for file in files:
        path = Path(str(package.locate_file(file)))
        if path.is_file():
            sizes.append(path.stat().st_size)
    return {"name": package.name, "version": package.version, "files": len(sizes), "size": sum(sizes)}


@tool
async def measure_package(package: dict[str, Any]) -> dict[str, Any]:
    """Count lines, functions and docstrings in the Python files of one package of the inventory."""
    context = tool_context()
    context.report(package["name"])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", str(MEASURES), package["name"]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the run, which lets its running steps end
    )
    if process.stdout is None or process.stderr is None:
        raise ToolError("The measuring process has no pipes.")
    result: dict[str, Any] | None = None
    try:
        async for line in process.stdout:
            said = json.loads(line)
            result = said.get("result")
            if "progress" in said:
                context.report(f"{package['name']}: {said['progress']}")
        error = (await process.stderr.read()).decode(errors="replace").strip()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if result is None:
        last = error.splitlines()[-1] if error else "it said nothing"
        raise ToolError(f"The package {package['name']!r} could not be measured: {last}.")
    share = result["documented"] / result["public"] if result["public"] else None
    context.report(f"{package['name']}: {result['lines']:,} lines, {result['functions']:,} functions")
    return {**package, **result, "docstring_share": share}


@tool
def draw_chart(packages: list[dict[str, Any]]) -> dict[str, Any]:
    """Draw size, lines and docstrings of the measured packages as an SVG file."""
    context = tool_context()
    context.report(f"{len(packages)} packages")
    write(context.workspace / "chart.svg", chart(packages))
    return {"path": "chart.svg"}


@tool
def write_report(inventory: dict[str, Any], packages: list[dict[str, Any]], chart: str) -> dict[str, Any]:
    """Write `report.md` with a table of the measured packages and the chart."""
    path = tool_context().workspace / "report.md"
    write(path, report(inventory, packages, chart))
    longest = max((package["longest"] for package in packages), key=lambda one: one.get("lines", 0))
    lines = sum(package["lines"] for package in packages)
    return {
        "path": str(path),
        "summary": f"{inventory['count']} packages with {size(inventory['size'])}; the twelve largest have"
        f" {lines:,} lines of Python, the longest function {longest.get('lines', 0):,}.",
    }


take_inventory.metadata = {"effect": "read"}
measure_package.metadata = {"effect": "read"}
draw_chart.metadata = {"effect": "write", "idempotent": True}
write_report.metadata = {"effect": "write", "idempotent": True}


def write(path: Path, text: str) -> None:
    """Write a file in one step, so that nobody ever sees half of it."""
    part = path.with_suffix(f"{path.suffix}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def size(count: int) -> str:
    """A number of bytes as people say it."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def percent(share: float | None) -> str:
    """A share as people say it; `None` means that there was nothing to count."""
    return NOTHING if share is None else f"{share:.0%}"


def report(inventory: dict[str, Any], packages: list[dict[str, Any]], chart: str) -> str:
    """The report as Markdown."""
    measured = sum(package["size"] for package in packages)
    rows = [
        "| | Package | Version | Size | Files | Python lines | Functions | Longest function | Documented |",
        "|--:|:--|:--|--:|--:|--:|--:|:--|--:|",
    ]
    for rank, package in enumerate(packages, 1):
        longest = package["longest"]
        where = f"`{longest['name']}`, {longest['lines']:,} lines" if longest else NOTHING
        cells = [
            str(rank),
            f"**{package['name']}**",
            package["version"],
            size(package["size"]),
            f"{package['files']:,}",
            f"{package['lines']:,}",
            f"{package['functions']:,}",
            where,
            percent(package["docstring_share"]),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    ranked = sorted(packages, key=lambda package: -package["longest"].get("lines", 0))
    functions = [
        f"{rank}. `{one['longest']['name']}` in `{one['longest']['file']}`, line {one['longest']['line']:,}:"
        f" {one['longest']['lines']:,} lines"
        for rank, one in enumerate((one for one in ranked if one["longest"]), 1)
        if rank <= 5
    ]
    return "\n".join(
        [
            "# The packages of this environment",
            "",
            f"{inventory['count']} packages are installed, with {inventory['files']:,} files and"
            f" {size(inventory['size'])}. The twelve largest make up"
            f" {percent(measured / inventory['size'])} of that.",
            "",
            f"![Size, lines and docstrings of the twelve largest packages]({chart})",
            "",
            "## The twelve largest",
            "",
            *rows,
            "",
            "*Documented* is the share of public functions and classes that have a docstring.",
            "",
            "## The longest functions",
            "",
            *functions,
            "",
        ]
    )


@dataclass(frozen=True)
class Panel:
    """One of the bar charts."""

    title: str
    """What the bars show."""
    left: int
    """Where the bars begin."""
    width: int
    """How long the longest bar is."""
    colour: str
    """Of bars and title."""
    is_share: bool = False
    """Whether a full bar means 100 %."""


PANELS = (
    Panel("Size", 190, 190, "#3b6fb6"),
    Panel("Lines of Python", 470, 180, "#2a9d8f"),
    Panel("Documented", 745, 110, "#d9822b", is_share=True),
)
ROW, TOP, WIDTH = 30, 104, 920


def chart(packages: list[dict[str, Any]]) -> str:
    """Three bar charts side by side, one row a package, as SVG."""
    bottom = TOP + ROW * len(packages)
    columns = (
        [(package["size"], size(package["size"])) for package in packages],
        [(package["lines"], f"{package['lines']:,}") for package in packages],
        [(package["docstring_share"] or 0, percent(package["docstring_share"])) for package in packages],
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 28}" width="{WIDTH}"'
        f' height="{bottom + 28}" font-family="Inter, Segoe UI, Helvetica, Arial, DejaVu Sans, sans-serif"'
        ' font-size="13">',
        f'<rect width="{WIDTH}" height="{bottom + 28}" rx="10" fill="#ffffff"/>',
        '<text x="24" y="40" font-size="19" font-weight="600" fill="#1f2933">The twelve largest packages</text>',
    ]
    for row, package in enumerate(packages):
        top = TOP + ROW * row
        if row % 2 == 0:
            parts.append(f'<rect x="12" y="{top}" width="{WIDTH - 24}" height="{ROW}" rx="4" fill="#f5f7fa"/>')
        parts.append(f'<text x="24" y="{top + 20}" fill="#1f2933">{escaped(package["name"])}</text>')
    for panel, cells in zip(PANELS, columns, strict=True):
        parts.append(
            f'<text x="{panel.left}" y="{TOP - 16}" font-weight="600" fill="{panel.colour}">{panel.title}</text>'
        )
        full = 1.0 if panel.is_share else max(value for value, _ in cells) or 1
        for row, (value, label) in enumerate(cells):
            parts += bar(panel, TOP + ROW * row, value / full, label)
    return "\n".join([*parts, "</svg>", ""])


def bar(panel: Panel, top: int, share: float, label: str) -> list[str]:
    """One bar with its label; where it is a part of a whole, on a track that shows the whole."""
    left, long = panel.left, max(round(panel.width * share, 1), 1.5)
    shape = f'x="{left}" y="{top + 9}" height="12" rx="3"'
    parts = [f'<rect {shape} width="{panel.width}" fill="#e4e9f0"/>'] if panel.is_share else []
    if label != NOTHING:
        parts.append(f'<rect {shape} width="{long}" fill="{panel.colour}"/>')
    at = left + (panel.width if panel.is_share else long) + 8
    return [*parts, f'<text x="{at:g}" y="{top + 20}" fill="#52606d" font-size="12">{label}</text>']


def escaped(text: str) -> str:
    """Text as it stands in SVG."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
