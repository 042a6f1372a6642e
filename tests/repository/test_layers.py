"""Layers: which folder may import which, no circles, and no shell command in a hint outside one module."""

import ast
import re
import shlex
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from click.testing import CliRunner

import openmanus_graph
from openmanus_graph import shell_commands
from openmanus_graph.cli import cli

PACKAGE = Path(openmanus_graph.__file__).parent

LAYERS = (
    {"cli", "notebook"},
    {"stepping", "running", "training"},
    {"graphs", "graphs.user"},
    {"graphs.compatibility"},
    {"nodes", "nodes.planning"},
    {"memory", "drawing", "testing"},
    {"models"},
    {"scope", "event_sinks"},
    {"budget"},
    {"checkpoints.history", "checkpoints.forking", "checkpoints.transfer", "checkpoints.workspace"},
    {"checkpoints", "checkpoints.pruning"},
    {"checkpoints.server", "checkpoints.encryption"},
    {"policy", "tools"},
    {"tools.browser"},
    {"tools.web"},
    {"loading", "outputs"},
    {"context", "plan", "plans", "questions", "state", "workspace"},
    {"sandbox", "approval", "effect_outcome", "usage"},
    {"config", "display_text", "files", "call_site", "agent_nodes", "run_config", "namespaces", "langgraph_internals"},
    {"events", "fault_points", "redaction"},
    {"errors", "shell_commands", "values", "_version"},
)
"""From the edges down: a module imports from its own layer and from those below it."""


def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name and "scaffold" not in parts:
            found[name] = path
    return found


MODULES = modules()
PUBLIC = {"", "__main__", "settings", "plugins", "models.place", "graphs.ready"}
"""Only hand names on, or start the program."""


def imports(path: Path) -> Iterator[str]:
    """What a module imports of the package, also in functions and for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("openmanus_graph"):
            base = (node.module or "").removeprefix("openmanus_graph").removeprefix(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                yield inner if inner in MODULES else base
        elif isinstance(node, ast.Import):
            yield from (
                one.name.removeprefix("openmanus_graph.") for one in node.names if "openmanus_graph." in one.name
            )


IMPORTS = {name: set(imports(path)) - {name} for name, path in MODULES.items()}


def folder_of(name: str) -> str:
    is_package = MODULES[name].name == "__init__.py"
    return name if is_package or "." not in name else name.rpartition(".")[0]


def layer_of(name: str) -> int:
    folder = folder_of(name)
    while folder:
        for number, layer in enumerate(LAYERS):
            if folder in layer:
                return number
        folder = folder.rpartition(".")[0]
    raise AssertionError(f"{name} is in no layer; add its folder to LAYERS")


def test_imports_point_downwards() -> None:
    upward = [
        f"{name} imports {imported}"
        for name in sorted(MODULES)
        for imported in sorted(IMPORTS[name])
        if name not in PUBLIC and imported not in PUBLIC and layer_of(imported) < layer_of(name)
    ]
    assert not upward, "\n".join(upward)


def test_no_module_imports_itself_around_others() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle: {' → '.join(error.args[1])}") from None


def test_the_command_line_and_notebooks_are_edges() -> None:
    for name, imported in IMPORTS.items():
        for edge in ("cli", "notebook"):
            if not name.startswith((edge, "__main__")):
                assert not [one for one in imported if one == edge or one.startswith(f"{edge}.")], name


def test_no_folder_is_crowded() -> None:
    for folder in {path.parent for path in MODULES.values()}:
        assert len(list(folder.glob("*.py"))) <= 30, folder


COMMAND = re.compile(
    r"openmanus-graph (run|resume|chat|threads|memory|db|doctor|step|plan|graph|tools|new|demo)\b|pip install|apt-get"
)


def strings(path: Path) -> Iterator[ast.Constant]:
    """The strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            yield node


def test_hints_name_shell_commands_in_one_module() -> None:
    found = [
        f"{name}:{text.lineno} {text.value!r}"
        for name, path in MODULES.items()
        if not name.startswith(("cli", "notebook", "demo")) and name != "shell_commands"
        for text in strings(path)
        if COMMAND.search(str(text.value))
    ]
    assert not found, "Put the command into openmanus_graph/shell_commands.py:\n" + "\n".join(found)


def test_every_command_that_a_hint_names_is_one() -> None:
    made = [value for name, value in vars(shell_commands).items() if name.isupper() and isinstance(value, str)]
    made += [shell_commands.resume("t", "--force"), shell_commands.resume("t", "--model", "NAME")]
    made += [shell_commands.show_thread(), shell_commands.thread_history(), shell_commands.rerun("t@1")]
    made.append(shell_commands.delete_thread("t"))
    for line in made:
        if line.startswith(f"{shell_commands.PROGRAM} "):
            done = CliRunner().invoke(cli, [*shlex.split(line)[1:], "--help"])
            assert done.exit_code == 0, line
