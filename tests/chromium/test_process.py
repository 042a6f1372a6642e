"""How Chromium is confined, and that nothing of it is left behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from openmanus_graph.cli.doctor import browser_finding
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SandboxUnavailableError, ToolError
from openmanus_graph.sandbox.tree import TreeProcess, tree_below
from openmanus_graph.tools.browser import confinement
from openmanus_graph.tools.browser.confinement import Chromium, find_chromium
from openmanus_graph.tools.browser.process import BrowserProcess
from tests.chromium.processes import command_of
from tests.chromium.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("chromium")]

SECRET = "not-for-the-browser"
HELD = """
import asyncio, os
from openmanus_graph.config.settings import Settings
from openmanus_graph.tools.browser.process import BrowserProcess

async def main():
    process = await BrowserProcess.open(Settings())
    await (await process.browser.new_context()).new_page()
    print(process.folder, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def confined(site: Site) -> AsyncIterator[BrowserProcess]:
    """A confined Chromium with a page, started with a secret in our environment."""
    os.environ["A_KEY_OF_OURS"] = SECRET
    opened = await BrowserProcess.open(Settings(allow_hosts=(site.host,)))
    del os.environ["A_KEY_OF_OURS"]
    page = await (await opened.browser.new_context()).new_page()
    site.pages["/"] = "<p>hi"
    await page.goto(site.url)
    yield opened
    await opened.aclose()


def of_chromium() -> list[TreeProcess]:
    """The processes of Chromium below this one."""
    return [process for process in tree_below(os.getpid()) if "chromium/chromium" in command_of(process)[0]]


def status_of(process: TreeProcess, field: str) -> list[str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{field}:")).split()[1:]


async def test_it_runs_without_rights_and_in_its_own_sandbox(confined: BrowserProcess) -> None:
    assert confined.alive
    processes = of_chromium()
    renderers = [process for process in processes if "--type=renderer" in " ".join(command_of(process))]
    assert renderers
    for process in processes:
        assert "--no-sandbox" not in " ".join(command_of(process))
        assert status_of(process, "Uid")[0] != "0"
        assert status_of(process, "NoNewPrivs") == ["1"]
        assert Path(f"/proc/{process.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    for renderer in renderers:
        assert status_of(renderer, "Seccomp") == ["2"]  # Chromium's own filter; ours sets none
        assert len(status_of(renderer, "NSpid")) >= 3  # ours, bubblewrap's and Chromium's own


async def test_a_profile_costs_a_page_and_no_window_that_nobody_sees(confined: BrowserProcess) -> None:
    words = [word for process in of_chromium() for word in command_of(process)]
    lists = [word.partition("=")[2].split(",") for word in words if word.startswith("--disable-features=")]
    assert lists
    for features in lists:
        assert {"WebUIOmniboxPopup", "HttpsUpgrades"} <= set(features)  # ours, and the driver's
    assert not [process for process in of_chromium() if "--top-chrome-webui" in " ".join(command_of(process))]


async def test_it_has_nothing_of_the_users_own(confined: BrowserProcess) -> None:
    main = next(process for process in of_chromium() if not any("--type=" in word for word in command_of(process)))
    assert SECRET not in Path(f"/proc/{main.pid}/environ").read_text(errors="replace")
    root = Path(f"/proc/{main.pid}/root")
    assert not (root / "etc/shadow").exists()
    assert not Path(f"{root}{Path(__file__)}").exists()
    assert not Path(f"{root}{confined.folder / 'launch.json'}").exists()
    assert not (root / "etc/resolv.conf").exists()
    assert confined.folder.stat().st_mode & 0o777 == 0o700


async def gone(pids: list[int]) -> bool:
    """Whether all processes have ended within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        left = [pid for pid in pids if Path(f"/proc/{pid}").exists() and not ended(pid)]
        if not left:
            return True
        await asyncio.sleep(0.05)
    return False


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.mark.kill
@pytest.mark.parametrize("killed", ["python", "driver", "both"])
async def test_nothing_is_left_after_a_kill(killed: str) -> None:
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", HELD, stdout=asyncio.subprocess.PIPE)
    assert started.stdout is not None
    folder = Path((await asyncio.wait_for(started.stdout.readline(), 120)).decode().strip())
    tree = tree_below(started.pid)
    driver = next(process.pid for process in tree if process.parent == started.pid)
    assert len([process for process in tree if "chromium/chromium" in command_of(process)[0]]) >= 4
    for pid in {"python": [started.pid], "driver": [driver], "both": [started.pid, driver]}[killed]:
        os.kill(pid, signal.SIGKILL)
    assert await gone([process.pid for process in tree if killed != "driver" or process.pid != started.pid])
    if killed == "driver":
        os.kill(started.pid, signal.SIGKILL)
    await started.wait()
    assert folder.exists()
    opened = await BrowserProcess.open(Settings())
    await opened.aclose()
    assert not folder.exists()
    assert not opened.folder.exists()


async def test_folders_that_were_never_locked_are_removed_once_they_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folders = [tmp_path / f"openmanus-graph-starting-{name}" for name in ("new", "old", "locked", "held")]
    for folder in folders:
        folder.mkdir()
        if folder.name.endswith(("locked", "held")):
            (folder / "lock").touch()
    with (folders[3] / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for folder in folders[1:]:
            os.utime(folder, (0, 0))
        await (await BrowserProcess.open(Settings())).aclose()
    assert [folder.exists() for folder in folders] == [True, False, False, True]


async def test_it_starts_in_a_folder_with_a_long_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (long := tmp_path / ("long" * 40)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    opened = await BrowserProcess.open(Settings())
    assert opened.alive
    assert opened.folder.parent == long
    await opened.aclose()
    assert not list(long.iterdir())


async def test_a_missing_chromium_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"There is no Chromium at .*Install it with: apt-get install chromium"):
        find_chromium(Settings(chromium=tmp_path / "chromium"))


async def test_doctor_says_which_one_is_used_and_how_it_is_confined(chromium: Chromium, tmp_path: Path) -> None:
    found = browser_finding(Settings())
    assert found.ok
    assert found.detail == f"{chromium.program}; {chromium.confined}"
    missing = browser_finding(Settings(chromium=tmp_path / "none"))
    assert not missing.ok
    assert "Install it with: apt-get install chromium" in missing.detail


async def test_one_that_does_not_start_says_why(tmp_path: Path, chromium: Chromium) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho no display here >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(ToolError, match="Chromium does not start: no display here"):
        await BrowserProcess.open(Settings(chromium=program))
    assert chromium.confined.startswith("bubblewrap")


async def test_without_bubblewrap_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = [report for report in confinement.probe(Settings()) if report.level != "bubblewrap"]
    missing = type(reports[0])("bubblewrap", works=False, detail="not installed.")
    monkeypatch.setattr(confinement, "probe", lambda settings: [missing])
    with pytest.raises(SandboxUnavailableError, match="confined with bubblewrap only"):
        find_chromium(Settings())
