"""Visit: one visit of a node of deep research, with the run's models, policy, settings and budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.call_site import CallSite, Role
from openmanus_graph.checkpoints.reuse.searches import ThreadSearches
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, running_context
from openmanus_graph.errors import BudgetError, ModelError, ModelRefusedError, ToolArgumentsError, ToolError
from openmanus_graph.models.gateway import Models, ModelsChoice, Structured, usage_of
from openmanus_graph.nodes.roles import prompt_text
from openmanus_graph.nodes.turn import shortening
from openmanus_graph.policy import Policy
from openmanus_graph.run_config import SCOPE
from openmanus_graph.scope import NodeScope, Scope, scope_of
from openmanus_graph.tools.registry import builtin
from openmanus_graph.tools.schema import mended

PACKAGE = "openmanus_graph.nodes.researching"
"""Where the built-in prompts are."""
ATTEMPTS = 2
"""How often a model is asked for an object before its replies count as a fault."""


class Researcher:
    """What the nodes of one deep research graph share."""

    def __init__(self, settings: Settings, chosen: ModelsChoice | None = None) -> None:
        """Make nothing yet.

        Args:
            settings: The settings where no run around the graph has others.
            chosen: The models where no run around the graph has others; `None` means those of the settings.
        """
        self.settings = settings
        self._chosen = chosen
        self._last: tuple[Settings, Models, Policy] | None = None

    def of(self, settings: Settings) -> tuple[Models, Policy]:
        """The gateway and the policy that some settings say; those of the last ones are kept."""
        if self._last is None or self._last[0] is not settings:
            self._last = settings, Models(settings, self._chosen), Policy.load(None, settings)
        return self._last[1:]


class Visit(NodeScope):
    """The run's scope as one node of the research has it; inside another graph with that run's models and policy."""

    def __init__(self, researcher: Researcher, config: RunnableConfig, runtime: Runtime[Any]) -> None:
        """Narrow the run's scope to a visit.

        Args:
            researcher: What the graph's nodes share.
            config: LangGraph's config for the node.
            runtime: LangGraph's runtime.
        """
        self.around: ToolContext | None = running_context()
        settings = researcher.settings if self.around is None else self.around.settings
        scope = scope_of(config, settings)
        self.subtask = "" if self.around is None else self.around.subtask_id
        super().__init__(scope, scope.emitter(runtime.stream_writer, f"research/{self._of_run()}"))
        self.settings = settings
        self.models, self.policy = researcher.of(settings)
        if self.around is not None and isinstance(self.around.models, Models):
            self.models = self.around.models
        if self.around is not None and isinstance(self.around.policy, Policy):
            self.policy = self.around.policy
        self.searches = ThreadSearches.of(self.saver, config)
        self.tokens = 0
        self._write = runtime.stream_writer
        self._is_counted = isinstance(SCOPE.of(config), Scope)

    def _of_run(self) -> str:
        return "" if self.around is None else self.around.subtask_run

    def _own_prompts(self) -> Path | None:
        """The person's own prompts of research, in `research` in the folder of their prompts."""
        folder = None if self.settings.prompts is None else self.settings.prompts / "research"
        return folder if folder is not None and folder.is_dir() else None

    @property
    def clock_s(self) -> float:
        """Seconds that the request has been running, so that waiting for a person or for a resume takes none of its
        time; where no run of ours counts them, those of the wall clock.
        """
        return self.spending.active_s if self._is_counted else time.time()

    def say(self, text: str) -> None:
        """Say in a few words what is being done, for the views."""
        if self.around is None:
            self._write(text)
        else:
            self.around.report(text)

    def refuse(self, tool: str, args: Mapping[str, Any]) -> None:
        """Raise if the policy does not allow what a tool of this name would do.

        Raises:
            ToolError: If it refuses, or would ask a person: a research makes hundreds of such calls.
        """
        workspace = None if self.around is None else self.around.workspace
        decision = self.policy.decide(builtin(tool), args, workspace=workspace)
        if decision.verdict == "deny":
            raise ToolError(decision.refusal(tool))
        if decision.verdict == "ask":
            raise ToolError(f"The policy asks before {tool!r} does this, and a research does not wait for that.")

    async def object_of(
        self,
        role: Role,
        site: str,
        turn: int,
        prompt: str,
        sections: Sequence[str],
        schema: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Ask a role's model for an object that fits its schema.

        Args:
            role: Who asks.
            site: Where in the research, such as `q1.p2`; the same at every resume.
            turn: Which call of this site, from 1.
            prompt: The prompt's name, such as `note`.
            sections: The parts of the request.
            schema: JSON Schema of the object.

        Raises:
            Unanswered: If no object came of it.
            ModelRefusedError: If the provider refuses the key: nothing can go on.
        """
        messages: list[BaseMessage] = [
            SystemMessage(prompt_text(prompt, self._own_prompts(), of=PACKAGE)),
            HumanMessage("\n\n".join(sections)),
        ]
        problem = ""
        for attempt in range(ATTEMPTS):
            place = CallSite(role, f"{self.subtask or 'research'}.{site}", ATTEMPTS * (turn - 1) + attempt + 1)
            try:
                found = await shortening(messages, self._asking(place, f"research_{prompt}", schema))
            except ModelRefusedError:
                raise
            except (BudgetError, ModelError) as error:
                raise Unanswered(error.message) from error
            usage = usage_of(found.message)
            self.tokens += usage["input_tokens"] + usage["output_tokens"]
            problem = found.problem or ""
            if not problem:
                try:
                    return cast("dict[str, Any]", mended(found.value, dict(schema), "answer"))
                except ToolArgumentsError as error:
                    problem = error.message
            messages = [*messages, found.message, HumanMessage(f"That cannot be used. {problem} Answer once more.")]
        raise Unanswered(f"The model gave no usable answer: {problem}")

    def _asking(self, place: CallSite, name: str, schema: Mapping[str, Any]) -> Callable[[Sequence[BaseMessage]], Any]:
        async def asking(fitting: Sequence[BaseMessage]) -> Structured:
            return await self.models.structured(
                place, fitting, scope=self, emit=self.emit, schema=schema, name=name, description="The answer."
            )

        return asking


class Unanswered(Exception):  # noqa: N818 - an outcome, handled where the object was asked for
    """A model gave no object; its text says why."""
