"""What a reader of a page gets as Markdown."""

from __future__ import annotations

import time

import pytest

from openmanus_graph.tools.web.page import read_page

URL = "https://example.org/docs/page.html"


def markdown(html: str) -> str:
    return read_page(html, URL).markdown


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h1>One</h1><h3> Two\n words </h3>", "# One\n\n### Two words"),
        ("<p>a<p>b", "a\n\nb"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<b>bold </b><i>it</i> <b><strong>x</strong></b>", "**bold** *it* **x**"),
        ("<code>a`b</code> <kbd>Ctrl</kbd>", "``a`b`` `Ctrl`"),
        ("x &lt; y &amp; z&nbsp;!", "x < y & z !"),
        ("<hr>", "---"),
        ("<p># no heading<p>1. no item<p>- no item", "\\# no heading\n\n1\\. no item\n\n\\- no item"),
        ("<a href='a b(1)'>x [y]</a>", "[x \\[y\\]](https://example.org/docs/a%20b%281%29)"),
        ("<a href='#top'>up</a> <a href='javascript:x()'>js</a>", "up js"),
        ("<h2>T<a href='#t'>¶</a></h2>", "## T"),
        ("<img src=/p.png alt='A picture'><img src=q.png>", "![A picture](https://example.org/p.png)"),
        ("<a href=x><img src=y alt=z></a>", "[![z](https://example.org/docs/y)](https://example.org/docs/x)"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "- a\n  - b\n- c"),
        ("<ol start=9><li>a<li><p>b</p><p>c</p></ol>", "9. a\n10. b\n\n    c"),
        ("<blockquote><p>a<p>b</blockquote>", "> a\n>\n> b"),
        ("<pre><code class='language-py'>\nx = '&lt;'\n\n  y\n</code></pre>", "```py\nx = '<'\n\n  y\n```"),
        ("<pre>```</pre>", "````\n```\n````"),
        ("<table><tr><th>a<th>b<tr><td>1|2<td>3</table>", "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |"),
        ("<table><tr><td>1<td>2</table>", "|  |  |\n| --- | --- |\n| 1 | 2 |"),
        ("<table><tr><td><p>only<p>layout</table>", "only\n\nlayout"),
        ("<dl><dt>t<dd>d</dl>", "t\n\n:   d"),
        ("<x-card><div>a</div></x-card><span>b</span>", "a\n\nb"),
        ("<p title=don't>a</p>", "a"),
        ("a < b <3", "a < b <3"),
    ],
)
def test_elements(html: str, expected: str) -> None:
    assert markdown(html) == expected


@pytest.mark.parametrize(
    "html",
    [
        "<script>if (a < b) '</p>'</script>",
        "<style>p { }</style>",
        "<!-- <p>no</p> -->",
        "<p hidden>no</p>",
        "<p style='Display: none'>no</p>",
        "<p aria-hidden=true>no</p>",
        "<noscript>no</noscript><template>no</template><svg><text>no</text></svg>",
        "<nav>no</nav><footer>no</footer><aside>no</aside><div role=navigation>no</div>",
        "<form><button>no</button><select><option>no</select><textarea>no</textarea></form>",
    ],
)
def test_what_readers_do_not_want(html: str) -> None:
    assert markdown(f"<p>before</p>{html}<p>after") == "before\n\nafter"


def test_main_content_alone() -> None:
    text = "word " * 60
    page = f"<div>menu</div><main><header>{text}</header><aside>note</aside></main><div>advert</div>"
    assert markdown(page) == f"{text.strip()}\n\nnote"
    assert markdown("<div>everything</div><main></main>") == "everything"


def test_title() -> None:
    assert read_page("<title> A &amp;\n B </title><h1>C</h1>", URL).title == "A & B"
    assert read_page("<h1>C <b>d</b></h1>", URL).title == "C d"
    assert read_page("x", URL).title == ""


def test_links_once_and_absolute() -> None:
    html = "<base href=/b/><a href=x>1</a><a href=x>2</a><a href=mailto:a@b.c>m</a><a href='http://['>bad</a>"
    assert read_page(html, URL).links == [{"text": "1", "url": "https://example.org/b/x"}]


@pytest.mark.parametrize(
    "html",
    [
        "<!--" * 150_000,
        "<a " * 150_000,
        '<a "' * 150_000,
        "<a x=" * 150_000,
        "<" * 300_000,
        "<div>" * 150_000 + "x",
        "<script>" * 100_000,
        "<table><tr><td>" * 20_000,
        "<ul><li>x" * 20_000,
        "<blockquote>" * 1000 + "x<br>" * 20_000,
        "<td colspan=99999>" * 20_000,
        "&#" + "1" * 100_000 + ";",
    ],
    ids=lambda html: html[:12],
)
def test_malicious_pages_take_no_time(html: str) -> None:
    """Quadratic time would be minutes for each of these."""
    started = time.process_time()
    assert len(markdown(html)) < 8_000_000
    assert time.process_time() - started < 10
