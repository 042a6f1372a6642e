"""Style: colours and signs of a picture, for light and dark, without external resources."""

from __future__ import annotations

from typing import Literal

from openmanus_graph.drawing.diagram import State

Theme = Literal["auto", "light", "dark", "host"]
"""`auto` follows what the reader's system prefers; `host` has no colours of its own: the page brings `host_style()`."""

FONT = "ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
LABEL_SIZE = 12.5
NOTE_SIZE = 10.5
TITLE_SIZE = 15.0
BOLD = 1.2
"""How much wider bold text is than the estimate for plain text."""

STATES: tuple[State, ...] = ("pending", "next", "running", "waiting", "completed", "failed", "blocked", "skipped")

SIGNS: dict[State, str] = {
    "": "",
    "pending": "○",
    "next": "▷",
    "running": "▶",
    "waiting": "?",
    "completed": "✓",
    "failed": "✗",
    "blocked": "⊘",
    "skipped": "»",
}
"""The state in one character, for text."""

_ICONS: dict[State, str] = {
    "pending": '<circle class="i" r="5"/>',
    "next": '<path class="i" d="M-5.5-5.5V5.5M-1.5-5.5L6 0L-1.5 5.5Z"/>',
    "running": '<path class="f" d="M-4-6L6 0L-4 6Z"/>',
    "waiting": (
        '<path class="f" d="M0-8L8 0L0 8L-8 0Z"/><path class="w" d="M-2.1-1.9A2.1 2.1 0 1 1 .9 .1Q0 .6 0 1.5M0 4V4.1"/>'
    ),
    "completed": '<circle class="f" r="6.5"/><path class="w" d="M-3 0L-1 2.4L3.2-2.4"/>',
    "failed": (
        '<path class="f" d="M-3-6.5H3L6.5-3V3L3 6.5H-3L-6.5 3V-3Z"/>'
        '<path class="w" d="M-2.6-2.6L2.6 2.6M2.6-2.6L-2.6 2.6"/>'
    ),
    "blocked": '<circle class="i" r="5.5"/><path class="i" d="M-3.8 3.8L3.8-3.8"/>',
    "skipped": '<path class="i" d="M-5-4L-1 0L-5 4M1-4L5 0L1 4"/>',
}
_LIGHT = {
    "paper": "#ffffff",
    "ink": "#1f2328",
    "muted": "#57606a",
    "line": "#8c959f",
    "faint": "#d8dee4",
    "box": "#f6f8fa",
    "mark": "#8250df",
    "stop": "#cf222e",
}
_DARK = {
    "paper": "#0d1117",
    "ink": "#e6edf3",
    "muted": "#9da7b3",
    "line": "#768390",
    "faint": "#30363d",
    "box": "#161b22",
    "mark": "#b083f0",
    "stop": "#f85149",
}
# Fill and line of each state; text on every fill keeps a contrast of at least 4.5 (WCAG 2.2, level AA).
_LIGHT_STATES: dict[State, tuple[str, str]] = {
    "pending": ("#ffffff", "#6e7781"),
    "next": ("#fff1e5", "#bc4c00"),
    "running": ("#ddf4ff", "#0969da"),
    "waiting": ("#fff8c5", "#8a5d00"),
    "completed": ("#dafbe1", "#1a7f37"),
    "failed": ("#ffebe9", "#cf222e"),
    "blocked": ("#eaeef2", "#6e7781"),
    "skipped": ("#eaeef2", "#6e7781"),
}
_DARK_STATES: dict[State, tuple[str, str]] = {
    "pending": ("#0d1117", "#8b949e"),
    "next": ("#2b1d12", "#f0883e"),
    "running": ("#121d2f", "#4493f8"),
    "waiting": ("#272115", "#d29922"),
    "completed": ("#12261e", "#3fb950"),
    "failed": ("#2a1519", "#f85149"),
    "blocked": ("#21262d", "#8b949e"),
    "skipped": ("#21262d", "#8b949e"),
}


def icon(state: State, x: str, y: str) -> str:
    """The sign of a state as SVG, its middle at a place; its form alone says the state."""
    return f'<g transform="translate({x} {y})">{_ICONS[state]}</g>' if state else ""


def style(theme: Theme = "auto") -> str:
    """The style sheet of a picture; all its rules are for what is inside of `.omg`."""
    if theme == "host":
        return ""
    if theme == "auto":
        return f"{_FORMS}{_colours(_LIGHT, _LIGHT_STATES)}@media screen and (prefers-color-scheme:dark){{{_dark()}}}"
    return f"{_FORMS}{_dark() if theme == 'dark' else _colours(_LIGHT, _LIGHT_STATES)}"


def host_style(light: str, dark: str) -> str:
    """The style sheet of a page that chooses between light and dark itself.

    Args:
        light: The selector of what holds light pictures.
        dark: The selector of what holds dark ones.
    """
    return f"{_FORMS}{light}{{{_colours(_LIGHT, _LIGHT_STATES)}}}{dark}{{{_dark()}}}"


_FORMS = (
    f".omg text{{font-family:{FONT};font-size:{LABEL_SIZE:g}px}}.omg .n{{font-size:{NOTE_SIZE:g}px}}"
    f".omg .t{{font-size:{TITLE_SIZE:g}px;font-weight:600}}.omg .c{{text-anchor:middle}}.omg .e{{text-anchor:end}}"
    ".omg .k,.omg .i,.omg .w{fill:none}.omg .i,.omg .w{stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}"
    ".omg .k{stroke-width:1.3}.omg .d{stroke-dasharray:4 3}.omg .pending>.r{stroke-dasharray:4 3}"
    ".omg .next>.r,.omg .running>.r{stroke-width:2.5}.omg .mark>.r{stroke-width:3}.omg .k.mark{stroke-width:2.6}"
)


def _dark() -> str:
    return _colours(_DARK, _DARK_STATES)


def _colours(base: dict[str, str], states: dict[State, tuple[str, str]]) -> str:
    parts = [
        f".omg .paper{{fill:{base['paper']}}}.omg text{{fill:{base['ink']}}}.omg .n,.omg .q{{fill:{base['muted']}}}",
        f".omg .r{{fill:{base['box']};stroke:{base['line']}}}.omg .k{{stroke:{base['line']}}}",
        f".omg .a,.omg .o{{fill:{base['line']}}}.omg .g{{fill:{base['paper']};stroke:{base['faint']}}}",
        f".omg .x{{stroke:{base['faint']};fill:none}}.omg .z{{fill:{base['faint']}}}.omg .w{{stroke:{base['paper']}}}",
        f".omg .y{{stroke:{base['line']};fill:none}}.omg .h{{fill:{base['stop']};stroke:{base['paper']}}}",
    ]
    for state, (fill, line) in states.items():
        parts.append(f".omg .{state}>.r{{fill:{fill};stroke:{line}}}.omg .{state} .f{{fill:{line}}}")
        parts.append(f".omg .{state} .i{{stroke:{line}}}.omg .{state}>.v{{fill:{line};stroke:{line}}}")
    mark = base["mark"]
    parts.append(f".omg .mark>.r{{stroke:{mark}}}.omg .k.mark{{stroke:{mark}}}.omg .a.mark,.omg .m{{fill:{mark}}}")
    return "".join(parts)
