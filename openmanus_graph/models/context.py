"""Context: fits messages into a model's window and keeps every tool call beside its result.

LangChain's `trim_messages` is not used: it keeps the system message and the end, but neither the brief nor whole
exchanges of several calls, and shortens no results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

Count = Callable[[Sequence[BaseMessage]], int]
"""Tokens of messages together."""

INTERRUPTED = "Interrupted: this call has no result. What it did is unknown; look before you repeat it."
"""The result given to a call that never returned."""

LEFT_OUT = "left_out"
"""Name of the message that says how much was left out."""
SUMMARY = "summary"
"""Name of the message that stands for older ones."""

KEPT = "kept"
"""Set in `additional_kwargs` of a message that neither a summary nor trimming may take away."""

OLD_SIZES = (4000, 1000)
"""Characters that results of older exchanges are shortened to, one size after the other."""
NEW_SIZES = (8000, 4000)
"""The same for the newest exchange, before older exchanges are left out."""
LAST_SIZES = (2000, 500)
"""The same, once nothing else is left to leave out."""

SUMMARY_INSTRUCTIONS = """\
You summarise the earlier work of an agent, so that it can go on without the messages themselves.
Keep what later steps need: decisions, facts found with their sources, file paths, what was done to the world, what \
failed and why, what is still to do. Quote names, numbers, paths and URLs exactly. Leave out how it was said.
Write plain text, at most 400 words, and nothing that is not in the messages."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message with the results of the calls it makes; kept or left out as a whole."""

    messages: tuple[BaseMessage, ...]

    @property
    def calls(self) -> bool:
        """Whether it is a model's turn."""
        return isinstance(self.messages[0], AIMessage)


def repaired(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Messages that any provider takes: every call followed by its result, every result behind its call.

    A call without a result gets one that says it was interrupted; of several results the last counts; a result
    without a call is left out, unless it answers a call that could not be read, whose text is then kept.

    Args:
        messages: A conversation, as a cancelled or resumed run may have left it; not one whose calls still run, or
            wait for a person.
    """
    return [message for exchange in exchanges(messages) for message in exchange.messages]


def exchanges(messages: Sequence[BaseMessage]) -> list[Exchange]:
    """The repaired conversation as exchanges; see `repaired`."""
    results: dict[tuple[int, str], ToolMessage] = {}
    turns: dict[str, int] = {}  # the newest turn that made a call of this id: some models count anew in each
    broken: set[str] = set()
    placed: list[tuple[int, BaseMessage]] = []
    for position, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            turn = turns.get(message.tool_call_id)
            if turn is not None:
                results[turn, message.tool_call_id] = message
            elif message.tool_call_id in broken:
                placed.append((position, HumanMessage(message.content)))
            continue
        placed.append((position, message))
        if isinstance(message, AIMessage):
            turns.update({call["id"] or "": position for call in message.tool_calls})
            broken |= {call.get("id") or "" for call in message.invalid_tool_calls}
    return [Exchange((message, *_results_of(message, position, results))) for position, message in placed]


def _results_of(message: BaseMessage, position: int, results: dict[tuple[int, str], ToolMessage]) -> list[ToolMessage]:
    if not isinstance(message, AIMessage):
        return []
    ordered: dict[str, ToolMessage] = {}
    for call in message.tool_calls:
        key = call["id"] or ""
        ordered[key] = results.get((position, key)) or ToolMessage(
            INTERRUPTED, tool_call_id=key, name=call["name"], status="error"
        )
    return list(ordered.values())


def fit(messages: Sequence[BaseMessage], *, limit_tokens: int, count: Count) -> list[BaseMessage]:
    """Messages that fit: big results shortened first, then the oldest exchanges left out.

    The system message, the brief (the first of a person) and the newest exchange stay. If they alone are too large,
    they are returned all the same, for the provider to refuse.

    Args:
        messages: The conversation; it is repaired on the way.
        limit_tokens: Tokens that the result may have.
        count: How many tokens messages have.

    Returns:
        The messages in their order, those that fit unchanged.
    """
    kept = exchanges(messages)

    def fits(given: Sequence[Exchange]) -> bool:
        return count(_flat(given)) <= limit_tokens

    if fits(kept):
        return _flat(kept)
    newest = _newest(kept)
    for sizes, start, end in ((OLD_SIZES, 0, newest), (NEW_SIZES, newest, len(kept))):
        for size in sizes:
            kept = [_shortened(item, size) if start <= index < end else item for index, item in enumerate(kept)]
            if fits(kept):
                return _flat(kept)
    kept = _thinned(kept, newest, fits)
    for size in LAST_SIZES:
        if fits(kept):
            break
        kept = [_shortened(item, size) for item in kept]
    return _flat(kept)


def _flat(given: Sequence[Exchange]) -> list[BaseMessage]:
    return [message for item in given for message in item.messages]


def _newest(given: Sequence[Exchange]) -> int:
    """Where the newest exchange begins: the last turn of the model, with what came after it."""
    turns = [index for index, item in enumerate(given) if item.calls]
    return turns[-1] if turns else len(given) - 1


def _stays(given: Sequence[Exchange], newest: int) -> set[int]:
    """Indices of the older exchanges that stay: system messages, the brief, and marked ones."""
    older = range(max(newest, 0))
    firsts = [given[index].messages[0] for index in older]
    brief = next((index for index in older if isinstance(firsts[index], HumanMessage)), None)
    return {
        index
        for index in older
        if index == brief or isinstance(firsts[index], SystemMessage) or firsts[index].additional_kwargs.get(KEPT)
    }


def _thinned(given: list[Exchange], newest: int, fits: Callable[[Sequence[Exchange]], bool]) -> list[Exchange]:
    """The exchanges without as few of the oldest as possible, and a message in their place that says so."""
    stays = _stays(given, newest)
    loose = [index for index in range(newest) if index not in stays]

    def without(gone: int, *, noted: bool = True) -> list[Exchange]:
        left_out = set(loose[:gone])
        made: list[Exchange] = []
        for index, item in enumerate(given):
            if index not in left_out:
                made.append(item)
            elif noted and index == loose[0]:
                number = sum(len(given[other].messages) for other in left_out)
                made.append(Exchange((_note(number),)))
        return made

    low, high = 1, len(loose)
    while low < high:
        middle = (low + high) // 2
        if fits(without(middle)):
            high = middle
        else:
            low = middle + 1
    made = without(low)
    return made if fits(made) else without(len(loose), noted=False)


def _note(number: int) -> HumanMessage:
    return HumanMessage(f"[{number} earlier messages are left out here for lack of space.]", name=LEFT_OUT)


def _shortened(given: Exchange, size: int) -> Exchange:
    return Exchange(
        tuple(shortened(message, size) if isinstance(message, ToolMessage) else message for message in given.messages)
    )


def shortened(message: ToolMessage, size: int) -> ToolMessage:
    """A tool's result with its middle cut out, saying so; images and other blocks that are no text are cut whole.

    Args:
        message: The result.
        size: Characters it may have; a shorter one stays as it is.
    """
    whole = isinstance(message.content, str)
    text = message.content if isinstance(message.content, str) else message.text
    if len(text if whole else str(message.content)) <= size:
        return message
    shorter = _cut(text, size)
    if whole and shorter == text:
        return message
    text = shorter
    return message.model_copy(update={"content": text if whole else f"{text}\n[What was no text is left out here.]"})


def _cut(text: str, size: int) -> str:
    """Head and tail of a longer text, with the number of characters left out."""
    head, tail = size * 2 // 3, size // 3
    notice = f"\n[… {len(text) - head - tail:,} characters are left out here …]\n"
    return text if head + tail + len(notice) >= len(text) else text[:head] + notice + text[len(text) - tail :]


def older(messages: Sequence[BaseMessage], keep_last: int) -> list[BaseMessage]:
    """The messages that a summary may stand for: neither system messages, nor the brief, nor the newest exchanges.

    Args:
        messages: The conversation.
        keep_last: How many turns of the model stay, with all that follows the first of them.
    """
    return _flat(_parted(messages, keep_last)[1])


def _parted(messages: Sequence[BaseMessage], keep_last: int) -> tuple[list[Exchange], list[Exchange], list[Exchange]]:
    """The head that stays, the older exchanges, and the newest."""
    pieces = exchanges(messages)
    turns = [index for index, item in enumerate(pieces) if item.calls]
    start = len(pieces) if keep_last <= 0 else turns[-keep_last] if len(turns) >= keep_last else 0
    stays = _stays(pieces, start)
    head = [pieces[index] for index in sorted(stays)]
    return head, [pieces[index] for index in range(start) if index not in stays], pieces[start:]


def summary_request(messages: Sequence[BaseMessage], *, keep_last: int = 2) -> list[BaseMessage]:
    """The prompt that has the older exchanges summarised; empty if there are none.

    Args:
        messages: The conversation.
        keep_last: How many turns of the model are not summarised.

    Returns:
        A prompt without calls of tools, so that any model can be asked; the reply's text is for `summarised`. Empty
        where there is nothing to summarise.
    """
    head, old, _ = _parted(messages, keep_last)
    if all(message.name == SUMMARY for message in _flat(old)):  # a summary of a summary makes nothing shorter
        return []
    brief = next((message.text for message in _flat(head) if isinstance(message, HumanMessage)), "")
    transcript = "\n\n".join(_transcript_of(message) for message in _flat(old))
    asked = f"The agent's task:\n{brief}\n\nThe messages to summarise:\n\n{transcript}"
    return [SystemMessage(SUMMARY_INSTRUCTIONS), HumanMessage(asked)]


def _transcript_of(message: BaseMessage) -> str:
    if isinstance(message, ToolMessage):
        return f"[result of {message.name or 'a tool'}] {shortened(message, OLD_SIZES[0]).text}"
    if isinstance(message, AIMessage):
        calls = [f"[calls {call['name']}] {_cut(str(call['args']), OLD_SIZES[0])}" for call in message.tool_calls]
        return "\n".join([*([f"[agent] {message.text}"] if message.text else []), *calls])
    return f"[{message.name or 'person'}] {message.text}"


def summarised(messages: Sequence[BaseMessage], summary: str, keep_last: int = 2) -> list[BaseMessage]:
    """The conversation with its older exchanges replaced by their summary.

    Args:
        messages: The conversation that `summary_request` was made for.
        summary: The text of the model's reply.
        keep_last: How many turns of the model stay as they are; the same as there.
    """
    head, old, newest = _parted(messages, keep_last)
    if not old:
        return _flat([*head, *newest])
    stand_in = HumanMessage(
        f"Summary of the work so far, in place of {len(_flat(old))} messages:\n{summary}", name=SUMMARY
    )
    return [*_flat(head), stand_in, *_flat(newest)]
