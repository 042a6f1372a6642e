"""Fixtures for tests with a Chromium: a site on loopback, a canary, and what the machine must have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import Sessions, ToolContext
from openmanus_graph.errors import ToolError
from openmanus_graph.tools.browser.confinement import Chromium, find_chromium
from openmanus_graph.tools.web.address import resolve
from tests.chromium.browsing import Browsing
from tests.chromium.canary import Canary
from tests.chromium.pages import FRAMES, PAGES
from tests.chromium.site import Site
from tests.chromium.table import serve_redirects
from tests.conftest import Require


@pytest.fixture
def chromium(require: Require) -> Chromium:
    """The Chromium of this machine, which can be confined."""
    try:
        return find_chromium(Settings())
    except ToolError as error:
        require(False, error.message, error.hint or "make setup")
        raise


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site() -> AsyncIterator[Site]:
    """A site on loopback, for the tests of a module."""
    made = Site()
    await made.start()
    serve_redirects(made)
    yield made
    made.stop()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def canary() -> AsyncIterator[Canary]:
    """What must hear nothing."""
    made = Canary()
    yield made
    made.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pages(site: Site) -> AsyncIterator[Site]:
    """The site with the pages that `browser_use` does something with."""
    other = Site(PAGES)
    await other.start()
    site.pages.update(PAGES)
    site.pages["/frames"] = FRAMES.replace("$OTHER", other.url)
    site.pages["/other"] = other.host
    yield site
    other.stop()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared() -> AsyncIterator[Sessions]:
    """What the subtasks of a thread share: one Chromium for all tests of the module."""
    sessions = Sessions()
    yield sessions
    await sessions.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def browse(pages: Site, shared: Sessions, tmp_path: Path) -> AsyncIterator[Browsing]:
    """Calls of a subtask of its own, with an empty workspace and data folder."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    # The first test starts the Chromium, with what all of them may reach.
    settings = Settings(home=tmp_path / "home", allow_hosts=("127.0.0.1",))
    context = ToolContext("t", "s", workspace, settings, thread_sessions=shared)
    yield Browsing(context, pages)
    await context.sessions.aclose()


async def two_names(host: str, port: int) -> Sequence[str]:
    """Resolves names to addresses inside, one of them beside a public address; all others as the system does."""
    known = {"site.test": ["127.0.0.1"], "inside.test": ["127.0.0.1"], "changing.test": ["93.184.216.34", "127.0.0.1"]}
    return known[host] if host in known else await resolve(host, port)
