"""Model sample: what a server of tools asks the run's model in its own words, within the run's budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig

from openmanus_graph.context import Sample
from openmanus_graph.errors import BudgetError, ModelError, ToolError
from openmanus_graph.models.gateway import Models
from openmanus_graph.nodes.material.text_question import place_of
from openmanus_graph.nodes.subtask_runtime import SubtaskScope


def model_sample(run: SubtaskScope, config: RunnableConfig) -> Sample | None:
    """What asks the executor's model in somebody else's words during a call; `None` where the graph has no model.

    Args:
        run: The subtask that the call is of.
        config: LangGraph's config for the tool's node.
    """
    models = run.context.models
    if not isinstance(models, Models):
        return None
    place = place_of(run, config, "sample")
    times = count(1)

    async def sample(told: str, said: Sequence[tuple[str, str]]) -> str:
        this = replace(place, subtask=f"{place.subtask}-{next(times)}")
        system: list[BaseMessage] = [SystemMessage(told)] if told else []
        asked = [AIMessage(text) if who == "assistant" else HumanMessage(text) for who, text in said]
        try:
            reply = await models.reply(this, [*system, *asked], scope=run, emit=run.emit)
        except (BudgetError, ModelError) as error:
            raise ToolError(error.message, hint=error.hint) from error
        return str(reply.text)

    return sample
