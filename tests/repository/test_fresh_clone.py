"""Fresh clone: `make demo` from nothing, as root and as an ordinary user; run by `make test-fresh`."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Require

pytestmark = pytest.mark.fresh

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every account can pass through, which pytest's own folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="openmanus-graph-fresh-"))
    folder.chmod(0o755)
    yield folder
    deadline = time.monotonic() + 30
    while True:  # the demo's server, which nobody uses any more, may still be writing its last files
        try:
            shutil.rmtree(folder)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def ordinary_account() -> pwd.struct_passwd | None:
    """An account of a person: who runs the tests, or the first one that root can step down to."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    people = [entry for entry in pwd.getpwall() if 1000 <= entry.pw_uid < 60000]
    return people[0] if people else None


def clone(top: Path, home: Path) -> Path:
    checkout = home / "openmanus-graph"
    # The account that clones is not always the one that owns the source.
    git = ["git", "-c", f"safe.directory={top}", "-c", f"safe.directory={top / '.git'}"]
    subprocess.run([*git, "clone", "--quiet", "--no-hardlinks", top, checkout], check=True)
    return checkout


def environment(home: Path, user: str) -> dict[str, str]:
    # Where pip finds packages is the machine's affair; everything else is what a login would set.
    kept = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
    return kept | {"HOME": str(home), "USER": user, "LOGNAME": user, "PATH": PATH, "LANG": "C.UTF-8"}


def demo(checkout: Path, home: Path, account: pwd.struct_passwd) -> str:
    """Run the demo as the account and return what it printed."""
    change = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    variables = environment(home, account.pw_name)
    ran = subprocess.run(
        ["make", "demo"],
        cwd=checkout,
        env=variables,
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
        **change,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def report_in(output: str, checkout: Path) -> Path:
    named = re.findall(r"\S+/report\.md", output)
    assert named, f"the demo does not say where its report is:\n{output}"
    return checkout / named[-1].strip("'\"`")


def hand_over(folder: Path, account: pwd.struct_passwd) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def test_ordinary_user_runs_the_demo(top: Path, place: Path, require: Require) -> None:
    account = ordinary_account()
    require(account is not None, "this machine has no ordinary account", "useradd --create-home somebody")
    assert account is not None
    home = place / "home"
    home.mkdir(mode=0o755)
    checkout = clone(top, home)
    if os.geteuid() == 0:
        hand_over(home, account)

    report = report_in(demo(checkout, home, account), checkout)

    assert "|" in report.read_text(encoding="utf-8")


def test_root_with_a_closed_home_runs_the_demo(top: Path, place: Path, require: Require) -> None:
    require(os.geteuid() == 0, "this needs root", "run make test-fresh as root")
    home = place / "home"
    home.mkdir(mode=0o700)
    checkout = clone(top, home)

    report = report_in(demo(checkout, home, pwd.getpwuid(0)), checkout)

    assert "|" in report.read_text(encoding="utf-8")


def test_second_set_up_takes_no_time(top: Path, place: Path) -> None:
    home = place / "home"
    home.mkdir(mode=0o700)
    checkout = clone(top, home)
    variables = environment(home, "somebody")
    subprocess.run(["make", "setup"], cwd=checkout, env=variables, check=True, timeout=900)

    started = time.perf_counter()
    again = subprocess.run(["make", "setup"], cwd=checkout, env=variables, check=True, capture_output=True, text=True)

    assert (again.stdout, again.stderr) == ("", "")
    # Ten times what it takes: shows that nothing is installed again, without measuring the machine.
    assert time.perf_counter() - started < 3
