"""Process: one confined Chromium, the driver that speaks to it, and the proxy that is its only way out.

Nothing of it outlives us: the driver ends with the pipe to it, bubblewrap dies with the driver, and everything in its
namespace dies with bubblewrap. Folders that a killed process left are removed by the next one to start.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.sandbox.bridge import serve_bridge
from openmanus_graph.sandbox.tree import TreeProcess, process_of
from openmanus_graph.tools.browser.confinement import (
    NOT_ASKED,
    PRIVACY_FLAGS,
    UNSEEN_FEATURES,
    environment,
    find_chromium,
    proxy_flags,
    write_wrapper,
)
from openmanus_graph.tools.web.address import Resolver, resolve
from openmanus_graph.tools.web.proxy import Inside, Proxy

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

START_SECONDS = 60.0
"""Seconds that Chromium may take to start."""
END_SECONDS = 5.0
"""Seconds that Chromium and the driver have to end by themselves, after which they are killed."""
_HEARD_S = 0.05
_PREFIX = "openmanus-graph-browser-"
_STARTING = "openmanus-graph-starting-"
_STARTED_S = 60.0
"""Seconds within which a folder is made and locked, many times over."""
_LOCK = "lock"


class BrowserProcess:
    """A running Chromium; `open` it, use `browser`, `aclose` it."""

    def __init__(self, folder: Path, lock: int, proxy: Proxy) -> None:
        self.folder = folder
        """Its private folder, removed at the end."""
        self.proxy = proxy
        """Its way out."""
        self._lock = lock
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._processes: list[TreeProcess] = []

    @classmethod
    async def open(
        cls, settings: Settings, *, resolver: Resolver = resolve, inside: Inside | None = None
    ) -> BrowserProcess:
        """Start a Chromium.

        Args:
            settings: Hosts that may be reached, the program, the account to drop to as root.
            resolver: How host names are resolved.
            inside: What it reaches of its own thread.

        Raises:
            SandboxUnavailableError: If this machine cannot confine it.
            ToolError: If there is none, or it does not start.
        """
        chromium = await asyncio.to_thread(find_chromium, settings)
        folder, lock = await asyncio.to_thread(_new_folder)
        process = cls(folder, lock, Proxy(settings.allow_hosts, not_asked=NOT_ASKED, resolver=resolver, inside=inside))
        try:
            await process._start(chromium.program, settings)
        except BaseException:
            await process.aclose()
            raise
        return process

    @property
    def browser(self) -> Browser:
        """The browser, which has no context yet."""
        assert self._browser is not None  # noqa: S101 - set by `open`
        return self._browser

    @property
    def alive(self) -> bool:
        """Whether Chromium and the driver still run; without the driver nothing is heard of Chromium's end."""
        connected = self._browser is not None and self._browser.is_connected()
        return connected and all(process.running() for process in self._processes)

    @property
    def downloads(self) -> Path:
        """Where Chromium leaves what it downloads."""
        return self.folder / "downloads"

    async def _start(self, program: Path, settings: Settings) -> None:
        try:
            from playwright.async_api import Error, async_playwright
        except ImportError as error:
            raise ToolError(
                "The browser needs the package 'playwright'.",
                hint=f"Install it with: {shell_commands.INSTALL_BROWSER_EXTRA}",
            ) from error
        control = self.folder / "control"
        with socket.socket(socket.AF_UNIX) as waiting:
            _bind(waiting, control)
            waiting.listen(1)
            waiting.setblocking(False)
            wrapper = await asyncio.to_thread(write_wrapper, self.folder, program, control, settings)
            self._playwright = await async_playwright().start()
            serving = asyncio.create_task(self._serve(waiting))
            try:
                self._browser = await self._playwright.chromium.launch(
                    executable_path=str(wrapper),
                    chromium_sandbox=True,
                    args=[*proxy_flags(), *PRIVACY_FLAGS, UNSEEN_FEATURES, "--disable-gpu"],
                    env=_variables(environment()),
                    artifacts_dir=str(self.folder / "artifacts"),
                    downloads_path=str(self.downloads),
                    handle_sigint=False,
                    handle_sigterm=False,
                    handle_sighup=False,
                    timeout=START_SECONDS * 1000,
                )
                await serving
            except Error as error:
                raise ToolError(
                    f"Chromium does not start: {_reason(error.message)}.",
                    hint=f"See what works on this machine with: {shell_commands.DOCTOR}",
                ) from error
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)

    async def _serve(self, waiting: socket.socket) -> None:
        """Serve what listens inside Chromium's network namespace, once it is handed out."""
        control, _ = await asyncio.get_running_loop().sock_accept(waiting)
        with control:
            self._processes = _peers(control)
            await serve_bridge(control, self.proxy)

    async def aclose(self) -> None:
        """End Chromium and the driver, and remove their folder."""
        try:
            await self._end()
        finally:
            # Where the event loop ends, Playwright's own tasks are cancelled with ours, and nobody tells the driver.
            left = [process for process in self._processes if process.running()]
            for process in left:
                process.send(signal.SIGKILL)
        await _ended(left)
        await self.proxy.aclose()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _end(self) -> None:
        if self._playwright is None:
            return
        from playwright.async_api import Error

        with suppress(Error, OSError, TimeoutError):  # they are gone already, or do not answer
            async with asyncio.timeout(END_SECONDS):
                if self._browser is not None:
                    await self._browser.close()
        with suppress(Error, OSError, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._playwright.stop()


async def _ended(killed: list[TreeProcess]) -> None:
    """Wait for the end of processes, for a while, and let the event loop hear of it before it closes."""
    if not killed:
        return
    end = asyncio.get_running_loop().time() + END_SECONDS
    while any(process.running() for process in killed) and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(_HEARD_S)
    await asyncio.sleep(_HEARD_S)


def _bind(listener: socket.socket, path: Path) -> None:
    """Bind a socket to a path of any length: the system takes about a hundred characters, a `TMPDIR` has more."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _peers(control: socket.socket) -> list[TreeProcess]:
    """The process at the other end of a socket, which becomes bubblewrap, and the driver that has started it."""
    pid, _, _ = struct.unpack("3i", control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    wrapper = process_of(pid)
    driver = process_of(wrapper.parent) if wrapper is not None else None
    return [process for process in (driver, wrapper) if process is not None]


def _new_folder() -> tuple[Path, int]:
    """A private folder and the lock that says that it is in use; what killed processes left is removed."""
    there = Path(tempfile.gettempdir())
    for old in there.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _remove_unlocked(old)
    for old in there.glob(f"{_STARTING}*"):
        with suppress(OSError):
            if time.time() - old.lstat().st_mtime > _STARTED_S:
                _remove_unlocked(old, made=os.O_CREAT)  # who made it may have been killed before its lock was there
    made = Path(tempfile.mkdtemp(prefix=_STARTING))
    lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Its name says that it may be removed only now that it is locked.
    return made.rename(made.with_name(made.name.replace(_STARTING, _PREFIX))), lock


def _remove_unlocked(old: Path, *, made: int = 0) -> None:
    """Remove a folder of ours, if no process holds its lock.

    Raises:
        OSError: If one does, or it is not ours.
    """
    if old.lstat().st_uid != os.geteuid():
        return
    descriptor = os.open(old / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | made, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        os.close(descriptor)


def _variables(given: Mapping[str, str]) -> dict[str, str | float | bool]:
    return dict(given)


def _reason(message: str) -> str:
    """The last line that Chromium or what confines it has said."""
    lines = [line.partition("[err] ")[2] for line in message.splitlines() if "[err] " in line]
    return (lines[-1] if lines else message.strip().splitlines()[0]).strip().rstrip(".")
