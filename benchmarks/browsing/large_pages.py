"""Large pages: made up, in HTML as frameworks write it, with the classes, pictures and data beside the words."""

from __future__ import annotations

import json

_CLASSES = (
    "relative flex flex-col items-start gap-2 rounded-lg border border-slate-200 bg-white p-4 shadow-sm "
    "transition hover:shadow-md md:p-6 dark:border-slate-700"
)
_ICON = (
    '<svg class="h-5 w-5 text-slate-400" viewBox="0 0 20 20" fill="currentColor" aria-hidden="true">'
    '<path d="M9.049 2.927'
    "c.3-.921 1.603-.921 1.902 0l1.07 3.292a1 1 0 00.95.69h3.462c.969 0 1.371 1.24.588 1.81l-2.8 2.034a1 1 0 00-.364 "
    '1.118l1.07 3.292c.3.921-.755 1.688-1.54 1.118l-2.8-2.034z"></path></svg>'
)

_STYLE = (
    ".flex{display:flex;flex-wrap:wrap}.grid{display:grid;grid-template-columns:1fr 1fr 1fr}svg{width:20px;height:20px}"
    + ".p-4{padding:1rem}" * 200
)


def _page(title: str, body: str, data: object = None) -> str:
    state = "" if data is None else f'<script id=state type="application/json">{json.dumps(data)}</script>'
    menu = "".join(f'<li class="px-3 py-2 text-sm"><a href="/part/{one}">Part {one}</a></li>' for one in range(12))
    return (
        f"<!doctype html><html lang=en><head><title>{title}</title><style>{_STYLE}</style></head><body>"
        f'<header><nav aria-label="Main"><ul class="flex">{menu}</ul></nav><form role=search><input type=search '
        f"aria-label=Search><button>Search</button></form></header><main><h1>{title}</h1>{body}</main>{state}"
        "</body></html>"
    )


def _shop() -> str:
    items = [{"id": one, "name": f"Lamp number {one}", "price": 10 + one, "stars": one % 5} for one in range(120)]
    cards = "".join(
        f'<div class="{_CLASSES}" data-id="{item["id"]}" data-track="list:{item["id"]}:impression"><img alt="" '
        f'src="data:,"><h2 class="text-lg font-semibold"><a href="/lamp/{item["id"]}">{item["name"]}</a></h2>'
        f'<div class="flex items-center">{_ICON * 5}<span class="sr-only">{item["stars"]} stars</span></div>'
        f'<p class="text-slate-600">{item["price"]} €</p><button type=button class="btn btn-primary {_CLASSES}">'
        f"Add lamp {item['id']}</button></div>"
        for item in items
    )
    return _page("Lamps", f'<div class="grid grid-cols-3">{cards}</div>', items)


def _ledger() -> str:
    rows = "".join(
        f'<tr class="odd:bg-white even:bg-slate-50" data-row="{one}"><td class="px-4 py-2">2026-{one % 12 + 1:02}</td>'
        f'<td class="px-4 py-2">Invoice {one}</td><td class="px-4 py-2 text-right tabular-nums">{one * 13}.00</td>'
        f'<td class="px-4 py-2"><a class="text-blue-600" href="/invoice/{one}">Open</a></td></tr>'
        for one in range(500)
    )
    return _page("Ledger", f'<table class="min-w-full divide-y">{rows}</table>')


def _article() -> str:
    words = "the road along the river passes the old mills and ends at the harbour where boats of oak were built "
    parts = "".join(
        f'<section><h2 id="s{one}">Chapter {one}</h2>' + f'<p class="prose max-w-none">{words * 8}'
        f'<a href="#n{one}"><sup>[{one}]</sup></a></p>' * 4 + "</section>"
        for one in range(40)
    )
    return _page("On mills", f"<article>{parts}</article>")


LARGE = {"/shop": _shop(), "/ledger": _ledger(), "/article": _article()}
"""Large pages, by path."""
