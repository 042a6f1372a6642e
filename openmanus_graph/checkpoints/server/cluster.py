"""Cluster: the data folder and the processes that serve it.

The server's processes inherit a lock file. It is free exactly when none of them lives, which no process id
can tell: ids are used again, and say nothing about back ends that outlive a killed postmaster. Only with
that lock in hand is anything removed, made or started here, so two servers never work on one cluster.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.server import binaries, configuration, log, wire
from openmanus_graph.checkpoints.server.account import Account, user_name
from openmanus_graph.checkpoints.server.configuration import DATABASE, ROLE
from openmanus_graph.checkpoints.server.diagnosis import failure
from openmanus_graph.checkpoints.server.locks import POLL_S, FileLock, pauses, users_of
from openmanus_graph.checkpoints.server.paths import ServerPaths
from openmanus_graph.errors import EmbeddedServerError

CREATE_DATABASE = "CREATE DATABASE openmanus"

START_S = 120.0
"""Seconds a server may take to accept connections; recovery after a crash is the long case."""
STOP_S = 30.0
"""Seconds a fast shutdown may take before an immediate one is asked for, and then again."""
ORPHANS_S = 1.0
"""Seconds that back ends whose postmaster is dead get to notice it; idle ones take milliseconds."""
PID_FILE_STATE = 7
"""Line of `postmaster.pid` that says how far a server is, counted from 0."""


@dataclass(frozen=True)
class Cluster:
    """One cluster, with the account that its server runs under; the caller holds the start lock."""

    place: ServerPaths
    """Where it lies."""
    account: Account
    """Who runs it."""

    def ask(self, database: str = DATABASE) -> wire.StartupAnswer:
        """Log in, and make sure that the process that answers runs under our account.

        Raises:
            EmbeddedServerError: If the server does not let this user in, hangs, or is a stranger's.
        """
        answer = wire.ask(self.place.sockets, ROLE, database)
        if answer.uid is not None and answer.uid != self.account.uid:
            raise EmbeddedServerError(
                f"A process of user id {answer.uid} listens at {str(self.place.sockets)!r}, "
                f"where the server of {self.account.name!r} belongs.",
                hint=f"End process {answer.pid}, or set OPENMANUS_GRAPH_HOME to another folder.",
            )
        if answer.state == "denied":
            raise EmbeddedServerError(
                f"The embedded server in {str(self.place.home)!r} does not let "
                f"{user_name(os.geteuid())!r} in: {answer.message}.",
                hint="Run as the user who owns that folder, or set OPENMANUS_GRAPH_HOME to one of your own.",
            )
        if answer.state == "hung":
            raise EmbeddedServerError(
                f"The embedded server in {str(self.place.home)!r} (process {answer.pid}) accepts connections "
                f"and then says nothing: {answer.message}.",
                hint=f"See {self.place.log}; end it with: kill -QUIT {answer.pid}",
            )
        return answer

    def ensure(self) -> None:
        """Make the server answer: start it, recover it, or wait for one that is already starting.

        Raises:
            DatabaseFullError: If the disk is full.
            EmbeddedServerError: If it cannot be started.
        """
        with FileLock(self.place.alive_lock) as alive:
            if not self._until_ready_or_gone(alive):
                position = self._start(alive)
                alive.close()  # from here on only the server holds it
                self._until_started(position)
        self._create_database()

    def _until_ready_or_gone(self, alive: FileLock) -> bool:
        """Whether a server answers; if not, none lives, and `alive` is locked."""
        began = silent_since = time.monotonic()
        for pause in pauses():
            answer = self.ask()
            if answer.state in ("ready", "no database"):
                return True
            if alive.try_exclusive():
                return False
            now = time.monotonic()
            if answer.state != "silent":
                silent_since = now
            elif now - silent_since > ORPHANS_S:
                self._end_silent()
            if now - began > START_S:
                break
            time.sleep(pause)
        raise self._stuck("start")

    def _end_silent(self) -> None:
        """End what nobody can connect to: a server that lost its socket, or back ends without a postmaster."""
        pid = self._without_socket()
        if pid is None:
            self._end_orphans()
        else:
            _signal(pid, signal.SIGINT, lambda: self._without_socket() == pid)

    def _without_socket(self) -> int | None:
        """The postmaster that is ready and whose socket is gone; it never makes it again.

        Postgres removes its socket by path when it ends, so one whose folder was moved or removed and made
        again takes the socket of the server that runs there now.
        """
        try:
            lines = (self.place.data / "postmaster.pid").read_text(encoding="ascii").splitlines()
            pid, state = int(lines[0]), lines[PID_FILE_STATE].strip()
        except (OSError, ValueError, IndexError):  # none, or not yet written in full
            return None
        if state != "ready" or wire.socket_file(self.place.sockets).exists():
            return None
        return pid if pid in (users_of(self.place.alive_lock) or []) else None

    def _end_orphans(self) -> None:
        """Kill back ends whose postmaster is dead: busy ones do not notice it, and block every start.

        They are known by the inherited lock, and differ from a postmaster that is not listening yet by
        the title that Postgres gives its children. The recovery that follows repairs what they left.
        """
        users = users_of(self.place.alive_lock) or []
        servers = [pid for pid in users if pid != os.getpid()]
        if all(_is_back_end(pid) for pid in servers):
            for pid in servers:
                _signal(pid, signal.SIGKILL, lambda pid=pid: pid in (users_of(self.place.alive_lock) or []))

    def _stuck(self, verb: str) -> EmbeddedServerError:
        pids = [pid for pid in users_of(self.place.alive_lock) or [] if pid != os.getpid()]
        named = f" (processes {', '.join(map(str, pids))})" if pids else ""
        return EmbeddedServerError(
            f"The embedded server in {str(self.place.home)!r} did not {verb} in time{named}.",
            hint=f"See {self.place.log}; it may run in another container that shares this folder.",
        )

    def _start(self, alive: FileLock) -> int:
        """Start a postmaster that inherits `alive` and outlives this process; return where its log begins."""
        place = self.place
        with place.explained():
            programs = binaries.choose(self._major())
            programs = binaries.reachable(programs, self.account, place.shelf)
            for draft in place.root.glob("draft-*"):  # of an `initdb` that was killed
                shutil.rmtree(draft)
            if not place.data.exists():
                self._initialise(programs, alive)
            place.make_sockets(self.account)
            # Nobody lives, so these are stale; Postgres would take a stranger with the old id for a server.
            (place.data / "postmaster.pid").unlink(missing_ok=True)
            wire.lock_file(place.sockets).unlink(missing_ok=True)
            arguments = configuration.write(place, programs.major)
            log.bound(place.log)
            position = log.size(place.log)
            with log.opened(place.log) as output:
                # The shell ends at once and leaves the postmaster to init: no zombie stays with this process.
                command = ["/bin/sh", "-c", '"$@" &', "sh", programs.postgres, *arguments]
                self.account.spawn(command, output=output, keep=[alive.fd]).wait()
        return position

    def _major(self) -> int | None:
        """The version that the data are of; `None` if there are none yet."""
        data = self.place.data
        if not data.exists():
            return None
        owner = data.stat().st_uid
        if owner != self.account.uid:
            name = user_name(owner)
            raise EmbeddedServerError(
                f"The data in {str(data)!r} belong to the account {name!r}, and the server would run "
                f"under {self.account.name!r}.",
                hint=f"Set OPENMANUS_GRAPH_DB_ACCOUNT={name}, or OPENMANUS_GRAPH_HOME to another folder.",
            )
        version = data / "PG_VERSION"
        text = version.read_text(encoding="ascii").strip() if version.exists() else ""
        if not text.isdigit():
            raise EmbeddedServerError(
                f"The folder {str(data)!r} is no Postgres cluster: its PG_VERSION is {text!r}.",
                hint="Restore it from a copy, or move it away to begin with an empty one.",
            )
        return int(text)

    def _initialise(self, programs: binaries.Binaries, alive: FileLock) -> None:
        """Make the cluster beside its place and rename it, so that a crash leaves all of it or nothing.

        `initdb` inherits `alive`: should this process be killed, the next one waits for it to end.
        It syncs what it wrote (0.1 s); the first commit must not stand on files that a power cut can take.
        """
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=self.place.root))
        try:
            os.chown(draft, self.account.uid, self.account.gid)
            options = ["-A", "peer", "-U", ROLE, "--data-checksums", "--encoding=UTF8", "--locale=C"]
            if programs.major >= 17:
                # Postgres' own Unicode rules: sorting never depends on the machine's C library.
                options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            options += ["--wal-segsize=4", "--no-instructions"]
            code, output = self.account.run([programs.initdb, "-D", draft, *options], keep=[alive.fd])
            if code != 0:
                raise failure("could not create its data folder", output, self.place.home)
            draft.rename(self.place.data)
            _sync_folder(self.place.root)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _until_started(self, position: int) -> None:
        deadline = time.monotonic() + START_S
        with FileLock(self.place.alive_lock) as alive:
            for pause in pauses():
                if self.ask().state in ("ready", "no database"):
                    return
                if alive.try_exclusive():
                    output = log.read(self.place.log, position).decode("utf-8", "replace")
                    raise failure("could not be started", output, self.place.home, self.place.log)
                if time.monotonic() > deadline:
                    break
                time.sleep(pause)
        raise self._stuck("start")

    def _create_database(self) -> None:
        if self.ask().state == "no database":
            wire.execute(self.place.sockets, ROLE, "postgres", CREATE_DATABASE)

    def stop(self) -> None:
        """Stop the server, if one lives, and wait until its last process is gone.

        Raises:
            EmbeddedServerError: If it does not go.
        """
        with self.place.explained(), FileLock(self.place.alive_lock) as alive:
            began = time.monotonic()
            asked: signal.Signals | None = None
            while not alive.try_exclusive():
                elapsed = time.monotonic() - began
                wanted = signal.SIGINT if elapsed < STOP_S else signal.SIGQUIT
                if asked != wanted and self._tell(wanted):
                    asked = wanted
                if asked is None and elapsed > ORPHANS_S:
                    self._end_silent()
                if elapsed > 2 * STOP_S:
                    raise self._stuck("stop")
                time.sleep(POLL_S)
            log.bound(self.place.log)
            self.place.remove_sockets(self.account)

    def _tell(self, what: signal.Signals) -> bool:
        """Send the postmaster a signal; whether there was one to send it to."""
        answer = wire.ask(self.place.sockets, ROLE, DATABASE)
        if answer.state == "silent":
            return False
        pid = answer.pid
        if pid is None:
            if hasattr(socket, "SO_PEERCRED"):
                raise EmbeddedServerError(
                    f"The embedded server in {str(self.place.home)!r} runs in another container.",
                    hint=f"Stop it there: {shell_commands.STOP_SERVER}",
                )
            # It has just answered, so the file it keeps is current.
            pid = int((self.place.data / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])

        def still() -> bool:
            now = wire.ask(self.place.sockets, ROLE, DATABASE)
            return now.pid == answer.pid and now.uid in (None, self.account.uid)

        return _signal(pid, what, still)


def _signal(pid: int, what: signal.Signals, still: Callable[[], bool]) -> bool:
    """Send a signal, if `still()` says that the process is the one that is meant; whether it was sent.

    The process is held by a descriptor first, so its id cannot pass to a stranger in between (Linux).
    """
    try:
        if not hasattr(os, "pidfd_open"):
            if still():
                os.kill(pid, what)
                return True
            return False
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not still():
            return False
        signal.pidfd_send_signal(process, what)
    except ProcessLookupError:
        return False
    finally:
        os.close(process)
    return True


def _is_back_end(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"postgres: ")
    except OSError:  # it has just ended
        return True


def _sync_folder(folder: Path) -> None:
    link = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(link)
    finally:
        os.close(link)
