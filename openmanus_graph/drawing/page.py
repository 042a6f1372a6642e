"""Page: HTML parts of a report: its head, and escaped texts."""

from __future__ import annotations

from typing import Any, cast

from openmanus_graph.drawing.label import escaped
from openmanus_graph.drawing.style import SIGNS
from openmanus_graph.drawing.value_text import words_of

LONGEST = 6_000
"""Characters of one text that are shown."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--paper:#fff;--soft:#f6f8fa;--line:#d0d7de;--muted:#57606a;--good:#1a7f37;
--bad:#cf222e;--wait:#8a5d00}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#0d1117;--soft:#161b22;--line:#30363d;
--muted:#9da7b3;--good:#3fb950;--bad:#f85149;--wait:#d29922}}
body{font:15px/1.5 ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif;color:var(--ink);
background:var(--paper);margin:0 auto;max-width:1080px;padding:24px;overflow-wrap:anywhere}
h1{font-size:24px;line-height:1.3;margin:0 0 4px}
h2{font-size:18px;margin:32px 0 8px;border-bottom:1px solid var(--line)}h3{font-size:15px;margin:14px 0 4px}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--soft);border:1px solid var(--line);border-radius:6px;
padding:8px 10px;margin:6px 0;font:12.5px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;max-height:480px;
overflow:auto}
code{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}
td.num,th.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
details{border:1px solid var(--line);border-radius:6px;margin:6px 0;padding:4px 10px}details p{margin:6px 0}
summary{cursor:pointer}.muted{color:var(--muted)}.wide{overflow:auto;max-height:900px;overflow-wrap:break-word}
.wide svg{max-width:none;display:block}
.wide table{min-width:640px}.completed{color:var(--good)}.failed{color:var(--bad)}.waiting{color:var(--wait)}
.blocked,.skipped{color:var(--muted)}.entry{margin:8px 0}.entry b{font-weight:600}img{max-width:100%}
@media (max-width:600px){body{padding:14px}h1{font-size:20px}}
@media print{:root{color-scheme:light}body{max-width:none;padding:0}pre,.wide{max-height:none}
.wide svg{max-width:100%;height:auto}.wide table{min-width:0}h1,h2,h3,summary,.entry b{break-after:avoid}
.wide svg,img,tr{break-inside:avoid}details::details-content{content-visibility:visible;height:auto}}
"""


def page(title: str, sections: list[str]) -> str:
    """A self-contained page without scripts.

    Args:
        title: What it is of.
        sections: HTML, in order.
    """
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{_STYLE}</style></head><body>"
    )
    return "\n".join([head, *sections, "</body></html>\n"])


def clipped_text(text: str, longest: int = LONGEST) -> str:
    """The text, escaped; of a long one the beginning, and how much more there is."""
    if len(text) <= longest:
        return escaped(text)
    return f'{escaped(text[:longest])}<span class="muted">\n… {len(text) - longest:,} more characters</span>'


def block(value: Any, longest: int = LONGEST) -> str:
    """A value or a text in a box of its own, in the direction it is written in."""
    return f'<pre dir="auto">{clipped_text(words_of(value), longest)}</pre>'


def status_text(status: str) -> str:
    """A status with its sign and colour."""
    sign = SIGNS.get(cast("Any", status), "")
    return f'<span class="{escaped(status)}">{f"{sign} {escaped(status)}".strip()}</span>'


def muted(text: str) -> str:
    """A remark; `text` is escaped."""
    return f'<span class="muted">{escaped(text)}</span>'
