#!/usr/bin/env python3
"""Documents: writes the generated parts of README and docs, or checks that they are up to date.

A generated part stands between `<!-- generated: KIND WORDS -->` and `<!-- end -->`; the rest is by hand.
Kinds: `help COMMAND`, `settings`, `reference`, `taught` (names of submodules that pages use),
`graph TOOLS` (the plan graph), `manus` (the agent's graph), `transitions`, `stages` and `roles` (how it goes on),
`subtask TOOLS` (the agent's subtask graph), `exits`,
`tools`, `arguments TOOL`,
`compat PART` (what `make compat ARGS=--store` kept: `versions`, `features`, `differences`, `libraries` or `faults`).

    python scripts/documents.py          write them
    python scripts/documents.py --check  say which are out of date; exit 1 if any is
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from pydantic import AliasChoices, BaseModel

TOP = Path(__file__).resolve().parents[1]
PART = re.compile(
    r"(?P<open><!-- generated: (?P<kind>[a-z]+)(?: (?P<words>[^>]*?))? -->\n).*?(?P<close><!-- end -->)",
    re.DOTALL,
)
_IMPORT = re.compile(r"^ *from openmanus_graph\.([a-z_.]+) import (.+)$", re.MULTILINE)
_DOTTED = re.compile(r"\bopenmanus_graph\.([a-z_.]+\w+)(?=[`(])")
_QUOTED = re.compile(r"`(\w+)`")
_SECTION = re.compile(r"^(Args|Returns|Raises):$")

OVERRIDES = {"aget_tuple", "alist", "aput", "aput_writes", "adelete_thread", "settings_customise_sources"}
"""Methods that a library calls, not a user."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def pages() -> list[Path]:
    """README and every page of docs."""
    return [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]


def help_of(words: str) -> str:
    """What a command prints for `--help`."""
    from click.testing import CliRunner

    from openmanus_graph.cli import cli

    said = CliRunner().invoke(cli, [*words.split(), "--help"], prog_name="openmanus-graph", terminal_width=78)
    return f"```text\n{said.output.rstrip()}\n```"


def graph_of(words: str) -> str:
    """The plan graph with some tools, as Mermaid drawn from the code."""
    from openmanus_graph import Settings, build_plan_graph
    from openmanus_graph.drawing.graph import graph_mermaid

    app = build_plan_graph(words.split(), settings=Settings.model_construct()).compile()
    return f"```mermaid\n{graph_mermaid(app).rstrip()}\n```"


def manus_of(_: str) -> str:
    """The agent's graph, without the subtask graph inside it."""
    from openmanus_graph import Settings, build_manus_graph
    from openmanus_graph.drawing.graph import graph_mermaid

    app = build_manus_graph("openai/none", ["bash"], agents={}, settings=Settings.model_construct()).compile()
    return f"```mermaid\n{graph_mermaid(app, xray=False)}\n```"


def subtask_of(words: str) -> str:
    """The subtask graph as the agent has it."""
    from openmanus_graph import Settings, build_manus_graph
    from openmanus_graph.drawing.graph import graph_mermaid
    from openmanus_graph.graphs.subtask import build_subtask_graph

    graph = build_manus_graph("openai/none", words.split(), agents={}, settings=Settings.model_construct())
    app = build_subtask_graph(graph.tools, graph.roles.policy, graph.roles)
    return f"```mermaid\n{graph_mermaid(app)}\n```"


def settings_table(_: str) -> str:
    """The settings as a table, from the fields and the docstrings under them."""
    from openmanus_graph.config.settings import Settings

    rows = ["| Setting | Environment | Default | Meaning |", "|---|---|---|---|"]
    notes = {name: note for name, _, note in fields_of(definition_of("settings", "Settings"))}
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variable = str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"OPENMANUS_GRAPH_{name.upper()}"
        value = field.get_default(call_default_factory=True)
        default = "see below" if name in ("home", "owner") or isinstance(value, BaseModel) else f"`{value!r}`"
        rows.append(f"| `{name}` | `{variable}` | {default} | {notes[name]} |")
    return "\n".join(rows)


def tools_table(_: str) -> str:
    """The built-in tools with their arguments, effect, what happens without a policy, and output."""
    from openmanus_graph.tools.registry import builtin_tools
    from openmanus_graph.tools.spec import schema_of, spec_of

    rows = ["| Tool | Arguments | Effect | By default | Output |", "|---|---|---|---|---|"]
    for tool in builtin_tools():
        schema, spec = schema_of(tool), spec_of(tool)
        required = schema.get("required", [])
        names = [f"**`{name}`**" if name in required else f"`{name}`" for name in schema.get("properties", {})]
        effect = spec.effect + (
            f"; read with {' or '.join(map(str.upper, spec.reads_when[1]))}" if spec.reads_when else ""
        )
        effect += "; read where a call only reads" if spec.effect_when else ""
        reads = spec.reads_when or spec.effect_when
        default = "made" if spec.effect != "external" else "asked; made where it only reads" if reads else "asked"
        output = f"as `{spec.alias_of}`" if spec.alias_of else shape_words(spec.returns) or "the checked value"
        rows.append(f"| [`{tool.name}`](#{tool.name}) | {', '.join(names)} | {effect} | {default} | {output} |")
    return "\n".join(rows)


def shape_words(shape: Any) -> str:
    """What a plan may name of an output, in words."""
    if isinstance(shape, dict):
        parts = [(name, shape_words(inside)) for name, inside in cast("dict[str, Any]", shape).items()]
        return ", ".join(f"`{name}`{' ' + words if words.startswith('(') else ''}" for name, words in parts)
    if isinstance(shape, list):
        inside = shape_words(cast("list[Any]", shape)[0])
        return f"(list of {inside or 'texts'})"
    return ""


def arguments_table(words: str) -> str:
    """The arguments of one built-in tool."""
    from openmanus_graph.tools.registry import builtin
    from openmanus_graph.tools.spec import schema_of

    schema = schema_of(builtin(words))
    rows = ["| Argument | Default | Meaning |", "|---|---|---|"]
    for name, facts in schema.get("properties", {}).items():
        default = "required" if name in schema.get("required", []) else f"`{json.dumps(facts.get('default'))}`"
        rows.append(f"| `{name}` | {default} | {facts.get('description', '').replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def exits_table(_: str) -> str:
    """The exceptions and the exit codes of the command line, from the tree in `errors.py`."""
    tree = ast.get_docstring(ast.parse((TOP / "openmanus_graph" / "errors.py").read_text())) or ""
    drawn = tree.split("```")[1].strip("\n")
    return f"```text\n{drawn}\n```"


def reference(_: str) -> str:
    """Every public name with its signature and docstring."""
    import openmanus_graph

    homes: dict[str, str] = vars(openmanus_graph)["_HOMES"]
    parts: list[str] = []
    for name in sorted(openmanus_graph.__all__, key=str.lower):
        if name in homes:
            parts.append(render(definition_of(homes[name], name), name, f"openmanus_graph.{homes[name]}"))
    return "\n\n".join(parts)


def taught(_: str) -> str:
    """Every name of a submodule that README, docs or notebooks use, with its signature and docstring."""
    found: dict[tuple[str, str], None] = {}
    for module, name in sorted(names_in_pages(), key=lambda pair: (pair[1].lower(), pair[0])):
        found[module, name] = None
    return "\n\n".join(
        render(definition_of(module, name), name, f"from openmanus_graph.{module} import {name}")
        for module, name in found
    )


def names_in_pages() -> set[tuple[str, str]]:
    """Module and name of what pages and notebooks take from submodules, without what the package itself offers."""
    import openmanus_graph

    texts = [
        page.read_text(encoding="utf-8") for page in pages() if page.name not in ("reference.md", "architecture.md")
    ]
    for notebook in sorted((TOP / "notebooks").glob("*.ipynb")):
        cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells]
    found: set[tuple[str, str]] = set()
    for paragraph in "\n\n".join(texts).split("\n\n"):
        for module, names in _IMPORT.findall(paragraph):
            found |= {(module, name.strip()) for name in names.split(",")}
        for path in _DOTTED.findall(paragraph):
            module, _, last = path.rpartition(".")
            if _module_file(path) is not None:  # a module: the paragraph names what it has
                found |= {(path, name) for name in _QUOTED.findall(paragraph) if name in defined_in(path)}
            elif last in defined_in(module):
                found.add((module, last))
    for module in {module for module, _ in found}:
        found |= {(module, name) for name in offered_by(module)}
    return {(module, name) for module, name in found if name not in openmanus_graph.__all__}


def _module_file(module: str) -> Path | None:
    path = TOP / "openmanus_graph" / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def tree_of(module: str) -> ast.Module:
    """The syntax tree of a module of the package; an empty one where there is none."""
    file = _module_file(module)
    return ast.parse("" if file is None else file.read_text(encoding="utf-8"))


def defined_in(module: str) -> set[str]:
    """The public classes and functions that a module defines."""
    return {
        node.name for node in tree_of(module).body if isinstance(node, Definition) and not node.name.startswith("_")
    }


def offered_by(module: str) -> list[str]:
    """The names of a package's `__all__`, which its pages teach as a whole; none of a module."""
    file = _module_file(module)
    if file is None or file.name != "__init__.py":
        return []
    for node in tree_of(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


def definition_of(module: str, name: str) -> Definition | ast.Assign:
    """The definition of a name in a module of the package, or where that has it from."""
    tree = tree_of(module)
    for node in tree.body:
        if isinstance(node, Definition) and node.name == name:
            return node
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node
    for node in tree.body:
        for alias in node.names if isinstance(node, ast.ImportFrom) else []:
            if (alias.asname or alias.name) == name:
                return definition_of(str(cast("Any", node).module).removeprefix("openmanus_graph."), alias.name)
    raise LookupError(f"{name!r} is defined nowhere in {module!r}")


def render(node: Definition | ast.Assign, name: str, home: str) -> str:
    """One public name as Markdown."""
    head = [f"## `{name}`", "", f"`{home}`"]
    if isinstance(node, ast.Assign):
        return "\n".join([*head, "", f"```text\n{ast.unparse(node)}\n```"])
    doc = ast.get_docstring(node) or ""
    if not isinstance(node, ast.ClassDef):
        return "\n".join([*head, "", f"```text\n{signature(node)}\n```", "", prose(doc)])
    lines = [*head, "", prose(doc)]
    fields = [field for field in fields_of(node) if not field[0].startswith("_") and field[0] != "model_config"]
    if fields:
        lines += ["", "| Field | Type | |", "|---|---|---|"]
        lines += [f"| `{key}` | `{kind.replace('|', chr(92) + '|')}` | {note} |" for key, kind, note in fields]
    for method in methods_of(node):
        text = prose(ast.get_docstring(method) or "")
        lines += ["", f"### `{name}.{method.name}`", "", f"```text\n{signature(method)}\n```", "", text]
    return "\n".join(lines)


def fields_of(node: Definition) -> list[tuple[str, str, str]]:
    """Name, type and the sentence under each field of a class."""
    found: list[tuple[str, str, str]] = []
    for statement, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        note = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            note = " ".join(str(after.value.value).split())
        found.append((statement.target.id, ast.unparse(statement.annotation), note))
    return found


def methods_of(node: ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Methods that are public and say what they do."""
    for item in node.body:
        if not isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) or item.name.startswith("_"):
            continue
        if ast.get_docstring(item) and item.name not in OVERRIDES:
            yield item


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """A function's first line, without the body."""
    names = {ast.unparse(decorator) for decorator in node.decorator_list}
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if names & {"property", "cached_property"}:
        return f"{node.name}{returns}  (property)"
    word = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    word += "classmethod " if "classmethod" in names else ""
    given = ast.unparse(node.args)
    given = re.sub(r"^(self|cls)(, )?", "", given)
    line = f"{word}{node.name}({given}){returns}"
    return line if len(line) <= 100 else re.sub(r", (?=\*|\w+:)", ",\n    ", line)


def prose(doc: str) -> str:
    """A Google-style docstring as Markdown."""
    lines: list[str] = []
    inside = False
    for line in doc.splitlines():
        if match := _SECTION.match(line):
            inside = True
            lines.append(f"**{match[1]}**\n")
        elif inside and line.startswith("        "):
            lines[-1] += " " + line.strip()
        elif inside and line.startswith("    "):
            key, colon, rest = line.strip().partition(": ")
            named = colon and re.fullmatch(r"[\w*]+", key)
            lines.append(f"- `{key}`: {rest}" if named else f"- {line.strip()}")
        else:
            inside = inside and not line
            lines.append(line)
    return "\n".join(lines).strip()


def transitions_table(_: str) -> str:
    """The edges of the agent's graph, from the table that they are made of."""
    from openmanus_graph.nodes.transitions import TRANSITIONS

    rows = ["| After | Decision | Comes | When |", "|---|---|---|---|"]
    ends = {"__start__": "start", "__end__": "end"}
    for edge in TRANSITIONS:
        after, to = (f"`{ends.get(name, name)}`" if name not in ends else ends[name] for name in (edge.node, edge.to))
        rows.append(f"| {after} | {f'`{edge.decision}`' if edge.decision else ''} | {to} | {edge.why} |")
    return "\n".join(rows)


def stages_table(_: str) -> str:
    """What the agent's coordinator may decide at each stage."""
    from openmanus_graph.nodes.transitions import INPUT, STAGES

    rows = ["| Stage | Set by | What has happened | The coordinator may decide |", "|---|---|---|---|"]
    replied = set(next(row.decisions for row in STAGES if row.stage == "new"))
    for row in STAGES:
        own = [f"`{one}`" for one in row.decisions if one not in replied]
        may = ", ".join([*own, "whatever its model replies"] if replied <= set(row.decisions) else own)
        by = ", ".join("the input" if node == INPUT else f"`{node}`" for node in row.set_by)
        rows.append(f"| `{row.stage}` | {by} | {row.why} | {may} |")
    return "\n".join(rows)


def roles_table(_: str) -> str:
    """What each role is told, and what of the fields that steer the graph its module writes."""
    from openmanus_graph.agent_nodes import ROLES

    rows = ["| Role | Its model is told | Writes `stage` | Writes `decision` |", "|---|---|---|---|"]
    for role in ROLES:
        stages, decisions = (_written_by(role.name, name) for name in ("at_stage", "decided"))
        if role.is_told or stages or decisions:
            rows.append(f"| `{role.name}` | {role.is_told} | {stages} | {decisions} |")
    return "\n".join(rows)


def _written_by(role: str, function: str) -> str:
    """The arguments with which a node's module calls a function that steers the graph."""
    if role == "dispatcher":  # the graph of a plan has no stages: it is told what to write
        role_file = TOP / "openmanus_graph" / "graphs" / "manus.py"
    else:
        role_file = TOP / "openmanus_graph" / "nodes" / f"{role}.py"
    if not role_file.is_file():
        return ""
    found = [
        str(node.args[0].value)
        for node in ast.walk(ast.parse(role_file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
        if isinstance(node.args[0], ast.Constant)
    ]
    return ", ".join(f"`{name}`" for name in dict.fromkeys(found))


def compat_of(words: str) -> str:
    """A part of what LangGraph's own tests came to, from the figures that `make compat ARGS=--store` kept."""
    stored: dict[str, Any] = json.loads((TOP / "docs" / "data" / "compat.json").read_text(encoding="utf-8"))
    return _COMPAT[words](stored)


def _compat_versions(stored: dict[str, Any]) -> str:
    named = [f"{name} {version}" for name, version in stored["versions"].items()]
    tests = sum(next(iter(stored["totals"].values())).values())
    return f"{tests} tests of {len(stored['files'])} files; {', '.join(named)}."


def _compat_features(stored: dict[str, Any]) -> str:
    rows = ["| Feature | Tests | LangGraph's saver in memory | Its Postgres savers | Ours | Durable |"]
    rows.append("|---|---:|---:|---:|---:|---:|")
    for name, savers in [*stored["features"].items(), ("**All**", stored["totals"])]:
        counts = [savers[saver] for saver in ("memory", "postgres", "ours", "durable")]
        cells = " | ".join(str(count["passed"]) for count in counts)
        rows.append(f"| {name} | {sum(counts[0].values()) - counts[0]['skipped']} | {cells} |")
    return "\n".join(rows)


def _compat_differences(stored: dict[str, Any]) -> str:
    parts: list[str] = []
    for difference in stored["differences"]:
        failing = [failure for failure in stored["failures"] if failure["cause"] == difference["cause"]]
        on = {"ours": "on our saver", "durable": "through durable graphs"}
        tests = "test" if len(failing) == 1 else "tests"
        where = " and ".join(on[saver] for saver in sorted({failure["saver"] for failure in failing}, reverse=True))
        why = " ".join(difference["why"].split())
        parts.append(f"**{difference['title']}.** {why} ({len(failing)} {tests} {where})")
    return "\n\n".join(parts) or "None."


def _compat_libraries(stored: dict[str, Any]) -> str:
    rows = [
        f"| {one['library']} {one['version']} | {one['tries']} | {'yes' if one['outcome'] == 'passed' else 'no'} |"
        for one in stored["libraries"]
    ]
    return "\n".join(["| Library | What the graph uses | Killed and resumed |", "|---|---|---|", *rows])


def _compat_faults(stored: dict[str, Any]) -> str:
    faults = [failure for failure in stored["failures"] if failure["cause"] is None]
    rows = [f"- {failure['saver']}: `{failure['test']}`: {failure['said']}" for failure in faults]
    return "\n".join(rows) or "None."


_COMPAT: dict[str, Callable[[dict[str, Any]], str]] = {
    "versions": _compat_versions,
    "features": _compat_features,
    "differences": _compat_differences,
    "faults": _compat_faults,
    "libraries": _compat_libraries,
}

KINDS: dict[str, Callable[[str], str]] = {
    "help": help_of,
    "settings": settings_table,
    "reference": reference,
    "taught": taught,
    "graph": graph_of,
    "manus": manus_of,
    "transitions": transitions_table,
    "stages": stages_table,
    "roles": roles_table,
    "subtask": subtask_of,
    "exits": exits_table,
    "tools": tools_table,
    "arguments": arguments_table,
    "compat": compat_of,
}


def written(text: str) -> str:
    """The page with its generated parts as they must be."""
    return PART.sub(
        lambda found: f"{found['open']}{KINDS[found['kind']](found['words'] or '')}\n{found['close']}", text
    )


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale: list[str] = []
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = written(before)
        if before != after:
            stale.append(str(page.relative_to(TOP)))
            if "--check" not in arguments:
                page.write_text(after, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"Out of date: {', '.join(stale)}. Write them with: make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
