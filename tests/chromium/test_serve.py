"""A page that the thread serves, in its browser: it is opened and used, and takes nothing out with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.tools.browser_use import browser_use
from openmanus_graph.tools.serve import serve
from tests.chromium.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("chromium")]

APP = """\
import http.server, os
PAGE = '''<title>Mine</title><p id=told>waits</p><button onclick="send()">Send</button><script>
async function send() {
  const told = document.getElementById("told");
  const own = await (await fetch("/data", {method: "POST", body: "from the page"})).text();
  try { await fetch("AWAY?from=page", {mode: "no-cors"}); } catch (error) { }
  told.textContent = own + " and tried";
}
</script>'''
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(PAGE.encode())
    def do_POST(self):
        self.answer(b"got " + self.rfile.read(int(self.headers["Content-Length"])))
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), App).serve_forever()
"""


@pytest.fixture
async def away() -> AsyncIterator[Site]:
    made = Site({"/": "<title>Away</title>away"})
    await made.start()
    yield made
    made.stop()


async def test_a_browser_that_is_opened_again_stays_as_narrow_as_it_was(away: Site, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "app.py").write_text(APP.replace("AWAY", f"{away.url}/"))
    settings = Settings(home=tmp_path / "home", allow_hosts=(away.host,))

    def started_again() -> ToolContext:
        return ToolContext("t", "s", workspace, settings)

    first, again = started_again(), started_again()
    try:
        with using_tool_context(first):
            await browser_use.ainvoke({"action": "go_to_url", "url": f"{away.url}/?tab"})
            started = await serve.ainvoke({"command": "exec python app.py", "port": 8000})
            page = await browser_use.ainvoke({"action": "open_tab", "url": started["url"]})
        assert page["title"] == "Mine", page
        await first.sessions.aclose()
        await first.thread_sessions.aclose()
        asked = len(away.asked)

        with using_tool_context(again):
            restored = await browser_use.ainvoke({"action": "snapshot"})
            assert len(restored["tabs"]) == 2, restored
            with pytest.raises(Exception, match="is not in the setting 'sandbox_hosts'"):
                await browser_use.ainvoke({"action": "go_to_url", "url": f"{away.url}/?from=restart"})
        assert len(away.asked) == asked
    finally:
        for context in (first, again):
            await context.sessions.aclose()
            await context.thread_sessions.aclose()


async def test_a_served_page_is_used_and_sends_nothing_out(away: Site, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "app.py").write_text(APP.replace("AWAY", f"{away.url}/"))
    context = ToolContext("t", "s", workspace, Settings(home=tmp_path / "home", allow_hosts=(away.host,)))

    async def call(tool: BaseTool, **arguments: Any) -> dict[str, Any]:
        with using_tool_context(context):
            return await tool.ainvoke(arguments)

    try:
        assert (await call(browser_use, action="go_to_url", url=away.url))["title"] == "Away"
        started = await call(serve, command="exec python app.py", port=8000)
        page = await call(browser_use, action="go_to_url", url=started["url"])
        assert page["title"] == "Mine", page
        (button,) = [line for line in page["snapshot"].splitlines() if "Send" in line]
        ref = button.partition("]")[0].strip().removeprefix("[")
        used = await call(browser_use, action="click_element", ref=ref)
        assert "got from the page and tried" in used["snapshot"], used
        assert [asked.path for asked in away.asked if "from" in asked.query] == []
        asked = len(away.asked)
        with pytest.raises(Exception, match="is not in the setting 'sandbox_hosts'"):
            await call(browser_use, action="go_to_url", url=f"{away.url}/?more")
        assert len(away.asked) == asked
    finally:
        await context.sessions.aclose()
        await context.thread_sessions.aclose()
