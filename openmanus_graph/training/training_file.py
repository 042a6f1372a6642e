"""Training file: a new file with a line of JSON for each conversation or preference of some threads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import DamagedValueError, ThreadUnreadableError, UsageError
from openmanus_graph.files.new_file import new_file
from openmanus_graph.models.recording import secrets_in_reach
from openmanus_graph.training.chat_form import Form
from openmanus_graph.training.conversations import conversations
from openmanus_graph.training.left_out import THREAD, LeftOut
from openmanus_graph.training.preferences import RatedAnswers, refused_answers
from openmanus_graph.training.scrubber import Scrubber
from openmanus_graph.training.stored_work import stored_work

TrainingFormat = Literal["sft", "preference"]
"""`sft`: conversations for supervised fine-tuning; `preference`: pairs for direct preference optimization."""


@dataclass(frozen=True)
class Written:
    """What was written."""

    lines: int
    """Conversations or preferences."""
    threads: int
    """Threads that were looked at."""
    left_out: LeftOut
    """What else the threads have."""


class _Lines:
    """Lines of some threads, each once: a fork has the same conversations as what it came of."""

    def __init__(self, saver: ThreadSaver, form: TrainingFormat, secrets: Sequence[str], *, skips: bool) -> None:
        self.left_out = LeftOut()
        self._saver = saver
        self._form: TrainingFormat = form
        self._secrets = secrets
        self._skips = skips
        self._seen: set[bytes] = set()
        self._rated = RatedAnswers()

    async def of(self, threads: Sequence[Thread]) -> AsyncIterator[bytes]:
        """The lines."""
        for thread in threads:
            for line in await self._of_one(thread):
                if (data := self._new(line)) is not None:
                    yield data
        for line in self._rated.lines(self.left_out):
            if (data := self._new(line)) is not None:
                yield data

    async def _of_one(self, thread: Thread) -> list[Form]:
        try:
            work = await stored_work(self._saver, thread)
        except (ThreadUnreadableError, DamagedValueError):
            if not self._skips:
                raise
            self.left_out.add(THREAD, "that cannot be read")
            return []
        if not work.requests and not work.agents:
            self.left_out.add(THREAD, "in which no agent worked")
        scrubber = Scrubber(self._secrets, await self._folders(thread), [thread.thread_id])
        if self._form == "sft":
            return list(conversations(thread, work, scrubber, self.left_out))
        for request in work.requests:
            self._rated.add(request, scrubber, self.left_out)
        return list(refused_answers(thread, work, scrubber, self.left_out))

    async def _folders(self, thread: Thread) -> list[str]:
        """The folder of a thread, and of those that it was forked from: what was said before names theirs."""
        folders: list[str] = []
        seen: set[str] = set()
        known: Thread | None = thread
        while known is not None and known.thread_id not in seen:
            seen.add(known.thread_id)
            folders += [known.workspace] if known.workspace else []
            known = await get_thread(self._saver, str(known.origin["thread"])) if known.origin else None
        return folders

    def _new(self, line: Form) -> bytes | None:
        data = json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        digest = hashlib.sha256(data).digest()
        if digest in self._seen:
            return None
        self._seen.add(digest)
        return data


async def write_training(
    saver: ThreadSaver,
    threads: Sequence[Thread],
    path: Path,
    form: TrainingFormat,
    settings: Settings,
    *,
    skips_unreadable: bool = False,
) -> Written:
    """Write training data; there is no file unless it is whole, and only its owner may read it.

    Args:
        saver: The store.
        threads: The threads.
        path: The file, which must be new.
        form: What its lines are.
        settings: Their secrets are taken out, besides all that looks like one.
        skips_unreadable: Whether threads that cannot be read are left out.

    Raises:
        UsageError: If there is nothing to write, or the file cannot be written.
        ThreadUnreadableError: If a thread cannot be read.
    """
    lines = _Lines(saver, form, secrets_in_reach(settings), skips=skips_unreadable)
    count = 0
    with new_file(path) as file:
        async for data in lines.of(threads):
            file.write(data)
            count += 1
        if not count:
            raise _nothing(form, lines.left_out)
    return Written(count, len(threads), lines.left_out)


def _nothing(form: TrainingFormat, left_out: LeftOut) -> UsageError:
    why = left_out.text() or "no thread was completed"
    what = "conversation" if form == "sft" else "preference"
    return UsageError(f"There is no {what} to write: {why}.", hint=f"Rate requests with: {shell_commands.RATE}")
