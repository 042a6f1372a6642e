"""Research state: what the nodes of deep research hand on, in plain types."""

from __future__ import annotations

import operator
from typing import Annotated, Any, NotRequired, Required, TypedDict

MAX_DEPTH = 2
"""Rounds of search for each question, unless the input says otherwise."""
MAX_INSIGHTS = 40
"""Notes kept in all, unless the input says otherwise."""
TIME_LIMIT_S = 600.0
"""Seconds after which nothing new is searched for, unless the input says otherwise."""


class Place(TypedDict):
    """Where a quotation stands in a page."""

    heading: str
    """The heading above it; empty if there is none."""
    paragraph: int
    """Which block of text it begins in, from 1."""


class Note(TypedDict):
    """What a page says on a question."""

    id: str
    """Its name in prompts: question, round, page and number."""
    says: str
    """What the page says, in the model's words."""
    quotation: str
    """The words of the page that say it, letter by letter."""
    place: Place
    """Where they stand."""
    url: str
    """The page's address."""
    title: str
    """The page's title."""


class ReadPage(TypedDict):
    """A page, once it has been read for a question."""

    url: str
    """Its address."""
    error: str | None
    """Why it could not be read or noted; `None` if it could."""
    notes: list[Note]
    """What it says on the question."""


class ResearchQuestion(TypedDict):
    """One of the questions that a query comes to."""

    id: str
    """`q1`, `q2`, ..."""
    text: str
    """The question."""
    queries: list[str]
    """What is searched for first."""


class Finding(TypedDict):
    """What came of one question."""

    question: str
    """The question's id."""
    notes: list[Note]
    """What pages say."""
    unread: list[str]
    """Pages and searches that failed, each with its reason."""
    stopped: str | None
    """Why it ended before it was answered: a limit or a fault; `None` if it did not."""


class Claim(TypedDict):
    """A sentence of the report."""

    question: str
    """The question that it answers, by id."""
    text: str
    """The sentence."""
    notes: list[str]
    """The notes that say it, by id."""
    differs: bool
    """Whether it says where sources differ."""
    why_left_out: str | None
    """Why it is left out; `None` if it stands in the report."""


class Source(TypedDict):
    """A page that the report cites."""

    url: str
    """Its address."""
    title: str
    """Its title."""
    quotations: list[str]
    """The words of it that claims rest on."""


class Limits(TypedDict, total=False):
    """How far a research may go."""

    max_depth: int
    """Rounds of search for each question."""
    max_insights: int
    """Notes kept in all."""
    time_limit_s: float
    """Seconds of running after which nothing new is searched for or read."""
    max_tokens: int | None
    """Tokens after which nothing new is searched for or read; `None` means no limit but the budget's."""


class ResearchInput(Limits, total=False):
    """What is to be found out, and how far to go."""

    query: Required[str]
    """What is to be found out."""
    ask: bool
    """Whether a person may be asked what is meant."""
    fresh: bool
    """Whether search engines are asked anew what the thread has searched for before."""


class ResearchState(ResearchInput, total=False):
    """The state of the whole research."""

    began_s: float
    """When it began, by the clock of its visits."""
    question: str
    """What the person is asked."""
    asked: Annotated[list[dict[str, str]], operator.add]
    """Questions to the person with their answers."""
    questions: list[ResearchQuestion]
    """What the query comes to."""
    findings: Annotated[list[Finding], operator.add]
    """What came of each question."""
    claims: list[Claim]
    """The sentences of the report, left out ones included."""
    checked: bool
    """Whether a model has compared the claims with their notes."""
    status: str
    """`completed`; `partial` where a limit or a fault left something out; `failed` where nothing was found."""
    report: str
    """The report in Markdown."""
    sources: list[Source]
    """The pages that it cites, in the order of their numbers."""
    answer: str
    """The report once more, where every graph of ours has its answer."""
    tokens: Annotated[int, operator.add]
    """Tokens that models were sent and gave."""


class ResearchOutput(TypedDict, total=False):
    """What comes of a research."""

    answer: str
    """The report in Markdown."""
    report: str
    """The same."""
    sources: list[Source]
    """The pages that it cites, in the order of their numbers."""
    claims: list[Claim]
    """Its sentences, left out ones included."""
    status: str
    """`completed`; `partial` where a limit or a fault left something out; `failed` where nothing was found."""


class QuestionInput(TypedDict):
    """What a question's own graph is given."""

    query: str
    """What is to be found out in all."""
    asking: ResearchQuestion
    """The question."""
    limits: Limits
    """The question's share of the limits."""
    until: float
    """When nothing new is begun, by the clock of its visits."""
    fresh: NotRequired[bool]
    """Whether search engines are asked anew what the thread has searched for before."""


class QuestionState(QuestionInput, total=False):
    """The state of one question's graph."""

    queries: list[str]
    """What is searched for next; empty once it has ended."""
    round: int
    """Rounds of search that were begun."""
    found: list[dict[str, Any]]
    """Pages of the newest search that are to be read: number, address and title."""
    searched: Annotated[list[str], operator.add]
    """Searches that were made so far."""
    seen: list[str]
    """Addresses of all pages that were chosen so far."""
    pages: Annotated[list[ReadPage], operator.add]
    """Pages that were read."""
    unread: Annotated[list[str], operator.add]
    """Searches that failed, each with its reason."""
    stopped: str | None
    """Why it ended before it was answered."""
    tokens: Annotated[int, operator.add]
    """Tokens that models were sent and gave for it."""
    findings: list[Finding]
    """What came of it, for the graph around."""


class QuestionOutput(TypedDict, total=False):
    """What a question's graph hands on."""

    findings: list[Finding]
    """What came of it: one."""
    tokens: int
    """Tokens that models were sent and gave for it."""


class PageInput(TypedDict):
    """What a page's own graph is given."""

    asking: ResearchQuestion
    """The question that it is read for."""
    round: int
    """The round of search that found it."""
    number: int
    """Which page of the round it is, from 1."""
    url: str
    """Its address."""


class PageState(PageInput, total=False):
    """The state of one page's graph."""

    title: str
    """The page's title."""
    text: str
    """Its text in Markdown, or what of it is about the question."""
    error: str | None
    """Why it could not be read or noted."""
    pages: list[ReadPage]
    """The page once it was read, for the graph around."""
    tokens: int
    """Tokens that a model was sent and gave for it."""


class PageOutput(TypedDict, total=False):
    """What a page's graph hands on."""

    pages: list[ReadPage]
    """The page: one."""
    tokens: int
    """Tokens that a model was sent and gave for it."""
