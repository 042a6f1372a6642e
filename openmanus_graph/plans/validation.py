"""Validation: every problem of a plan at once, each naming the subtask and the cure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from re import fullmatch
from typing import TYPE_CHECKING, Any, cast

from openmanus_graph.errors import PlanError
from openmanus_graph.plans.json_values import PlanPath, shown
from openmanus_graph.plans.references import ID_PATTERN, Reference, ReferenceSyntaxError, references_in, strings_in

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_PROBLEMS = 200
"""Problems that are listed; the rest is counted."""

_CYCLES_SHOWN = 20
_CYCLE_LENGTH_SHOWN = 12
_COMPARISONS = 50_000


@dataclass(frozen=True)
class PlanProblem:
    """One problem of a plan."""

    path: PlanPath
    """Its place in the plan."""
    text: str
    """The problem and its cure, without naming the subtask."""


@dataclass
class Outline:
    """Id, needs and references of one subtask, read from data that may be wrong anywhere."""

    index: int
    raw: dict[str, Any]
    id: str | None
    """Its id if that is a well-formed one, else `None`."""
    needs: list[tuple[int, str]]
    """Prerequisites with their place in the list."""
    references: list[tuple[PlanPath, Reference]] = field(default_factory=list[tuple[PlanPath, Reference]])
    """References with the path of their string, each once per string."""
    malformed: list[PlanProblem] = field(default_factory=list[PlanProblem])
    """Strings with text after `${` that is no reference."""

    @property
    def path(self) -> PlanPath:
        """Where the subtask is in the plan."""
        return ("subtasks", self.index)

    @property
    def prerequisites(self) -> list[str]:
        """Ids that it waits for, needs before references, each once."""
        named = [name for _, name in self.needs]
        return list(dict.fromkeys([*named, *(reference.subtask_id for _, reference in self.references)]))

    @property
    def edges(self) -> list[str]:
        """The same without references to itself, which have their own rule."""
        named = {name for _, name in self.needs}
        return [name for name in self.prerequisites if name != self.id or name in named]


class Names:
    """Known names, and the nearest of them to a wrong one, within a bounded amount of comparing."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._known = set(self._names)
        self._left = _COMPARISONS

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def nearest(self, name: str) -> str | None:
        """The known name most like `name`, or `None` if none is like it."""
        if len(name) > 100 or self._left < len(self._names):
            return None
        self._left -= len(self._names)
        near = get_close_matches(name, self._names, n=1)
        return near[0] if near else None

    def cure(self, name: str, otherwise: str) -> str:
        """`did you mean 'x'?`, else `otherwise`."""
        near = self.nearest(name)
        return otherwise if near is None else f"did you mean {near!r}?"


def outline(index: int, raw: Any) -> Outline:
    """Read one subtask's data as far as it can be read."""
    fields = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
    name = fields.get("id")
    needs = fields.get("needs")
    listed = list(enumerate(cast("list[Any]", needs))) if isinstance(needs, list) else []
    result = Outline(
        index,
        fields,
        name if isinstance(name, str) and fullmatch(ID_PATTERN, name) else None,
        [(place, need) for place, need in listed if isinstance(need, str)],
    )
    for key in ("goal", "args"):
        for path, text in strings_in(fields.get(key)):
            if "${" not in text:
                continue
            where: PlanPath = (*result.path, key, *path)
            try:
                result.references += [(where, reference) for reference in references_in(text)]
            except ReferenceSyntaxError as error:
                result.malformed.append(PlanProblem(where, f"in {place_of(where)}, {error}"))
    return result


def subtask_problems(subtask: Outline) -> Iterator[PlanProblem]:
    """Problems of one subtask by itself, beyond the types of its fields."""
    raw = subtask.raw
    tool, agent = raw.get("tool"), raw.get("agent")
    if tool is None and agent is None:
        yield PlanProblem(subtask.path, "has neither a tool nor an agent; give one of them")
    if tool is not None and agent is not None:
        yield PlanProblem(subtask.path, "has both a tool and an agent; remove one of them")
    if tool is None and agent is not None:
        if raw.get("args"):
            text = "has args, which only a tool takes; say it in the goal, or name a tool instead of the agent"
            yield PlanProblem((*subtask.path, "args"), text)
        if not raw.get("goal"):
            yield PlanProblem((*subtask.path, "agent"), "has an agent but no goal; say in 'goal' what it is to do")
    if agent is None and tool is not None and raw.get("tools") is not None:
        text = "has 'tools', from which only an agent chooses; remove it, or name an agent instead of the tool"
        yield PlanProblem((*subtask.path, "tools"), text)
    yield from subtask.malformed
    if subtask.id is not None:
        for path in {path: None for path, reference in subtask.references if reference.subtask_id == subtask.id}:
            text = f"refers to its own output in {place_of(path)}; refer to an earlier subtask"
            yield PlanProblem(path, text)


def structure_problems(outlines: list[Outline]) -> Iterator[PlanProblem]:
    """Problems between subtasks: ids given twice, unknown prerequisites, cycles."""
    first: dict[str, int] = {}
    for subtask in outlines:
        if subtask.id is None:
            continue
        if subtask.id in first:
            text = f"has the id of subtask number {first[subtask.id] + 1}; give each its own id"
            yield PlanProblem((*subtask.path, "id"), text)
        first.setdefault(subtask.id, subtask.index)
    names = Names(first)
    for subtask in outlines:
        for place, need in subtask.needs:
            if need not in names:
                cure = names.cure(need, "add it or remove the need")
                text = f"needs {shown(need)}, which is no subtask of the plan; {cure}"
                yield PlanProblem((*subtask.path, "needs", place), text)
        for path, reference in subtask.references:
            if reference.subtask_id not in names:
                cure = names.cure(reference.subtask_id, "write '$${' if a literal '${' is meant")
                text = f"refers to {reference.subtask_id!r} in {place_of(path)}, which is no subtask of the plan"
                yield PlanProblem(path, f"{text}; {cure}")
    graph = {subtask.id: subtask.edges for subtask in outlines if subtask.id is not None}
    for cycle in find_cycles(graph):
        yield _cycle_problem(cycle, first)


def find_cycles(prerequisites: Mapping[str, Collection[str]]) -> Iterator[list[str]]:
    """Cycles as lists of ids without the repeated first one, each once, at least one if there is any.

    A depth-first walk closes one cycle per back edge. Unknown ids are passed over.
    """
    seen: set[tuple[str, ...]] = set()
    finished: set[str] = set()
    order = {name: place for place, name in enumerate(prerequisites)}
    for start in prerequisites:
        if start in finished:
            continue
        walk: dict[str, Iterator[str]] = {start: iter(prerequisites[start])}
        while walk:
            name = next(reversed(walk))
            below = next(walk[name], None)
            if below is None:
                finished.add(name)
                del walk[name]
            elif below in walk:
                ring = list(walk)
                ring = ring[ring.index(below) :]
                at = min(range(len(ring)), key=lambda place: order[ring[place]])
                cycle = ring[at:] + ring[:at]
                if tuple(cycle) not in seen:
                    seen.add(tuple(cycle))
                    yield cycle
                    if len(seen) == _CYCLES_SHOWN:
                        return
            elif below in prerequisites and below not in finished:
                walk[below] = iter(prerequisites[below])


def _cycle_problem(cycle: list[str], first: Mapping[str, int]) -> PlanProblem:
    named = [*cycle, cycle[0]]
    if len(named) > _CYCLE_LENGTH_SHOWN:
        half = _CYCLE_LENGTH_SHOWN // 2
        named = [*named[:half], f"({len(named) - 2 * half} more)", *named[-half:]]
    ring = " → ".join(named)
    text = f"is in a cycle in which each needs the next: {ring}; remove one of these needs or references"
    return PlanProblem(("subtasks", first[cycle[0]]), text)


def place_of(path: PlanPath) -> str:
    """The path inside a subtask in words, such as `'args.command'`."""
    return repr(".".join(str(part) for part in path[2:]))


def field_problem(details: ErrorDetails, path: PlanPath, names: Iterable[str]) -> PlanProblem:
    """Put an error of pydantic into words.

    Args:
        details: One of `ValidationError.errors()`.
        path: Where the validated object is in the plan.
        names: The fields that the object has.
    """
    loc = details["loc"]
    kind = details["type"]
    where: PlanPath = (*path, *loc)
    name = ".".join(str(part) for part in loc)
    value = details["input"]
    if kind == "missing":
        return PlanProblem(path, f"has no {name!r}; add it")
    if kind == "extra_forbidden":
        known = Names(names)
        cure = known.cure(str(loc[-1]), f"the fields are {', '.join(names)}")
        return PlanProblem(where, f"has the unknown field {shown(str(loc[-1]))}; {cure}")
    if not loc:
        return PlanProblem(path, f"must be a mapping with an 'id', not {shown(value)}")
    if kind == "string_pattern_mismatch":
        text = "needs 1 to 64 letters (a-z, A-Z), digits, '_' or '-'"
        return PlanProblem(where, f"{name!r} is {shown(value)}; it {text}")
    if kind in ("too_short", "string_too_short"):
        return PlanProblem(
            where, f"{name!r} must not be empty; {'add a subtask' if kind == 'too_short' else 'name one'}"
        )
    return PlanProblem(where, f"{name!r} {_EXPECTED.get(kind) or details['msg'].lower()}, not {shown(value)}")


_EXPECTED = {
    "string_type": "must be text (put it in quotes)",
    "list_type": "must be a list, such as [a, b]",
    "dict_type": "must be a mapping of argument names to values",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "greater_than": "must be more than 0",
    "greater_than_equal": "must be 0 or more",
}


def plan_error(
    problems: Iterable[PlanProblem],
    data: Any,
    *,
    lines: Mapping[PlanPath, int] | None = None,
    source: str | None = None,
) -> PlanError:
    """Put problems into words, in the order of the plan.

    Args:
        problems: At least problem.
        data: The plan's data, for the ids of its subtasks; it may be wrong anywhere.
        lines: Line of each part of the plan, if it came from a YAML file.
        source: The file it came from.
    """
    known = lines or {}
    ordered = sorted(
        dict.fromkeys(problems), key=lambda problem: (_place(problem.path), _line(problem.path, known) or 0)
    )
    sentences = [_sentence(problem, data, known) for problem in ordered[:MAX_PROBLEMS]]
    if len(ordered) > MAX_PROBLEMS:
        sentences.append(f"and {len(ordered) - MAX_PROBLEMS} more; correct these first")
    return PlanError(sentences, source=source)


def _place(path: PlanPath) -> tuple[int, int]:
    if len(path) >= 2 and path[0] == "subtasks" and isinstance(path[1], int):
        return (1, path[1])
    return (0, 0)


def _line(path: PlanPath, lines: Mapping[PlanPath, int]) -> int | None:
    """The line of the innermost part on the way to `path` whose line is known."""
    return next((lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in lines), None)


def _sentence(problem: PlanProblem, data: Any, lines: Mapping[PlanPath, int]) -> str:
    path = problem.path
    line = _line(path, lines)
    where = "" if line is None else f"line {line}: "
    if _place(path)[0] == 0:
        of_field = problem.text.startswith("'")
        return f"{where}{'' if of_field else 'the plan '}{problem.text}"
    index = cast("int", path[1])
    subtask: Any = data["subtasks"][index]
    name: Any = cast("dict[str, Any]", subtask).get("id") if isinstance(subtask, dict) else None
    named = isinstance(name, str) and fullmatch(ID_PATTERN, name)
    return f"{where}subtask {repr(name) if named else f'number {index + 1}'}: {problem.text}"
