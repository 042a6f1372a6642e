#!/usr/bin/env python3
"""Release: builds what would be uploaded, tries it in clean environments, and stops before the upload.

    python scripts/release.py                    with every Python from 3.11 to 3.14 that this machine has
    python scripts/release.py --only 3.12 3.13   with these
    python scripts/release.py --fast             with the newest alone

It refuses uncommitted changes, a version that CHANGELOG.md does not know, and one that has a tag already. Each Python
gets a new environment with the packages of requirements.lock and the wheel, and runs a plan on the embedded server.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
OUTPUT = TOP / "build" / "release"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

PLAN = """\
goal: Write a file and read it
subtasks:
  - id: write
    tool: str_replace_editor
    args: {command: create, path: said.txt, file_text: it works}
  - id: read
    tool: str_replace_editor
    args: {command: view, path: said.txt}
    needs: [write]
"""


class ReleaseError(Exception):
    """Why there is no release; the message says what to do."""


def version() -> str:
    """The version that the package states."""
    text = (TOP / "openmanus_graph" / "_version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise ReleaseError("openmanus_graph/_version.py states no version.")
    return found[1]


def git(*arguments: str) -> str:
    """What git prints about this checkout."""
    call = ["git", "-c", f"safe.directory={TOP}", *arguments]
    return subprocess.run(call, cwd=TOP, check=True, capture_output=True, text=True).stdout


def refuse_unready(name: str) -> str:
    """Refuse what must not be released, and give the date that CHANGELOG.md has for the version.

    Raises:
        ReleaseError: If something is uncommitted, the version is in no section, or it was released before.
    """
    changed = git("status", "--porcelain").splitlines()
    if changed:
        shown = "\n".join(f"  {line}" for line in changed[:10])
        raise ReleaseError(f"There are uncommitted changes; commit them, or put them aside:\n{shown}")
    changes = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## \[{re.escape(name)}\] - (\S+)$", changes, re.MULTILINE)
    if section is None:
        raise ReleaseError(f"CHANGELOG.md has no section '## [{name}] - DATE'; write what changed.")
    if git("tag", "--list", f"v{name}").strip():
        raise ReleaseError(f"The tag 'v{name}' is there already; state a new version in openmanus_graph/_version.py.")
    return section[1]


def interpreters() -> dict[str, str]:
    """The Pythons of this machine, by minor version: on the PATH, or one of pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found: dict[str, str] = {}
    for minor in PYTHONS:
        of_pyenv = sorted(root.glob(f"versions/{minor}.*/bin/python"), key=_patch, reverse=True)
        for candidate in (f"python{minor}", *map(str, of_pyenv)):
            # A shim of pyenv is there and yet runs nothing, so each is asked.
            says = 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])'
            if shutil.which(candidate) is None:
                continue
            asked = subprocess.run([candidate, "-c", says], capture_output=True, text=True, check=False)
            if asked.returncode == 0 and asked.stdout.strip() == minor:
                found[minor] = candidate
                break
    return found


def _patch(python: Path) -> int:
    digits = re.search(r"\d+$", python.parents[1].name)
    return int(digits[0]) if digits else 0


def build() -> list[Path]:
    """Build the wheel and the source archive."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    call([sys.executable, "-m", "hatchling", "build", "-d", str(OUTPUT)], "building the wheel and the source archive")
    return sorted(OUTPUT.iterdir())


def call(command: list[str], what: str, folder: Path = TOP, variables: dict[str, str] | None = None) -> str:
    """Run a command and say what for and how long; what it prints is shown if it fails.

    Raises:
        ReleaseError: If it fails.
    """
    print(f"  {what} ...", end=" ", flush=True)
    started = time.monotonic()
    ran = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    print(f"{time.monotonic() - started:.0f} s", flush=True)
    if ran.returncode:
        raise ReleaseError(
            f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
        )
    return ran.stdout


def try_wheel(wheel: Path, minor: str, python: str) -> None:
    """Install the wheel in a new environment, and use it from another folder.

    Raises:
        ReleaseError: If it cannot be installed, or does not work.
    """
    # Short, and open to the account that the embedded server runs as.
    place = Path(tempfile.mkdtemp(prefix="omg-"))
    place.chmod(0o755)
    try:
        environment, folder = place / "venv", place / "folder"
        folder.mkdir()
        # Nothing of this checkout, of the user's settings or of the environment that runs this script.
        kept = {key: value for key, value in os.environ.items() if key.startswith(("PATH", "PIP_", "LANG", "SSL_"))}
        clean = {
            **kept,
            "HOME": str(folder),
            "OPENMANUS_GRAPH_HOME": str(place / "home"),
            "PIP_REQUIRE_VIRTUALENV": "1",
        }
        call([python, "-m", "venv", str(environment)], "making an environment")
        pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        lock = ["install", "--no-deps", "--require-hashes", "--requirement", str(TOP / "requirements.lock")]
        call([*pip, *lock], "installing requirements.lock")
        call([*pip, "install", "--no-deps", "--no-index", str(wheel)], "installing the wheel")
        call([*pip, "check"], "checking what it requires")
        command = str(environment / "bin" / "openmanus-graph")
        said = call([command, "--version"], "--version", folder, clean)
        if version() not in said:
            raise ReleaseError(f"--version says {said!r} under Python {minor}.")
        call([command, "--help"], "--help", folder, clean)
        (folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
        said = call([command, "run", "--plan", "plan.yaml", "--quiet"], "a plan on the embedded server", folder, clean)
        if "it works" not in said:
            raise ReleaseError(f"The plan ended under Python {minor} without its result: {said!r}.")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def chosen(said: argparse.Namespace) -> dict[str, str]:
    """The Pythons to try; the others are named.

    Raises:
        ReleaseError: If there is none.
    """
    here = interpreters()
    wanted = said.only or (sorted(here, key=PYTHONS.index)[-1:] if said.fast else PYTHONS)
    missing = [minor for minor in said.only if minor not in here]
    if missing or not here:
        raise ReleaseError(
            f"Python {missing[0] if missing else ' or '.join(PYTHONS)} is not on the PATH, nor with pyenv."
        )
    for minor in PYTHONS:
        if minor not in here:
            print(f"Not checked with Python {minor}: it is not on the PATH, nor with pyenv.")
        elif minor not in wanted:
            print(f"Not checked with Python {minor}: not asked for.")
    return {minor: here[minor] for minor in wanted if minor in here}


def release(said: argparse.Namespace) -> None:
    """Check, build, try, and say what is left to do.

    Raises:
        ReleaseError: If the version cannot be released.
    """
    name = version()
    date = refuse_unready(name)
    pythons = chosen(said)
    print(f"openmanus-graph {name}")
    built = build()
    wheel = next(path for path in built if path.suffix == ".whl")
    for minor, python in pythons.items():
        print(f"Python {minor} ({python})")
        try_wheel(wheel, minor, python)
    print("\nThis would be uploaded:")
    for path in built:
        content = path.read_bytes()
        print(f"  {path.relative_to(TOP)}  {len(content):,} bytes  sha256 {hashlib.sha256(content).hexdigest()}")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        raise ReleaseError(
            f"It works, but CHANGELOG.md calls {name} {date!r}: write the date, commit, and call this again."
        )
    print("\nNothing was uploaded. With the credentials of the package index:")
    print(f"  git tag -a v{name} -m 'Version {name}' && git push --tags")
    print(f"  pipx run twine upload {' '.join(str(path.relative_to(TOP)) for path in built)}")


def main(arguments: list[str]) -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="make release ARGS=...", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PYTHONS, default=[], help="try the wheel with these Pythons")
    parser.add_argument("--fast", action="store_true", help="try the wheel with the newest Python alone")
    try:
        release(parser.parse_args(arguments))
    except ReleaseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
