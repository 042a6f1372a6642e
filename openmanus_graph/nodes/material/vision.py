"""Vision: how the picture that a call of a tool names gets to a model that sees: to the agent's own, or one it asks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from openmanus_graph.agent_nodes import KNOWLEDGE, VISION
from openmanus_graph.call_site import CallSite, Role
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import BudgetError, ModelError, NoModelError, ToolError
from openmanus_graph.events import Event, Usage
from openmanus_graph.files.picture import picture_in
from openmanus_graph.models.gateway import Models, usage_of
from openmanus_graph.models.pictures import reference
from openmanus_graph.nodes.roles import prompt_text
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.plan import Subtask
from openmanus_graph.state import NotedPicture
from openmanus_graph.tools.spec import ToolSpec
from openmanus_graph.usage import add_usage

GENERAL = "What does this picture show?"
"""The question about a picture where none is asked."""


class CallVision:
    """How one call of a tool has pictures looked at, and what that used."""

    def __init__(self, run: SubtaskScope, state: Mapping[str, Any], *, attempt: int, of_agent: bool) -> None:
        """Ask nothing yet.

        Args:
            run: The subtask's run.
            state: The state with the subtask and its round.
            attempt: Which attempt of the call it is, from 1.
            of_agent: Whether the result goes to an agent's model, as that of a plan's direct call does not.
        """
        self._run = run
        self._subtask = Subtask.model_validate(state.get("subtask"))
        self._round = state.get("round") or 1
        self._attempt = attempt
        self._of_agent = of_agent
        self.usage: Usage | None = None
        """What was used by now; `None` means nothing."""

    def handed(self, context: ToolContext) -> ToolContext:
        """What the tool is handed, with how a picture is looked at."""
        return replace(context, look=partial(self._look, context.models))

    async def _look(self, given: Any, path: str, sha256: str, question: str) -> str | None:
        """The words of the model of the role `vision`; `None` where the agent's own model sees."""
        asked = f"{path}\n{question}".encode("utf-8", "surrogatepass")
        # By what is asked about which file, so that a step that runs again has the same place.
        site = f"{self._subtask.id}.{hashlib.sha256(asked).hexdigest()[:8]}"
        place = CallSite(VISION, site, self._attempt, self._round)
        words = [{"type": "text", "text": question or GENERAL}, reference(path, sha256)]
        prompt: list[BaseMessage] = [
            SystemMessage(prompt_text(VISION, self._run.settings.prompts)),
            HumanMessage(cast("list[str | dict[Any, Any]]", words)),
        ]
        models = given if isinstance(given, Models) else Models(self._run.settings)  # a plan by itself has none
        folder = self._run.context.workspace
        try:
            if await asyncio.to_thread(self._is_shown, models, place, path):
                return None
            reply = await models.reply(place, prompt, scope=self._run, emit=self._emit, folder=folder)
        except (BudgetError, ModelError, NoModelError) as error:
            raise ToolError(f"The picture {path!r} was not looked at. {error.message}", hint=error.hint) from error
        self.usage = add_usage(self.usage, usage_of(reply))
        return str(reply.text)

    def _is_shown(self, models: Models, place: CallSite, path: str) -> bool:
        """Whether the agent's model is shown the picture; in a replay, whether it was.

        Raises:
            NoModelError: If no model is set.
            ToolError: If the one to ask cannot see either.
        """
        role: Role = "knowledge" if self._subtask.agent == KNOWLEDGE else "executor"
        recorded = models.recorded(place)
        if self._of_agent and (models.sees_images(role) if recorded is None else not recorded):
            return True
        if recorded is None and not models.sees_images(VISION):
            raise ToolError(
                f"No model here can see, so nobody can look at the picture {path!r}.",
                hint="Set a model for the role `vision` that does; or `images = true` in its table, if it does.",
            )
        return False

    def _emit(self, event: Event) -> None:
        """Send an event of the call as one of the subtask, which views know."""
        self._run.emit({**event, "subtask": self._subtask.id})


def pictures_of(spec: ToolSpec, output: Any, context: ToolContext) -> list[NotedPicture]:
    """The picture that the output of a call names, as far as there is one that can be shown; blocks."""
    fields = cast("dict[str, Any]", output) if isinstance(output, dict) else {}
    path = fields.get(spec.shows or "")
    if not isinstance(path, str) or not path:
        return []
    try:
        picture = picture_in(context.workspace, path)
    except (ToolError, OSError):  # such as a download that is no picture
        return []
    return [NotedPicture(path=picture.path, sha256=picture.sha256)]
