"""Cell: the magic `%%graph_step`, which opens a stepper on the last expression of a cell.

The cell stays the user's: IPython runs what stands below its first line like any other cell, with a call put around its
last expression. So `await` works at its top level, its names are the notebook's, and tracebacks show its own lines. For
this a cell is changed twice: its text gets a last line that says what to call, since IPython looks in the text for an
`await`; and in the tree that Python reads from that, the line is put around the expression before it.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import ast
import inspect
import keyword
import shlex
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from IPython.core.displayhook import DisplayHook
from IPython.core.error import UsageError as NotATraceback
from IPython.core.interactiveshell import InteractiveShell

from openmanus_graph.checkpoints.thread_id import checked_thread, new_thread_id
from openmanus_graph.errors import OpenManusGraphError, UsageError
from openmanus_graph.notebook.body import last_expression, python_of
from openmanus_graph.notebook.store import Store

if TYPE_CHECKING:
    from langgraph.pregel import Pregel

    from openmanus_graph.stepping.stepper import Stepper

MAGIC = "graph_step"
CALL = f"get_ipython().run_cell_magic({MAGIC!r}, "
"""What IPython makes of a cell that begins with the magic, up to the rest of the first line."""
ENDINGS = "End the cell with a graph, with (graph, input), or with a plan."
USAGE = f"It is %%{MAGIC} [THREAD] [--as NAME]; %%{MAGIC}? tells more."


@dataclass(frozen=True)
class Options:
    """Options on the first line of the cell."""

    thread: str | None = None
    """The thread; `None` for a new one."""
    name: str = "stepper"
    """The variable that the stepper is put into."""

    @classmethod
    def parse(cls, line: str) -> Options:
        """Read the line.

        Raises:
            UsageError: If it says anything else.
        """
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"The line {line!r} cannot be read: a quote is not closed.", hint=USAGE) from error
        thread: str | None = None
        name = cls.name
        while words:
            word = words.pop(0)
            option, given, value = word.partition("=")
            if option == "--as":
                name = value if given else words.pop(0) if words else ""
                if not name.isidentifier() or keyword.iskeyword(name):
                    raise UsageError(f"{name!r} cannot be a variable.", hint=f"Give --as a name. {USAGE}")
            elif word.startswith("-"):
                raise UsageError(f"There is no option {word!r}.", hint=USAGE)
            elif thread is not None:
                raise UsageError(f"{thread!r} and {word!r} are two threads.", hint=USAGE)
            else:
                thread = checked_thread(word)
        return cls(thread, name)


class GraphStep:
    """The magic of one shell, and the transformer of the cells that begin with it."""

    def __init__(self, shell: InteractiveShell) -> None:
        """Open nothing yet.

        Args:
            shell: The shell.
        """
        self._shell: Any = shell  # IPython declares its own traits in part
        self.store = Store()
        """What its cells share."""

    def transform(self, lines: list[str]) -> list[str]:
        """The text for IPython to run; a cell with a fault is unchanged, and the magic explains the fault.

        Args:
            lines: What IPython made of a cell.
        """
        call = _call(lines)
        if call is None:
            return lines
        line, body = call
        if not body:
            return [f"{CALL}{line!r}, '\\n')\n"]  # IPython has a word of its own for no body at all
        if not self._shell.autoawait or not _plausible(line):
            return lines
        code = python_of(self._shell, body)
        try:
            last = last_expression(self._shell, code)
        except SyntaxError:
            return code.splitlines(keepends=True)  # IPython shows what is wrong with it
        if last is None:
            return lines
        silent = ";" if cast("Any", DisplayHook).semicolon_at_end_of_expression(code) else ""
        return [*code.splitlines(keepends=True), f"await {CALL}{line!r}, ()){silent}\n"]

    def visit(self, tree: Any) -> Any:
        """Put the last line of a cell that was changed around the expression before it.

        Args:
            tree: The cell, or anything else.
        """
        body = cast("list[Any]", tree.body) if isinstance(tree, ast.Module) else []
        match body[-2:]:
            case [
                ast.Expr() as last,
                ast.Expr(value=ast.Await(value=ast.Call(args=[ast.Constant(value=name), _, ast.Tuple([]) as given]))),
            ] if name == MAGIC:
                added = body.pop().value
                for node in ast.walk(added):
                    ast.copy_location(node, last)
                given.elts.append(last.value)
                last.value = added
            case _:
                pass
        return tree

    def graph_step(self, line: str, cell: str | tuple[Any, ...]) -> Coroutine[Any, Any, Stepper]:
        """Step through the graph that the code of this cell ends with.

        ::

            %%graph_step [THREAD] [--as NAME]
            code, with `await` where it is needed
            what is to be stepped

        The last line is a graph, `(graph, input)`, or a plan. A graph that is not compiled, and a plan, get a
        checkpointer of the settings that all cells share; one that is compiled has its own. Nothing runs before the
        first step.

        THREAD: the thread. One that exists is taken up where it stands, and needs no input. Default: a new one.
        --as NAME: the variable that the `Stepper` is put into. Default: stepper.

        Then, in other cells: `await stepper.step()`, `await stepper.run()`, `await stepper.back()`.
        """
        try:
            options = Options.parse(line)
            if isinstance(cell, str) or not cell:
                raise self._refusal(cell)
        except OpenManusGraphError as error:
            raise without_traceback(error) from error
        return self._open(options, cell[0])

    def _refusal(self, body: str | tuple[()]) -> UsageError:
        """The error for a cell that was not transformed."""
        if not self._shell.autoawait:
            return UsageError(
                f"%%{MAGIC} needs `await` at the top level, which is off.", hint="Turn it on: %autoawait asyncio"
            )
        if not isinstance(body, str) or last_expression(self._shell, python_of(self._shell, body)) is not None:
            return UsageError(f"%%{MAGIC} works only as the first line of a cell.", hint="Put it into one.")
        return UsageError(f"The cell gives %%{MAGIC} nothing to step through.", hint=ENDINGS)

    async def _open(self, options: Options, thing: Any) -> Stepper:
        try:
            stepper = await self._stepper(options, thing)
        except OpenManusGraphError as error:
            raise without_traceback(error) from error
        self._shell.push({options.name: stepper})
        return stepper

    async def _stepper(self, options: Options, thing: Any) -> Stepper:
        from openmanus_graph.loading.input_schema import title_of
        from openmanus_graph.plan import Plan
        from openmanus_graph.stepping.stepper import Stepper

        graph, given = parted(thing)
        plan = graph if isinstance(graph, Plan) else None
        name = options.thread or new_thread_id(plan.goal or "plan" if plan else title_of(given) or "graph")
        if plan is not None:
            graph, given = plan_graph(plan), {"plan": plan}
            graph.prepare_input(given, {"thread_id": name})  # says at once what is wrong with the plan
        app = await self._compiled(graph)
        await self.store.free(name)
        try:
            stepper = Stepper(app, thread_id=name, input=given)
        except UsageError as error:
            how = f"{error.hint}"
            hint = f"Leave it uncompiled, so that it gets one here. Or {how[:1].lower()}{how[1:]}"
            raise UsageError(error.message, hint=hint) from error
        self.store.keep(stepper)
        await stepper
        if problem := stepper.error:
            raise UsageError(problem["message"], hint=problem["hint"])
        if stepper.status == "new" and given is None:
            raise UsageError(
                f"The thread {name!r} is new, and there is no input to begin it with.",
                hint="End the cell with (graph, input), or name a thread that has begun.",
            )
        return stepper

    async def _compiled(self, graph: Any) -> Pregel[Any, Any, Any, Any]:
        from langgraph.graph import StateGraph

        if not isinstance(graph, StateGraph):
            return graph
        saver = await self.store.saver()
        try:
            return cast("Any", graph).compile(checkpointer=saver)
        except ValueError as error:
            why = " ".join(str(error).split()).rstrip(".")
            raise UsageError(f"The graph cannot be compiled: {why}.", hint="Complete it in the cell.") from error


def parted(thing: Any) -> tuple[Any, Any]:
    """A graph or plan, and the input that came with it, or `None`.

    Raises:
        UsageError: If it is neither, with what to do instead.
    """
    from langgraph.graph import StateGraph
    from langgraph.pregel import Pregel

    from openmanus_graph.plan import Plan

    kinds: Any = (StateGraph, Pregel)
    if isinstance(thing, (Plan, kinds)):
        return thing, None
    value = cast("object", thing)
    match thing:
        case (graph, given) if isinstance(graph, kinds):
            return graph, given
        case _:
            pass
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise UsageError("The cell ends with something to be awaited.", hint="Put `await` before it.")
    kind = "None" if value is None else f"a value of the type {type(value).__name__!r}"
    raise UsageError(f"The cell ends with {kind}, which cannot be stepped through.", hint=ENDINGS)


def plan_graph(plan: Any) -> Any:
    """The graph that executes a plan: the agent's, with the model it needs, if a subtask is for an agent."""
    from openmanus_graph.graphs.manus import build_manus_graph
    from openmanus_graph.graphs.plan import build_plan_graph

    return build_manus_graph() if any(subtask.agent for subtask in plan.subtasks) else build_plan_graph()


def without_traceback(error: OpenManusGraphError) -> NotATraceback:
    """An error that IPython shows in one line, without a traceback."""
    return NotATraceback(f"{error.message} {error.hint or ''}".rstrip())


def _call(lines: list[str]) -> tuple[str, str] | None:
    """The rest of the first line and the body of a cell that begins with the magic; `None` for other cells."""
    if len(lines) != 1 or not lines[0].startswith(CALL):
        return None
    match ast.parse(lines[0]).body:
        case [ast.Expr(value=ast.Call(args=[_, ast.Constant(value=str() as line), ast.Constant(value=str() as body)]))]:
            return line, body
        case _:
            return None  # a call that somebody wrote


def _plausible(line: str) -> bool:
    """Whether the line can be right; names of the notebook in it are filled in only later."""
    if "{" in line or "$" in line:
        return True
    try:
        Options.parse(line)
    except UsageError:
        return False
    return True


def add_cell(shell: InteractiveShell) -> None:
    """Register `%%graph_step`.

    Args:
        shell: The shell; one that has it is not to be given it again.
    """
    magic, any_shell = GraphStep(shell), cast("Any", shell)
    any_shell.input_transformers_post.append(magic.transform)
    any_shell.ast_transformers.append(magic)
    any_shell.register_magic_function(magic.graph_step, "cell", MAGIC)


def drop_cell(shell: InteractiveShell) -> None:
    """Unregister `%%graph_step`, and close what its cells have opened.

    Args:
        shell: The shell, with it or without.
    """
    any_shell = cast("Any", shell)
    for magic in [transformer for transformer in any_shell.ast_transformers if isinstance(transformer, GraphStep)]:
        any_shell.ast_transformers.remove(magic)
        any_shell.input_transformers_post.remove(magic.transform)
        any_shell.magics_manager.magics["cell"].pop(MAGIC, None)
        magic.store.close()
