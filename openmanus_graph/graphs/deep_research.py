"""Deep research: the graph that answers a query from pages of the Web, with a source for every sentence.

`START → plan → investigate (all questions at the same time) → write → check → cite → END`. A question's own graph goes
`search → page (all pages at the same time) → gaps`, and again as long as something is missing and the limits last; a
page's own goes `read → note`. Each step is committed, so that a run which is killed keeps every page that it has read.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.models.gateway import ModelsChoice
from openmanus_graph.nodes.researching.cited_report import cite
from openmanus_graph.nodes.researching.claims import check_node, write_node
from openmanus_graph.nodes.researching.page_notes import after_read, note_node, read_node
from openmanus_graph.nodes.researching.question_plan import INVESTIGATE, after_questions, clarify_node, questions_node
from openmanus_graph.nodes.researching.research_state import (
    MAX_DEPTH,
    MAX_INSIGHTS,
    TIME_LIMIT_S,
    PageInput,
    PageOutput,
    PageState,
    QuestionInput,
    QuestionOutput,
    QuestionState,
    ResearchInput,
    ResearchOutput,
    ResearchState,
)
from openmanus_graph.nodes.researching.search_round import (
    after_gaps,
    after_search,
    conclude,
    gaps_node,
    search_node,
)
from openmanus_graph.nodes.researching.visit import Researcher
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.tools.spec import ToolSpec, builtin_tool

DESCRIPTION = "Researches a query on the Web: several questions at once, each sentence of the report with its source."


class ResearchGraph(StateGraph[Any, Any, Any, Any]):
    """The builder of a research, which knows how it ended."""

    def outcome(self, values: Any) -> str:
        """`failed` where nothing was found, `partial` where a limit or a fault left something out."""
        return str(cast("Mapping[str, Any]", values).get("status") or "completed")


def build_deep_research(
    models: ModelsChoice | None = None, *, settings: Settings | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph of deep research; inside another graph it uses that graph's models, policy and settings.

    Args:
        models: A model's name, a LangChain chat model, or either by role (`knowledge` finds questions and takes notes,
            `reporter` writes, `verifier` checks); `None` means what the settings say.
        settings: The settings to use instead of those of the environment.

    Returns:
        A compiled graph for `make_durable`, or for `agents` of `build_manus_graph`. Its input is `{"query": …}`, with
        `max_depth`, `max_insights`, `time_limit_s`, `max_tokens`, `fresh` and `ask`; its output has `report`
        (Markdown), `sources`, `claims` and `status`.
    """
    researcher = Researcher(settings or Settings.load(), models)
    graph = ResearchGraph(ResearchState, input_schema=ResearchInput, output_schema=ResearchOutput)
    graph.add_node("plan", cast("Any", questions_node(researcher)))
    graph.add_node("clarify", cast("Any", clarify_node(researcher)))
    graph.add_node(INVESTIGATE, _question_graph(researcher))
    graph.add_node("write", cast("Any", write_node(researcher)))
    graph.add_node("check", cast("Any", check_node(researcher)))
    graph.add_node("cite", cite)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", after_questions, ["clarify", INVESTIGATE])
    graph.add_edge("clarify", "plan")
    graph.add_edge(INVESTIGATE, "write")
    graph.add_edge("write", "check")
    graph.add_edge("check", "cite")
    graph.add_edge("cite", END)
    compiled = graph.compile(name="deep_research")
    cast("Any", compiled).description = DESCRIPTION
    return compiled


def _question_graph(researcher: Researcher) -> CompiledStateGraph[Any, Any, Any, Any]:
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(
        QuestionState, input_schema=QuestionInput, output_schema=QuestionOutput
    )
    graph.add_node("search", cast("Any", search_node(researcher)))
    graph.add_node("page", _page_graph(researcher))
    graph.add_node("gaps", cast("Any", gaps_node(researcher)))
    graph.add_node("conclude", conclude)
    graph.add_edge(START, "search")
    graph.add_conditional_edges("search", after_search, ["page", "gaps", "conclude"])
    graph.add_edge("page", "gaps")
    graph.add_conditional_edges("gaps", after_gaps, ["search", "conclude"])
    graph.add_edge("conclude", END)
    return graph.compile(name="question")


def _page_graph(researcher: Researcher) -> CompiledStateGraph[Any, Any, Any, Any]:
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(PageState, input_schema=PageInput, output_schema=PageOutput)
    graph.add_node("read", cast("Any", read_node(researcher)))
    graph.add_node("note", cast("Any", note_node(researcher)))
    graph.add_edge(START, "read")
    graph.add_conditional_edges("read", after_read, ["note", END])
    graph.add_edge("note", END)
    return graph.compile(name="page")


def graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    """Answers a query from pages of the Web, with a source for every sentence."""
    return build_deep_research()


class ResearchArguments(BaseModel):
    """What to find out, and how far to go."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, max_length=4000, description="What is to be found out, in words.")
    max_depth: int = Field(default=MAX_DEPTH, ge=1, le=5, description="Rounds of search for each question.")
    max_insights: int = Field(default=MAX_INSIGHTS, ge=1, le=200, description="Notes from pages at most.")
    time_limit_s: float = Field(default=TIME_LIMIT_S, gt=0, le=7200, description="Seconds to search and read.")
    fresh: bool = Field(default=False, description="Whether to ask anew what this thread has searched for before.")


def _read_addresses(args: Mapping[str, Any], output: Any) -> list[str]:
    """The addresses of the pages that the report cites."""
    del args
    return [source["url"] for source in output["sources"]]


_SPEC = ToolSpec(
    effect="read",
    idempotent=True,
    on_request=True,
    returns={"report": TEXT, "sources": [{"url": TEXT, "title": TEXT, "quotations": [TEXT]}]},
    free_text=("report", "url", "title", "quotations"),
    source=_read_addresses,
)


@lru_cache(maxsize=1)
def _of_tool() -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph that calls of the tool run; each visit of a node takes models and settings from the call."""
    return build_deep_research()


@builtin_tool("deep_research", ResearchArguments, _SPEC)
async def deep_research(
    query: str,
    max_depth: int = MAX_DEPTH,
    max_insights: int = MAX_INSIGHTS,
    time_limit_s: float = TIME_LIMIT_S,
    fresh: bool = False,
) -> dict[str, Any]:
    """Research a query on the Web in depth; returns a report in which every sentence has its source.

    It parts the query into questions, searches and reads pages for all of them at once, follows up on what is missing,
    and leaves out what no page says. It takes minutes: use web_search and fetch_page for one fact.
    """
    tool_context()  # it runs inside a run only, whose steps it shares
    limits = {"max_depth": max_depth, "max_insights": max_insights, "time_limit_s": time_limit_s}
    given = {"query": query, "fresh": fresh, **limits}
    out = await _of_tool().ainvoke(given)
    if out["status"] == "failed":
        raise ToolError(f"Nothing was found that a source says.\n{out['report']}")
    return {"report": out["report"], "sources": out["sources"]}
