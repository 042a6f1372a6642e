"""Saved state: tabs, cookies and storage of a subtask's browser in a file, from which it is opened again.

The files hold what a person would call being logged in: they are the owner's own (0600), lie in the data folder and not
in the workspace, which commands of the sandbox read, are encrypted if their thread is, and go with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from openmanus_graph.config.encryption_keys import VARIABLE
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import Sealing
from openmanus_graph.errors import DamagedValueError, EncryptionKeyError
from openmanus_graph.files.atomic_write import put_file
from openmanus_graph.values.storable_json import SEAL

LARGEST = 5 * 2**20
"""Bytes of a state; what is larger is saved without the pages' databases, then without their storage."""
_OLD_S = 30 * 86_400.0
"""Seconds after which a file that nobody used is removed."""
_FOLDER = "browser"
MOST_STATES = 20
"""Files of a subtask that are kept."""
_NOTHING, _COPIED = "0", "copied"
"""In the name of a file, where others have the call before: that there was none, or that another thread made it."""


@dataclass
class SavedTab:
    """A tab."""

    url: str
    """Its address."""
    scroll: int = 0
    """How far it was scrolled, in pixels."""
    session: str = "{}"
    """What the page kept for the tab, as JSON."""


@dataclass
class SavedState:
    """What a browser is opened again with."""

    tabs: list[SavedTab] = field(default_factory=list[SavedTab])
    """Its tabs."""
    current: int = 0
    """Which one is in front."""
    storage: dict[str, Any] = field(default_factory=dict[str, Any])
    """Cookies and storage, as Playwright gives and takes them."""
    generation: int = 1
    """How often the browser was opened; refs of an earlier one are void."""
    within: bool = False
    """Whether it had opened what its thread serves, so that it reaches the hosts of the sandbox and no others."""


def state_folder(home: Path, thread_id: str) -> Path:
    """The folder of a thread's states."""
    return home / _FOLDER / hashlib.sha256(thread_id.encode()).hexdigest()[:32]


def state_file(home: Path, thread_id: str, subtask: str) -> Path:
    """The file of a subtask's state."""
    return state_folder(home, thread_id) / f"{hashlib.sha256(subtask.encode()).hexdigest()[:32]}.json"


@dataclass(frozen=True)
class StatePlace:
    """Where the states of a subtask are: one file for each call after which something was saved."""

    folder: Path
    """The folder of the thread's states."""
    subtask: str
    """Names the subtask among them."""
    call: str = ""
    """Names the call that is made; the checkpoint after it has that name. Empty of one that has none."""
    earlier: tuple[str, ...] = ()
    """Names of the calls that the checkpoint before it has, the newest first."""

    @property
    def path(self) -> Path:
        """The file for the state after the call."""
        return self.folder / (f"{self.subtask}-{self._after}-{self.call}.json" if self.call else f"{self.subtask}.json")

    @property
    def _after(self) -> str:
        return self.earlier[0] if self.earlier else _NOTHING

    def found(self) -> Path | None:
        """The file that a browser is opened from; `None` without one.

        That is what came of the last call that the checkpoint has, unless this step has saved something already: its
        process ended then before the next checkpoint.
        """
        if not self.call:
            return self.path
        begun = sorted(self.folder.glob(f"{self.subtask}-{self._after}-*.json"), key=_when)
        named = (path for name in self.earlier for path in self.folder.glob(f"{self.subtask}-*-{name}.json"))
        return begun[-1] if begun else next(named, None)

    def remove_old(self) -> None:
        """Remove the files of the subtask but the newest."""
        for path in sorted(self.folder.glob(f"{self.subtask}-*.json"), key=_when)[:-MOST_STATES]:
            path.unlink(missing_ok=True)


def _when(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def copy_states(source: str, target: str, home: Path | None, sealing: Sealing | None) -> None:
    """Copy the states of a thread to a fork of it, which opens those that its checkpoints name.

    Args:
        source: The thread.
        target: The fork.
        home: The data folder; `None` is that of this process' settings.
        sealing: Encrypts them.
    """
    home = home or Settings.load().home
    for path in sorted(state_folder(home, source).glob("*-*-*.json"), key=_when):
        subtask, _, call = path.stem.split("-")
        try:
            state = load(path, sealing)
        except EncryptionKeyError:  # it stays closed there as it does here
            continue
        if state is not None:
            save(state_folder(home, target) / f"{subtask}-{_COPIED}-{call}.json", state, sealing)


def remove_states(thread_id: str, *homes: Path | None) -> None:
    """Remove the states of a thread.

    Args:
        thread_id: The thread.
        homes: The data folders that they may be in; `None` is that of this process' settings.
    """
    for home in homes:
        shutil.rmtree(state_folder(home or Settings.load().home, thread_id), ignore_errors=True)


def save(path: Path, state: SavedState, sealing: Sealing | None = None) -> bool:
    """Write a state; it is there as a whole or not at all.

    Args:
        path: Its file.
        state: The state.
        sealing: Encrypts it.

    Returns:
        Whether all of it was saved.
    """
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    whole = True
    data = _encoded(state)
    if len(data) > LARGEST:
        whole = False
        origins: list[dict[str, Any]] = [
            {key: value for key, value in cast("dict[str, Any]", origin).items() if key != "indexedDB"}
            for origin in state.storage.get("origins", [])
        ]
        data = _encoded(replace(state, storage={**state.storage, "origins": origins}))
    if len(data) > LARGEST:
        data = _encoded(replace(state, storage={"cookies": state.storage.get("cookies", []), "origins": []}))
    if len(data) > LARGEST:
        data = _encoded(replace(state, tabs=[SavedTab(tab.url) for tab in state.tabs], storage={}))
    if sealing is not None:
        data = sealing.file(_place(path), data)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        put_file(folder, path.name, data, mode=0o600)
    finally:
        os.close(folder)
    return whole


def _encoded(state: SavedState) -> bytes:
    tabs = [vars(tab) for tab in state.tabs]
    return json.dumps({**vars(state), "tabs": tabs}).encode()


def _place(path: Path) -> str:
    """What a sealed state is bound to: its thread and subtask."""
    return f"browser/{path.parent.name}/{path.name}"


def load(path: Path, sealing: Sealing | None = None) -> SavedState | None:
    """The state in a file; `None` if there is none, or it is damaged.

    Raises:
        EncryptionKeyError: If it is encrypted, and its key is not set.
    """
    _remove_old(path.parent.parent)
    try:
        data = path.read_bytes()
        if sealing is not None:
            data = sealing.opened_file(_place(path), data)
        elif data.startswith(SEAL.encode()):
            raise EncryptionKeyError(
                f"What the browser kept is encrypted, and {VARIABLE} is not set.",
                hint=f"Set {VARIABLE} to the key that it was stored with.",
            )
        read: dict[str, Any] = json.loads(data)
        tabs = [SavedTab(str(tab["url"]), int(tab["scroll"]), str(tab["session"])) for tab in read["tabs"]]
        for tab in tabs:
            json.loads(tab.session)
        generation, within = int(read["generation"]), bool(read.get("within"))
        return SavedState(tabs, int(read["current"]), dict(read["storage"]), generation, within)
    except (OSError, ValueError, KeyError, TypeError, DamagedValueError):
        return None


def _remove_old(folder: Path) -> None:
    with suppress(OSError):
        for thread in os.scandir(folder):
            if thread.is_dir() and time.time() - thread.stat().st_mtime > _OLD_S:
                shutil.rmtree(thread.path, ignore_errors=True)
