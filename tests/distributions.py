"""Distributions: small packages, installed into a folder of the test's own."""

from __future__ import annotations

import zipfile
from pathlib import Path


def install(folder: Path, module: str, points: str, code: str) -> None:
    """Make a wheel and install it into `folder/site`, as `pip install --no-deps --target` does.

    Args:
        folder: The test's folder.
        module: The name of the distribution, version 1.2, and of its one module.
        points: Its `entry_points.txt`.
        code: The module's code.
    """
    wheel = folder / f"{module}-1.2-py3-none-any.whl"
    metadata = f"{module}-1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{module}.py", code)
        archive.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.2\n")
        archive.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{metadata}/entry_points.txt", points)
        archive.writestr(f"{metadata}/RECORD", "")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    wheel.unlink()
