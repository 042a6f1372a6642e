"""Ledger: calls with an effect outside, claimed before they are made and settled after, so that none is made twice.

Claim and settlement are one fenced statement each, committed before the run goes on: a claim that was never settled
says that nobody knows what its call did, and a settled one that the call need not be made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from psycopg import sql
from psycopg.rows import DictRow

from openmanus_graph.checkpoints.encryption.cipher import refuse_sealed
from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_value
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import StaleRunnerError
from openmanus_graph.redaction import is_secret_field, redact_log
from openmanus_graph.run_config import LEASE
from openmanus_graph.values.storable_json import storable, storable_text

logger = logging.getLogger(__name__)

EffectStatus = Literal["claimed", "done", "failed", "waiting"]
"""`claimed`: begun, and nobody has said how it ended; `done` and `failed`: known; `waiting`: the tool asks a person."""

KEY_CHARACTERS = 32
LONGEST_VALUE = 80
LONGEST_PREVIEW = 400
LONGEST_KEPT = 3_000
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class Effect:
    """One intent of a thread: a call with an effect outside."""

    thread_id: str
    key: str
    """Its idempotency key, the same however often the call is made."""
    subtask: str
    """The subtask whose call it is."""
    call_id: str
    """The call it belongs to."""
    attempt: int
    """Which attempt of that call, from 1."""
    tool: str
    """The tool's name."""
    args_hash: str
    """A hash of the arguments."""
    args: str
    """The arguments as JSON, shortened, without what looks like a secret."""
    status: EffectStatus
    """How far it is."""
    tries: int
    """How often the call was begun."""
    token: str
    """Names the last try."""
    runner_epoch: int
    """The runner whose try it is."""
    namespace: str
    """The checkpoint namespace of the subtask."""
    step: int
    """The step of that namespace whose node makes the call."""
    skips: int
    """Questions that the node had asked before the tool began."""
    error: str | None
    """`claimed`: why nobody knows what it did, `None` when its process ended; `failed`: why."""
    result: str | None
    """What it returned, as JSON; a preview of it where `result_file` has it."""
    result_file: str | None
    """Path in the workspace of a large result."""
    final: bool
    """`failed`: whether another attempt would end the same."""
    claimed_at: datetime
    finished_at: datetime | None
    """When it was settled; `None` as long as it is not."""

    def as_json(self) -> dict[str, Any]:
        """The fields that a person may want to know, in JSON types."""
        hidden = ("token", "runner_epoch", "skips", "final", "result")
        shown = {key: value for key, value in vars(self).items() if key not in hidden}
        shown["result"] = None if self.result is None else json.loads(self.result)
        return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in shown.items()}


@dataclass(frozen=True)
class Intent:
    """A call about to be made, as the ledger is asked about it."""

    thread_id: str
    subtask: str
    call_id: str
    attempt: int
    tool: str
    args_hash: str
    args: str
    """Their preview."""
    namespace: str
    step: int
    skips: int
    token: str
    """Names this try, so that a claim is known again after its connection broke."""

    @property
    def key(self) -> str:
        """The parts of the idempotency key of an intent that begins with this call."""
        return key_of(self.thread_id, self.subtask, self.call_id, self.args_hash, self.attempt)


def key_of(thread_id: str, subtask: str, call_id: str, args_hash: str, attempt: int = 1) -> str:
    """The idempotency key of a call: the same in every process."""
    parts = "\0".join([thread_id, subtask, call_id, args_hash, str(attempt)])
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_CHARACTERS]


def hash_of(args: Mapping[str, Any]) -> str:
    """A hash of a call's arguments, whatever their order."""
    text = json.dumps(dict(args), sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_CHARACTERS]


def preview_of(args: Mapping[str, Any]) -> str:
    """Arguments for people to recognise a call by: long values cut, what looks like a secret left out."""
    text = storable_text(_json(_shortened(args, LONGEST_PREVIEW, (LONGEST_VALUE, LONGEST_VALUE // 2))))
    return text if len(text) <= LONGEST_PREVIEW else text[: LONGEST_PREVIEW - 1] + "…"


def kept_args(args: Mapping[str, Any] | Effect) -> dict[str, Any]:
    """Arguments for the record: by name, long values cut, secrets left out, at most a few thousand characters.

    Args:
        args: The arguments, or an effect, which has a preview of its own.
    """
    if isinstance(args, Effect):
        try:
            return cast("dict[str, Any]", json.loads(args.args))
        except ValueError:  # too many for a preview
            return {"…": args.args}
    return cast("dict[str, Any]", storable(_shortened(args, LONGEST_KEPT, (1_000, 200, LONGEST_VALUE))))


def _shortened(args: Mapping[str, Any], most: int, lengths: Sequence[int]) -> dict[str, Any]:
    """Arguments whose JSON has at most about so many characters, with values as long as that allows."""
    shown: dict[str, Any] = {}
    for longest in lengths:
        shown = _shown(dict(args), longest)
        if len(_json(shown)) <= most:
            return shown
    return {name: _cut(_json(value), LONGEST_VALUE // 4) for name, value in list(shown.items())[:20]}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _shown(value: Any, longest: int = LONGEST_VALUE) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[Any, Any]", value)
        return {
            str(key): "***" if is_secret_field(str(key), item) else _shown(item, longest)
            for key, item in fields.items()
        }
    if isinstance(value, list | tuple):
        return [_shown(item, longest) for item in cast("list[Any]", value)[:20]]
    if isinstance(value, str):
        clean = redact_log(_PASSWORD.sub("***@", value))
        return _cut(clean, longest)
    return value


def new_token() -> str:
    """A name for one try."""
    return secrets.token_hex(8)


class Ledger:
    """The ledger as one run writes it."""

    def __init__(self, saver: ThreadSaver, config: RunnableConfig) -> None:
        """Write for the run that `config` belongs to.

        Args:
            saver: The store.
            config: The config of a node, which has the runner's lease.
        """
        self._saver = saver
        self._config = config

    @classmethod
    def of(cls, saver: ThreadSaver | None, config: RunnableConfig) -> Ledger | None:
        """The ledger of a run; `None` where no runner of ours holds the thread, so that nothing outlives the run."""
        held = LEASE.of(config) is not None
        return cls(saver, config) if saver is not None and held else None

    async def find(self, intent: Intent) -> Effect | None:
        """The newest effect of a call that may have been begun before, whatever its arguments were."""

        async def read() -> DictRow | None:
            async with self._saver.pool.connection() as connection:
                cursor = await connection.execute(
                    "SELECT * FROM effects WHERE thread_id = %s AND subtask = %s AND call_id = %s AND attempt >= %s"
                    " ORDER BY attempt DESC, claimed_at DESC LIMIT 1",
                    (intent.thread_id, intent.subtask, intent.call_id, intent.attempt),
                )
                return await cursor.fetchone()

        row = await self._saver.retried(read)
        return None if row is None else Effect(**row)

    async def claim(self, intent: Intent, *, anew: bool = False) -> Effect:
        """Claim a call.

        Args:
            intent: The call.
            anew: Whether what was there before is dealt with.

        Returns:
            The intent's row. With another token than the one given, the call must not be made: it was settled, or
            begun by somebody who has not said how it ended, maybe for an earlier call with the same arguments.

        Raises:
            StaleRunnerError: If another runner has taken the thread.
        """
        cipher = self._saver.cipher
        row = await self._saver.fenced(
            self._config,
            "SELECT * FROM claim_effect(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                intent.key,
                intent.subtask,
                intent.call_id,
                intent.attempt,
                intent.tool,
                intent.args_hash,
                intent.args if cipher is None else cipher.text(intent.args),
                intent.namespace,
                intent.step,
                intent.skips,
                intent.token,
                anew,
            ),
            f"claim {intent.subtask}",
        )
        effect = Effect(**cast("dict[str, Any]", row))
        self._log("An effect is claimed.", intent, key=effect.key, status=effect.status)
        return effect

    def _log(self, text: str, intent: Intent, **fields: Any) -> None:
        epoch = LEASE.of(self._config).epoch
        place = {"thread_id": intent.thread_id, "epoch": epoch, "subtask": intent.subtask, "tool": intent.tool}
        logger.info(text, extra={**place, **fields})

    async def retake(self, intent: Intent, key: str) -> Effect:
        """Begin an unsettled intent once more, under its key.

        Raises:
            StaleRunnerError: If another runner has taken the thread.
        """
        row = await self._saver.fenced(
            self._config,
            "SELECT * FROM retake_effect(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (key, intent.call_id, intent.attempt, intent.namespace, intent.step, intent.skips, intent.token),
            f"retake {intent.subtask}",
        )
        if row is None:
            raise StaleRunnerError(f"The effect {key!r} of the thread {intent.thread_id!r} was settled by another.")
        self._log("An unsettled effect is begun once more.", intent, key=key)
        return Effect(**row)

    async def settle(
        self,
        intent: Intent,
        effect: Effect,
        status: EffectStatus,
        *,
        error: str | None = None,
        result: str | None = None,
        file: str | None = None,
        final: bool = False,
    ) -> None:
        """Record the outcome of a try.

        Args:
            intent: The call that it was made for.
            effect: The try.
            status: `done` or `failed`; `claimed` with an `error` where that is not known; `waiting` for a person.
            error: Why.
            result: What the call returned, as JSON.
            file: Path in the workspace of a large result.
            final: Whether another attempt would end the same.

        Raises:
            StaleRunnerError: If another runner has taken the thread.
        """
        error = None if error is None else storable_text(error)
        if (cipher := self._saver.cipher) is not None:
            error, result, file = (sealed_value(cipher, value) for value in (error, result, file))
        await self._saver.fenced(
            self._config,
            "SELECT settle_effect(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                effect.key,
                intent.call_id,
                intent.attempt,
                effect.token,
                status,
                error,
                result,
                file,
                final,
            ),
            f"settlement {intent.subtask}",
        )
        self._log("An effect is settled.", intent, key=effect.key, status=status)


async def list_effects(saver: ThreadSaver, thread_id: str) -> list[Effect]:
    """The effects of a thread, oldest first.

    Args:
        saver: The store.
        thread_id: The thread.

    Raises:
        EncryptionKeyError: If they are encrypted with a key that is not set.
    """
    query = sql.SQL("SELECT * FROM effects WHERE thread_id = %s ORDER BY claimed_at, key")
    async with saver.connection() as connection:
        rows = await (await connection.execute(query, (thread_id,))).fetchall()
    if saver.cipher is None:
        refuse_sealed(value for row in rows for value in (row["args"], row["error"], row["result"]))
    return [Effect(**row) for row in rows]
