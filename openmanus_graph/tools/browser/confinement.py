"""Confinement: how Chromium is started so that it reaches nothing but the proxy and its own folder.

Three layers, each of which is enough for the network by itself: a network namespace without any route, flags and
policies of Chromium that send everything through the proxy, and the proxy, which checks every address.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SandboxUnavailableError, ToolError
from openmanus_graph.sandbox import bridge, launcher
from openmanus_graph.sandbox.bubblewrap import GROUP, PASSWD, USER, find_bubblewrap, system_mounts
from openmanus_graph.sandbox.launch import account_of
from openmanus_graph.sandbox.layout import SYSTEM_FOLDERS, SYSTEM_PATH, interpreter_paths
from openmanus_graph.sandbox.level import probe
from openmanus_graph.tools.browser import wrapper

PROGRAMS = (
    "/usr/lib/chromium/chromium",
    "/usr/lib/chromium-browser/chromium-browser",
    "/usr/lib64/chromium-browser/chromium-browser",
    "/opt/google/chrome/chrome",
)
"""Where packages of systems have the program itself; what is on the PATH is a script around it."""
PRIVACY_FLAGS = (
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-quic",
    "--dns-prefetch-disable",
    "--no-pings",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
)
"""What keeps Chromium from sending packets beside the proxy, or on its own account."""
UNSEEN_FEATURES = "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup"
"""A list below the address bar, which nobody sees here: a process of some 45 MB for each profile."""
POLICIES = {
    "URLBlocklist": ["*"],
    "URLAllowlist": ["http://*", "https://*", "about:blank", "about:srcdoc", "data:*", "blob:*"],
    "AlwaysOpenPdfExternally": True,
    "AllowFileSelectionDialogs": True,
    "BackgroundModeEnabled": False,
    "BrowserSignin": 0,
    "BuiltInDnsClientEnabled": False,
    "ComponentUpdatesEnabled": False,
    "DnsOverHttpsMode": "off",
    "MetricsReportingEnabled": False,
    "NetworkPredictionOptions": 2,
    "PasswordManagerEnabled": False,
    "PrintingEnabled": False,
    "QuicAllowed": False,
    "SafeBrowsingProtectionLevel": 0,
    "SearchSuggestEnabled": False,
    "TranslateEnabled": False,
    "WebRtcIPHandling": "disable_non_proxied_udp",
}
"""Managed policies: schemes other than HTTP refused, PDF downloaded instead of shown, nothing prefetched."""
NOT_ASKED = (
    "clients2.google.com",
    "optimizationguide-pa.googleapis.com",
    "safebrowsing.googleapis.com",
    "update.googleapis.com",
)
"""Hosts that Chromium asks on its own account; the proxy does not reach them."""

_POLICY_FOLDERS = ("/etc/chromium/policies/managed", "/etc/opt/chrome/policies/managed")
_TEMPORARY = 1024**3
"""Bytes of the profile and other temporary files, in memory."""
_PROCESSES = 4096
_LARGEST_FILE = 2 * 1024**3


def proxy_flags(port: int = bridge.PORT) -> tuple[str, ...]:
    """The flags that send every request through a proxy on loopback, those to loopback itself included."""
    return f"--proxy-server=http://127.0.0.1:{port}", "--proxy-bypass-list=<-loopback>"


@dataclass(frozen=True)
class Chromium:
    """A Chromium that can be started confined on this machine."""

    program: Path
    """The program."""
    confined: str
    """How it is confined, for people."""


def find_program(settings: Settings) -> Path:
    """The program that the browser tool uses.

    Raises:
        ToolError: If there is none.
    """
    names = PROGRAMS if settings.chromium is None else (str(settings.chromium),)
    program = next((path for path in map(Path, names) if os.access(path, os.X_OK) and path.is_file()), None)
    if program is None:
        where = "" if settings.chromium is None else f" at {names[0]!r}"
        raise ToolError(f"There is no Chromium{where}.", hint=f"Install it with: {shell_commands.INSTALL_CHROMIUM}")
    return program


def find_chromium(settings: Settings) -> Chromium:
    """The Chromium that the browser tool uses.

    Raises:
        ToolError: If there is none.
        SandboxUnavailableError: If this machine cannot confine it.
    """
    program = find_program(settings)
    level = next(report for report in probe(settings) if report.level == "bubblewrap")
    if not level.works:
        raise SandboxUnavailableError(
            "The browser is refused, because it is confined with bubblewrap only.", hint=f"bubblewrap: {level.detail}"
        )
    account = account_of(settings)
    who = f", account {settings.sandbox_account}" if account is not None else ""
    return Chromium(program, f"bubblewrap, no network but our proxy, Chromium's own sandbox{who}")


def why_unavailable(settings: Settings) -> str | None:
    """Why there can be no browser on this machine, with the cure, in one line; `None` as far as a look can tell.

    Whether bubblewrap works here is found out at the first call: a trial takes too long for every start.
    """
    if find_spec("playwright") is None:
        return f"The package 'playwright' is missing. Install it with: {shell_commands.INSTALL_BROWSER_EXTRA}"
    if find_bubblewrap() is None:
        return f"bubblewrap is missing. Install it with: {shell_commands.INSTALL_BUBBLEWRAP}"
    try:
        find_program(settings)
    except ToolError as error:
        return str(error)
    return None


def write_wrapper(folder: Path, chromium: Path, control: Path, settings: Settings) -> Path:
    """Write the program that starts Chromium confined, and what it reads.

    Args:
        folder: A private folder of the run; its `downloads` is the only one that Chromium writes to.
        chromium: The program.
        control: The socket at which the proxy waits for its listener.
        settings: The account to drop to as root.

    Returns:
        The program to give to Playwright.
    """
    account = account_of(settings)
    downloads = folder / "downloads"
    downloads.mkdir(mode=0o700)
    if account is not None:
        os.chown(downloads, *account)
    config = {
        "control": str(control),
        "command": _command(chromium, downloads),
        "files": {
            "/etc/passwd": PASSWD,
            "/etc/group": GROUP,
            **{f"{path}/openmanus-graph.json": json.dumps(POLICIES) for path in _POLICY_FOLDERS},
        },
        # When memory runs out, the kernel shall take this tree first.
        "limits": ["choom", "-n", "1000", "--", *_limits()],
        "bridge": [sys.executable, "-I", "-S", "-c", bridge.PROGRAM],
        "chromium": str(chromium),
        "launcher": launcher.__file__,
        "launch": {
            "account": account,
            "paths": [*map(str, _readable(chromium)), str(downloads)],
            "workspace": str(downloads),
            "supervise": False,
            "confine": None,
        },
    }
    (folder / "launch.json").write_text(json.dumps(config), encoding="utf-8")
    words = [sys.executable, "-I", "-S", wrapper.__file__, str(folder / "launch.json")]
    program = folder / "chromium"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
    program.chmod(0o700)
    return program


def _limits() -> list[str]:
    return ["prlimit", "--core=0", f"--nproc={_PROCESSES}", f"--fsize={_LARGEST_FILE}"]


def _command(chromium: Path, downloads: Path) -> list[str]:
    command = [find_bubblewrap() or "bwrap", "--unshare-all", "--unshare-user", "--uid", str(USER), "--gid", str(USER)]
    command += ["--hostname", "browser", "--die-with-parent", "--new-session", *system_mounts()]
    command += ["--ro-bind-try", "/etc/fonts", "/etc/fonts", "--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/dev/shm"):  # noqa: S108 - of the browser's own namespace
        command += ["--size", str(_TEMPORARY), "--tmpfs", folder]
    binds = [(path, "--ro-bind") for path in _readable(chromium)] + [(downloads, "--bind")]
    for path, option in sorted(binds):
        command += [option, str(path.resolve()), str(path)]
    return [*command, "--chdir", "/"]


def _readable(chromium: Path) -> tuple[Path, ...]:
    """What Chromium reads besides the system's folders: the interpreter that starts it, and itself."""
    own = () if any(chromium.is_relative_to(folder) for folder in SYSTEM_FOLDERS) else (chromium.parent,)
    return *interpreter_paths(), *own


def environment() -> dict[str, str]:
    """The whole environment of the browser: nothing of the user's own."""
    return {"PATH": SYSTEM_PATH, "HOME": "/tmp", "LANG": "C.UTF-8", "XDG_CONFIG_HOME": "/tmp/config"}  # noqa: S108
