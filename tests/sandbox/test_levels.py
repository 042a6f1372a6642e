"""Which level is taken, and that none is taken in silence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

import openmanus_graph
from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.errors import SandboxUnavailableError, SettingsError
from openmanus_graph.sandbox import Level, choose_level, probe, run_process
from openmanus_graph.sandbox.landlock import NEEDED_VERSION, landlock_version
from openmanus_graph.sandbox.launch import prepare_launch
from openmanus_graph.sandbox.limits import SandboxLimits
from tests.conftest import Require

pytestmark = pytest.mark.sandbox

REPORT = """
    import json
    from openmanus_graph.errors import SandboxUnavailableError
    from openmanus_graph.sandbox import choose_level
    from openmanus_graph.config.settings import Settings
    for choice in ("auto", "bubblewrap", "landlock", "none"):
        try:
            print(choice, choose_level(choice, Settings()))
        except SandboxUnavailableError as error:
            print(choice, "refused", error)
"""


def choices(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_this_machine_offers_a_level(require: Require, settings: Settings) -> None:
    works = [report for report in probe(settings) if report.works]
    require(bool(works), "no sandbox level works here", "apt-get install bubblewrap")
    assert choose_level("auto", settings) == works[0].level


def test_a_level_whose_parts_are_here_works(require: Require, settings: Settings) -> None:
    bubblewrap, landlock = probe(settings)
    require(bubblewrap.works, f"bubblewrap {bubblewrap.detail}", "apt-get install bubblewrap")
    if landlock_version() >= NEEDED_VERSION:
        assert landlock.works, landlock.detail


async def test_the_temporary_folder_is_its_own_and_removed(level: Level, workspace: Path, settings: Settings) -> None:
    script = 'made=$(mktemp) && echo x > "$made" && echo "$made"; sleep 60 & ls /tmp'
    with tempfile.NamedTemporaryFile(dir="/tmp") as ours:
        done = await run_process(["bash", "-c", script], workspace=workspace, level=level, settings=settings)
    made, *others = done.stdout.decode().split()
    assert made.startswith("/tmp/")
    assert Path(ours.name).name not in others
    folders = [path for path in Path(made).parents if path != Path("/tmp") and path != Path("/")]
    assert not any(path.exists() for path in [Path(made), *folders])


def test_each_level_is_chosen_or_refused_with_the_cure(settings: Settings) -> None:
    for report in probe(settings):
        if report.works:
            assert choose_level(report.level, settings) == report.level
        else:
            with pytest.raises(SandboxUnavailableError, match="does not work") as caught:
                choose_level(report.level, settings)
            assert report.detail in (caught.value.hint or "")


def test_no_confinement_only_by_explicit_choice(settings: Settings) -> None:
    assert choose_level("none", settings) == "none"


def test_without_bubblewrap_the_explicit_choice_is_an_error(settings: Settings) -> None:
    environment = {**os.environ, "PATH": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(REPORT)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = choices(done)
    assert said["bubblewrap"].startswith("refused")
    assert "apt-get install bubblewrap" in said["bubblewrap"]
    assert said["none"] == "none"
    landlock = next(report for report in probe(settings) if report.level == "landlock")
    assert said["auto"] == "landlock" if landlock.works else said["auto"].startswith("refused")


def test_when_nothing_works_tools_are_refused() -> None:
    # Where no file can be written no trial succeeds, whatever the kernel offers.
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n" + textwrap.dedent(REPORT)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = choices(done)
    for choice in ("auto", "bubblewrap", "landlock"):
        assert said[choice].startswith("refused")
        assert "--sandbox none" in said[choice]


async def test_levels_are_found_by_trying(level: Level, workspace: Path, settings: Settings) -> None:
    # Inside, the program bubblewrap is there to be found, but it cannot make namespaces.
    package = Path(openmanus_graph.__file__).parent
    shutil.copytree(package, workspace / "openmanus_graph", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import sys; sys.path.insert(0, '')\n" + textwrap.dedent(REPORT)
    done = await run_process(
        [sys.executable, "-c", code], workspace=workspace, level=level, settings=settings, timeout_s=60
    )
    said = dict(line.split(" ", 1) for line in done.stdout.decode().splitlines())
    assert said["bubblewrap"].startswith("refused"), done.stderr.decode()


@pytest.mark.parametrize("choice", ["auto", "bubblewrap", "landlock"])
def test_an_account_that_is_no_help_is_named(choice: SandboxChoice, workspace: Path, tmp_path: Path) -> None:
    del tmp_path
    if os.geteuid() != 0:
        # Only root drops to an account; everybody else keeps their own, whatever the setting says.
        assert choose_level(choice, Settings(sandbox_account="no-such-account")) == choose_level(choice, Settings())
        return
    for name in ("no-such-account", "root"):
        with pytest.raises(SandboxUnavailableError, match="refused"):
            choose_level(choice, Settings(sandbox_account=name))
        with (
            pytest.raises(SettingsError, match=name),
            prepare_launch(
                ["true"],
                workspace=workspace,
                level="landlock",
                settings=Settings(sandbox_account=name),
                limits=SandboxLimits(),
            ),
        ):
            pass


@pytest.mark.parametrize("folder", ["/", "/etc", "/usr", "relative"])
async def test_a_system_folder_is_no_workspace(folder: str, settings: Settings) -> None:
    with pytest.raises(SandboxUnavailableError, match="cannot be a workspace"):
        await run_process(["true"], workspace=Path(folder), level="none", settings=settings)


def test_what_a_killed_trial_left_is_removed_later(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    old, new, other = (tmp_path / name for name in ("openmanus-graph-probe-a", "openmanus-graph-probe-b", "mine"))
    for folder in (old, new, other):
        (folder / "workspace").mkdir(parents=True)
    for folder in (old, other):
        os.utime(folder, (1, 1))
    look = "from openmanus_graph.sandbox import probe; from openmanus_graph.settings import Settings; probe(Settings())"
    subprocess.run([sys.executable, "-c", look], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True, timeout=60)
    assert sorted(tmp_path.iterdir()) == [other, new]
