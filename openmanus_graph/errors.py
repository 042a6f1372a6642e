"""Errors: one tree, each with an exit code, each message one sentence and the next command.

```
OpenManusGraphError                 1
├── UsageError                      2   something the caller can correct
│   ├── PlanError                       a plan that does not validate; every problem at once
│   ├── SettingsError                   a setting that cannot be read
│   ├── UnknownThreadError              no such thread; nearest ids named
│   ├── UnknownPointError               no such point of a thread
│   ├── UnknownQuestionError            an answer for a question nobody asked
│   ├── ThreadBusyError                 another runner holds the thread
│   ├── ThreadUnfinishedError           new input for a thread that has not ended
│   ├── ThreadVersionError              a thread begun with a graph that no longer is what it needs
│   ├── NoModelError                    a role without a model, or a model that cannot be used
│   ├── EncryptionKeyError              what is stored was encrypted with a key that is not set
│   ├── ArchiveError                    an archive of a thread that is damaged, or holds what it must not
│   ├── RecordingError                  a recording that cannot be read, or lacks a reply
│   └── GraphNotImportableError         the thread's graph lives where the command line cannot import it
├── DatabaseError                   1
│   ├── DatabaseUnreachableError        no server answers at the configured place
│   ├── DatabaseFullError               the server's disk is full
│   ├── MigrationNeededError            a database without our tables, or of another version
│   └── EmbeddedServerError             the embedded server cannot be started or stopped
├── VectorIndexError                1   an index of passages does not answer, or refuses what it is given
├── MemoryStoreError                1   a store of memories does not answer, or refuses; runs go on without it
├── DamagedValueError               1   an encrypted value that its own key does not open
├── ThreadUnreadableError           1   a checkpoint of a thread cannot be read; the last good one is named
├── StaleRunnerError                1   this runner lost its thread to another one
├── BudgetError                     4   a budget is used up
├── ModelError                      1   a model's provider failed for good, after retries and fallbacks
│   ├── ModelRefusedError               wrong key, unknown model, no credit: trying again cannot help
│   └── ContextOverflowError            the messages do not fit the model's window
├── PlanningError                   1   the planner made no valid plan in the tries it has
├── ForeignTypeError                1   a value that may not enter a checkpoint
└── ToolError                       1   a tool's own word that the call failed (its outcome is known)
    ├── ToolArgumentsError              arguments that do not fit the tool's schema
    ├── SandboxUnavailableError         no confinement on this machine
    ├── OutsideWorkspaceError           a path that leaves the workspace
    └── AddressRefusedError             a network address that tools may not reach
```
"""

from __future__ import annotations

from collections.abc import Sequence


class OpenManusGraphError(Exception):
    """The project's own failure: one sentence, and the next command where there is one."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep the sentence and the hint apart, so that views can set them on two lines.

        Args:
            message: One sentence, with the offending value as `!r`.
            hint: The next command or step, or `None`.
        """
        self.message = message
        self.hint = hint
        super().__init__(message if hint is None else f"{message} {hint}")


class UsageError(OpenManusGraphError):
    """Something the caller can correct."""

    exit_code = 2


class PlanError(UsageError):
    """A plan that does not validate; it carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[str], *, source: str | None = None) -> None:
        """Join the problems into one message.

        Args:
            problems: One sentence each, naming the subtask and the cure.
            source: The file the plan came from, or `None`.
        """
        self.problems = list(problems)
        self.source = source
        where = f" in {source}" if source else ""
        count = len(self.problems)
        head = f"The plan{where} has {count} problem{'' if count == 1 else 's'}:"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in self.problems)]))


class SettingsError(UsageError):
    """A setting that cannot be read."""


class UnknownThreadError(UsageError):
    """No such thread."""


class UnknownPointError(UsageError):
    """No such point of a thread."""


class UnknownQuestionError(UsageError):
    """An answer for a question nobody asked."""


class ThreadBusyError(UsageError):
    """Another runner holds the thread."""


class ThreadUnfinishedError(UsageError):
    """New input for a thread that has not ended."""


class ThreadVersionError(UsageError):
    """A thread begun with a graph that no longer is what the thread needs."""

    def __init__(self, message: str, *, differences: Sequence[str], hint: str | None = None) -> None:
        """Keep what has changed.

        Args:
            message: One sentence with all of it.
            differences: What the thread needs and no longer has, each in words.
            hint: The next step, or `None`.
        """
        self.differences = list(differences)
        super().__init__(message, hint=hint)


class GraphNotImportableError(UsageError):
    """The thread's graph lives where the command line cannot import it."""


class NoModelError(UsageError):
    """A role without a model, or a model that cannot be used."""


class ArchiveError(UsageError):
    """An archive of a thread that is damaged, or holds what it must not."""


class EncryptionKeyError(UsageError):
    """What is stored was encrypted with a key that is not set."""


class RecordingError(UsageError):
    """A recording that cannot be read, or lacks a reply."""


class BudgetError(OpenManusGraphError):
    """A budget is used up; `budget` names which."""

    exit_code = 4

    def __init__(self, message: str, *, budget: str, hint: str | None = None) -> None:
        """Keep which budget it was.

        Args:
            message: One sentence with the limit.
            budget: `tokens`, `usd`, `wall_s` or `model_calls`.
            hint: The next step, or `None`.
        """
        self.budget = budget
        super().__init__(message, hint=hint)


class ModelError(OpenManusGraphError):
    """A model's provider failed for good, after retries and fallbacks."""


class ModelRefusedError(ModelError):
    """Wrong key, unknown model, no credit: trying again cannot help."""


class ContextOverflowError(ModelError):
    """The messages do not fit the model's window."""


class PlanningError(OpenManusGraphError):
    """The planner made no valid plan in the tries it has."""


class DatabaseError(OpenManusGraphError):
    """The checkpoint database failed."""


class DatabaseUnreachableError(DatabaseError):
    """No server answers at the configured place."""


class DatabaseFullError(DatabaseError):
    """The server's disk is full."""


class MigrationNeededError(DatabaseError):
    """A database without our tables, or with tables of another version."""


class EmbeddedServerError(DatabaseError):
    """The embedded server cannot be started or stopped."""


class VectorIndexError(OpenManusGraphError):
    """An index of passages does not answer, or refuses what it is given; full text finds them all the same."""


class MemoryStoreError(OpenManusGraphError):
    """A store of memories does not answer, or refuses; a run goes on without it."""


class DamagedValueError(OpenManusGraphError):
    """An encrypted value that its own key does not open: it is damaged, or somebody changed or moved it."""


class ThreadUnreadableError(OpenManusGraphError):
    """A checkpoint of a thread cannot be read."""

    def __init__(self, message: str, *, checkpoint_id: str, good: str | None, hint: str | None = None) -> None:
        """Keep which checkpoint it is, and which one can be read.

        Args:
            message: One sentence with the checkpoint and why.
            checkpoint_id: The checkpoint that cannot be read.
            good: The newest one before it that can; `None` if there is none.
            hint: The next step, or `None`.
        """
        self.checkpoint_id = checkpoint_id
        self.good = good
        super().__init__(message, hint=hint)


class StaleRunnerError(OpenManusGraphError):
    """This runner lost its thread to another one and stopped."""


class ForeignTypeError(OpenManusGraphError):
    """A value of a type that may not enter a checkpoint."""


class ToolError(OpenManusGraphError):
    """A tool's own word that the call failed; the outcome is known, so a retry is safe."""


class ScannedPdfError(ToolError):
    """A PDF that has pages, and no text on them."""


class ToolArgumentsError(ToolError):
    """Arguments that do not fit the tool's schema."""


class SandboxUnavailableError(ToolError):
    """No confinement is available on this machine."""


class OutsideWorkspaceError(ToolError):
    """A path that leaves the workspace."""


class AddressRefusedError(ToolError):
    """A network address that tools may not reach."""
