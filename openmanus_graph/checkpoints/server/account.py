"""Account: the operating-system user that the server runs under."""

from __future__ import annotations

import errno
import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from openmanus_graph.errors import EmbeddedServerError

OTHER_SERVER = "Or use a server of your own: set DATABASE_URL."


@dataclass(frozen=True)
class Account:
    """The user that runs the server: the user of this process or, if that is root, a named unprivileged account."""

    uid: int
    """User id."""
    gid: int
    """Primary group id; the server gets no other group."""
    name: str
    """Name in the password database: Postgres looks it up at every login."""
    dropped: bool
    """Whether this process is root, and steps down to the account for whatever it starts."""

    @classmethod
    def for_server(cls, db_account: str) -> Account:
        """The account for this process.

        Args:
            db_account: The account to use when this process is root.

        Raises:
            EmbeddedServerError: If it does not exist, or is root.
        """
        uid = os.geteuid()
        if uid != 0:
            return cls(uid, os.getegid(), user_name(uid), dropped=False)
        try:
            entry = pwd.getpwnam(db_account)
        except KeyError:
            raise EmbeddedServerError(
                f"There is no account {db_account!r} to run the embedded server under.",
                hint="Name an existing one: OPENMANUS_GRAPH_DB_ACCOUNT=nobody",
            ) from None
        if entry.pw_uid == 0:
            raise EmbeddedServerError(
                f"The embedded server cannot run under {db_account!r}: Postgres refuses to run as root.",
                hint="Name an unprivileged account: OPENMANUS_GRAPH_DB_ACCOUNT=nobody",
            )
        return cls(entry.pw_uid, entry.pw_gid, entry.pw_name, dropped=True)

    def spawn(
        self,
        command: Sequence[str | Path],
        *,
        output: int | IO[bytes] = subprocess.DEVNULL,
        keep: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a command under the account: own session, no terminal, clean environment, folder `/`.

        Args:
            command: Program and arguments.
            output: Where standard output and error go.
            keep: Descriptors that the command inherits.

        Raises:
            PermissionError: If the account cannot reach the program.
            EmbeddedServerError: If this process may not become the account.
        """
        # The user's environment holds keys that are none of the server's business.
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        try:
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output != subprocess.DEVNULL else output,
                cwd="/",
                env=environment,
                umask=0o077,
                start_new_session=True,
                pass_fds=tuple(keep),
                user=self.uid if self.dropped else None,
                group=self.gid if self.dropped else None,
                extra_groups=() if self.dropped else None,
            )
        except OSError as error:
            if self.dropped and error.errno in (errno.EPERM, errno.EINVAL):
                raise EmbeddedServerError(
                    f"This process is root but may not become the account {self.name!r}: {error.strerror}.",
                    hint=f"Run it as an ordinary user. {OTHER_SERVER}",
                ) from error
            raise

    def run(self, command: Sequence[str | Path], *, keep: Sequence[int] = ()) -> tuple[int, str]:
        """Run a command under the account to its end.

        Returns:
            Its exit code, and what it printed.
        """
        with self.spawn(command, output=subprocess.PIPE, keep=keep) as process:
            output, _ = process.communicate()
        return process.returncode, output.decode("utf-8", "replace")

    def can_enter(self, folder: Path) -> bool:
        """Whether the account can reach `folder`; tried, not computed, so that every kind of rule counts."""
        code, _ = self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder])
        return code == 0

    def first_barred(self, folder: Path) -> Path:
        """The topmost folder on the way to `folder` that the account cannot enter."""
        way = [*reversed(folder.parents), folder]
        return next((step for step in way if not self.can_enter(step)), folder)


def user_name(uid: int) -> str:
    """The name of a user id.

    Raises:
        EmbeddedServerError: If it has none, as a container's arbitrary user id.
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise EmbeddedServerError(
            f"The user id {uid} has no name on this machine, and Postgres knows its users by name.",
            hint=f"Add an entry to /etc/passwd. {OTHER_SERVER}",
        ) from None
