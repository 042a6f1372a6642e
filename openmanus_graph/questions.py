"""Questions: interrupts with which a run asks a person; only an answer of the same kind ends one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal, NotRequired, TypedDict, cast, get_args

from langgraph.config import get_config
from langgraph.types import Command, Interrupt, interrupt

from openmanus_graph import shell_commands
from openmanus_graph.approval import Approval, approval_of
from openmanus_graph.effect_outcome import effect_outcome_of
from openmanus_graph.errors import UnknownQuestionError
from openmanus_graph.langgraph_internals import SCRATCHPAD_KEY
from openmanus_graph.run_config import configurable_of
from openmanus_graph.values.storable_json import storable

__all__ = [
    "Answer",
    "Approval",
    "Kind",
    "Question",
    "answers_for",
    "approval_of",
    "ask",
    "ask_about",
    "asked_so_far",
    "for_graph",
    "handle_of",
    "is_answered",
    "is_own",
    "nothing_asked",
    "pass_over",
    "pass_over_others",
    "question_of",
    "resume_with",
]

Kind = Literal["answer", "approve", "effect", "step"]
"""`answer`: a person's words; `approve`: yes or no to an action; `effect`: whether a call happened that nobody knows
the outcome of; `step`: the stepper's word to go on."""

_READERS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "approve": approval_of,
    "effect": lambda value, _: effect_outcome_of(value),
}
"""What reads the values of the kinds that are not taken as they come."""
_asked: ContextVar[int] = ContextVar("openmanus_graph_asked", default=0)

HANDLE_CHARACTERS = 8
"""Characters of an id that are shown to name a question."""
SHORTEST_BEGINNING = 4
"""Characters of an id that are enough to name a question, if no other one begins so."""

_ID = re.compile(r"[0-9a-f]{8,32}")
"""What is taken for a question's id, or its beginning, before a `=`."""


class Question(TypedDict):
    """An open question of a thread."""

    id: str
    """The interrupt's id; answers go by it."""
    kind: Kind
    """Which kind of answer it takes."""
    subtask: str
    """The subtask that asks; empty for the graph's own questions."""
    question: str
    """What it asks."""
    tool: NotRequired[str]
    """The tool whose call is to be approved."""
    args: NotRequired[dict[str, Any]]
    """The arguments of that call."""
    reason: NotRequired[str]
    """Why it is asked, such as what the policy says."""
    plan: NotRequired[dict[str, Any]]
    """The plan to be approved."""
    about: NotRequired[str]
    """What it is about, where an answer to an earlier question of the same place must not be taken for this one."""
    site: NotRequired[str]
    """The site of the call, which a yes may be for until the request is over: scheme, host and port."""
    refused: NotRequired[str]
    """Why the last answer was not taken."""
    bare: NotRequired[bool]
    """Whether it is an interrupt of a graph that knows no kinds: it gets the value itself, JSON read as JSON."""


class Answer(TypedDict):
    """The value that resumes a wait; its kind says who answered, so a debugger's *go on* is no approval."""

    kind: Kind
    value: Any
    about: NotRequired[str]
    """What the question was about; the engine adds it."""


def ask(
    question: str,
    *,
    subtask: str,
    kind: Kind = "answer",
    tool: str | None = None,
    args: Mapping[str, Any] | None = None,
    reason: str | None = None,
    plan: Mapping[str, Any] | None = None,
    about: str | None = None,
    site: str | None = None,
    check: Callable[[Any], None] | None = None,
    refused: str | None = None,
) -> Any:
    """Ask a person and suspend until the answer comes; the process may end meanwhile.

    Args:
        question: What to ask.
        subtask: The subtask that asks; empty for the graph's own questions.
        kind: The kind of answer to accept; any other kind asks again.
        tool: The tool whose call is to be approved.
        args: The arguments of that call.
        reason: Why it is asked.
        plan: The plan to be approved.
        about: What it is about: an answer to a question about something else is not taken.
        site: The site of the call, for which a person may say yes until the request is over.
        check: Raises `UnknownQuestionError` for an answer that cannot be taken, so that it is asked again; it is given
            what would be returned.
        refused: Why an earlier answer was not taken, if one was not.

    Returns:
        The answer's value; for `approve` an `Approval`, which is true only for a plain yes and has all arguments of a
        call after an edit, for `effect` an `EffectOutcome`.
    """
    payload: dict[str, Any] = {"kind": kind, "subtask": subtask, "question": question}
    more = {"tool": tool, "args": args and dict(args), "reason": reason, "plan": plan and dict(plan), "about": about}
    more |= {"site": site, "refused": refused}
    payload |= {key: value for key, value in more.items() if value is not None}
    of_kind = f"This question takes a {kind!r}."
    while True:
        given = interrupt(payload)
        _asked.set(_asked.get() + 1)
        why = of_kind
        if isinstance(given, dict):
            fields = cast("dict[str, Any]", given)
            if fields.get("kind") == kind and "value" in fields:
                if fields.get("about") != about:
                    why = "The last answer was to an earlier question."
                else:
                    try:
                        return _read(fields["value"], payload, check)
                    except UnknownQuestionError as error:
                        why = str(error)
        payload = {**payload, "refused": why}


def _read(value: Any, payload: Mapping[str, Any], check: Callable[[Any], None] | None) -> Any:
    """The answer that a value means.

    Raises:
        UnknownQuestionError: If it cannot be taken.
    """
    kind = payload["kind"]
    read: Any = value if kind not in _READERS else _READERS[kind](value, payload)
    if isinstance(read, Approval):
        read = read.applied_to(payload.get("args"))
    if check is not None:
        check(read)
    return read


def asked_so_far() -> int:
    """How many answers have been taken up, or passed over, in this run of the present node."""
    return _asked.get()


def is_answered() -> bool:
    """Whether the next `ask` of the present node has an answer already, so that nobody is asked anew."""
    return len(_stored()) > asked_so_far()


def pass_over(count: int) -> None:
    """Leave out answers of the present node's earlier runs: LangGraph gives them out again one by one, in order.

    Args:
        count: How many answers the node had before what comes next; those that `ask` has taken up again count.
    """
    for _ in range(min(count, len(_stored())) - asked_so_far()):
        _next()


def pass_over_others(about: str) -> None:
    """Leave out answers of the present node's earlier runs until one about `about` is next, or none is left."""
    for given in _stored()[asked_so_far() :]:
        if _about_of(given) == about:
            return
        _next()


def ask_about(
    question: str,
    *,
    subtask: str,
    about: str,
    check: Callable[[Any], None],
    number: int = 0,
    tool: str | None = None,
) -> Any:
    """Ask what may be asked in another place when the node runs again: its answer is found by what it is about.

    Args:
        question: What to ask.
        subtask: The subtask that asks.
        about: What it is about.
        check: Raises `UnknownQuestionError` for an answer that cannot be taken, so that it is asked again.
        number: How many equal questions come before it, whose answers are theirs.
        tool: The tool that asks it.

    Returns:
        The answer's value.
    """
    stored = _stored()
    fitting: list[Any] = []
    why: str | None = None
    for given in stored:
        if _about_of(given) == about and given.get("kind") == "answer" and "value" in given:
            try:
                check(given["value"])
            except UnknownQuestionError as error:
                why = str(error)
            else:
                fitting.append(given["value"])
                why = None
    if len(fitting) > number:
        return fitting[number]
    pass_over(len(stored))
    return ask(question, subtask=subtask, about=about, tool=tool, check=check, refused=why)


def _stored() -> list[Any]:
    """The answers that the present node has got until now, in all its runs."""
    scratchpad: Any = configurable_of(get_config()).get(SCRATCHPAD_KEY)
    return [] if scratchpad is None else list(scratchpad.resume)


def _about_of(given: Any) -> Any:
    return cast("dict[str, Any]", given).get("about") if isinstance(given, dict) else None


def _next() -> None:
    interrupt("passed over")
    _asked.set(_asked.get() + 1)


def is_own(payload: Any) -> bool:
    """Whether an interrupt's payload is a question of `ask`, whose answer carries its kind."""
    if not isinstance(payload, dict):
        return False
    fields = cast("dict[str, Any]", payload)
    return fields.get("kind") in get_args(Kind) and {"subtask", "question"} <= fields.keys()


def question_of(given: Interrupt) -> Question:
    """The question an interrupt carries; one of a foreign graph becomes a `bare` one in its own words."""
    if not is_own(given.value):
        return _bare_question(given)
    fields = cast("dict[str, Any]", given.value)
    found = Question(id=given.id, kind=fields["kind"], subtask=str(fields["subtask"]), question=str(fields["question"]))
    for key in ("tool", "args", "reason", "plan", "about", "site", "refused"):
        if key in fields:
            cast("dict[str, Any]", found)[key] = fields[key]
    return found


def _bare_question(given: Interrupt) -> Question:
    payload, subtask = storable(given.value), ""
    if isinstance(payload, dict):
        fields = dict(cast("dict[str, Any]", payload))
        if isinstance(fields.get("subtask"), str):
            subtask = fields.pop("subtask")
        payload = fields["question"] if list(fields) == ["question"] else fields
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False, default=str)
    return Question(id=given.id, kind="answer", subtask=subtask, question=text, bare=True)


def for_graph(answers: Mapping[str, Any], questions: Sequence[Question]) -> dict[str, Any]:
    """Answers as the graph takes them: `ask` gets them with their kind, any other interrupt the value itself.

    Args:
        answers: Answers by interrupt id; one that is no `Answer` stays as it is.
        questions: The open questions.

    Returns:
        What `Command(resume=…)` takes. A text for a bare question is read as JSON where it is JSON.
    """
    bare = {question["id"] for question in questions if question.get("bare")}
    about = {question["id"]: question["about"] for question in questions if "about" in question}
    return {
        key: _value_in(answer) if key in bare else _about(answer, about[key]) if key in about else answer
        for key, answer in answers.items()
    }


def _about(answer: Any, what: str) -> Any:
    return {**cast("dict[str, Any]", answer), "about": what} if isinstance(answer, dict) else answer


def _value_in(answer: Any) -> Any:
    if not isinstance(answer, dict):
        return answer
    fields = cast("dict[str, Any]", answer)
    if fields.keys() != {"kind", "value"} or fields["kind"] not in get_args(Kind):
        return fields
    value = fields["value"]
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def answers_for(
    questions: Sequence[Question], given: Sequence[str], subtasks: Collection[str] = ()
) -> dict[str, Answer]:
    """Match answers from the command line with open questions.

    Args:
        questions: The open ones.
        given: `VALUE`, when one question is open, or `SUBTASK=VALUE` or `ID=VALUE`, where the id's beginning is enough.
        subtasks: Ids of the plan's subtasks; one of them before a `=` names a question, open or not, as an id does.

    Returns:
        Answers by interrupt id.

    Raises:
        UnknownQuestionError: If an answer fits no open question, or more than one, or is of the wrong kind.
    """
    answers: dict[str, Answer] = {}
    for text in given:
        key, separator, value = text.partition("=")
        named = _named(questions, key, text) if separator else None
        if named is not None:
            question = named
        elif len(questions) == 1 and not (separator and (key in subtasks or _ID.fullmatch(key))):
            question, value = questions[0], text
        else:
            raise _unknown(questions, text)
        if question["id"] in answers:
            raise UnknownQuestionError(
                f"The answer {text!r} is the second one to the same question.",
                hint=f"Answer each question once, as --answer {handle_of(question, questions)}=VALUE.",
            )
        answers[question["id"]] = Answer(kind=question["kind"], value=_value(question, value))
    return answers


def handle_of(question: Question, questions: Sequence[Question]) -> str:
    """The name of a question before a `=`: its subtask if that has no other one open, else its id's beginning."""
    subtask = question["subtask"]
    if subtask and sum(other["subtask"] == subtask for other in questions) == 1:
        return subtask
    ids = [other["id"] for other in questions if other["id"] != question["id"]]
    length = HANDLE_CHARACTERS
    while length < len(question["id"]) and any(one.startswith(question["id"][:length]) for one in ids):
        length += 1
    return question["id"][:length]


def _named(questions: Sequence[Question], key: str, text: str) -> Question | None:
    """The question that `key` names; `None` if it names none.

    Raises:
        UnknownQuestionError: If it names several.
    """
    matching = [question for question in questions if key and question["id"] == key]
    matching = matching or [question for question in questions if key and question["subtask"] == key]
    if not matching and len(key) >= SHORTEST_BEGINNING:
        matching = [question for question in questions if question["id"].startswith(key)]
    if len(matching) > 1:
        these = ", ".join(
            f"{handle_of(question, questions)}=… ({question.get('tool') or question['question']})"
            for question in matching
        )
        raise UnknownQuestionError(
            f"The answer {text!r} fits {len(matching)} open questions.", hint=f"Name one by its id: --answer {these}"
        )
    return matching[0] if matching else None


def _value(question: Question, text: str) -> Any:
    """The value that a text from the command line means, checked against the question."""
    if question["kind"] == "effect":
        return effect_outcome_of(text).plain()
    if question["kind"] != "approve":
        return text
    approval = approval_of(text, question)
    if approval.action in ("approve", "reject") and not approval.reason and approval.covers == "call":
        return approval.action == "approve"
    return approval.plain()


def nothing_asked(answer: Any) -> UnknownQuestionError:
    """The error for an answer to a thread that asks nothing."""
    return UnknownQuestionError(
        f"The thread asks nothing, so {answer!r} answers no question.",
        hint="If it was answered already, go on without an answer: "
        f"{shell_commands.resume('THREAD')}, or in Python await app.ainvoke(None, config).",
    )


def _unknown(questions: Sequence[Question], text: str) -> UnknownQuestionError:
    if not questions:
        return nothing_asked(text)
    open_ones = ", ".join(f"{handle_of(question, questions)}=…" for question in questions)
    return UnknownQuestionError(f"The answer {text!r} names no open question.", hint=f"Open are: --answer {open_ones}")


def resume_with(answers: dict[str, Answer], open_ids: set[str]) -> Command[Any]:
    """The command that resumes a thread with answers.

    Raises:
        UnknownQuestionError: If an id is not open; LangGraph itself accepts unknown ids in silence.
    """
    if unknown := sorted(answers.keys() - open_ids):
        raise UnknownQuestionError(
            f"The thread has no open question {unknown[0]!r}.",
            hint=f"See the open ones with: {shell_commands.show_thread()}",
        )
    return Command(resume=dict(answers))
