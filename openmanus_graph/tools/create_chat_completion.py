"""Create_chat_completion: the tool with which a model gives its answer in the form that was asked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, ConfigDict, Field, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from openmanus_graph.errors import SettingsError, ToolArgumentsError
from openmanus_graph.plans.json_schema import validator_of
from openmanus_graph.plans.output_shape import ANY
from openmanus_graph.tools.schema import mended
from openmanus_graph.tools.spec import ToolSpec, builtin_tool

NAME = "create_chat_completion"
_SPEC = ToolSpec(effect="read", idempotent=True, returns=ANY, planned=False)
_DESCRIPTION = "Give the final answer in the form that was asked for. Returns the answer, checked."


class CompletionArguments(BaseModel):
    """An answer and what it must look like."""

    model_config = ConfigDict(extra="forbid")

    response_schema: dict[str, Any] = Field(description="The JSON Schema of the answer.")
    response: Any = Field(description="The answer itself, as the schema wants it.")


@builtin_tool(NAME, CompletionArguments, replace(_SPEC, on_request=True))
async def create_chat_completion(response_schema: dict[str, Any], response: Any) -> Any:
    """Give the final answer in the form of a JSON Schema. Returns the answer, checked against the schema.

    What has one obvious reading is mended ("3" where a number is wanted, one item where a list is wanted);
    anything else is refused, with every field that does not fit.
    """
    return await asyncio.to_thread(mended, response, response_schema)


def create_chat_completion_for(kind: Any, *, description: str = _DESCRIPTION) -> BaseTool:
    """The tool that takes answers of one Python type or JSON Schema.

    Args:
        kind: A type that pydantic understands (a model, a dataclass, `list[int]`, `int | None`, ...), or a JSON
            Schema as a dict.
        description: What a model reads about it.

    Returns:
        A tool called `create_chat_completion` with the one argument `response`, whose result is the answer as plain
        values.

    Raises:
        SettingsError: If pydantic does not understand the type, or the schema is none.
    """
    adapter: TypeAdapter[Any] | None = None
    if isinstance(kind, dict):
        schema = cast("dict[str, Any]", kind)
    else:
        try:
            adapter = TypeAdapter(kind)
            schema = adapter.json_schema()
        except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema) as error:
            raise SettingsError(f"The type {kind!r} has no JSON Schema: {error.message}") from error
    try:
        validator_of(schema)
    except ToolArgumentsError as error:
        raise SettingsError(error.message) from error

    async def complete(response: Any) -> Any:
        found = await asyncio.to_thread(mended, response, schema)
        if adapter is None:
            return found
        try:
            return adapter.dump_python(adapter.validate_python(found), mode="json")
        except ValidationError as error:
            sentences = "; ".join(
                _sentence(problem) for problem in cast("list[dict[str, Any]]", error.errors(include_url=False))
            )
            raise ToolArgumentsError(f"The response does not fit: {sentences}.") from error

    return StructuredTool.from_function(
        coroutine=complete, name=NAME, description=description, args_schema=_arguments(schema), metadata=_SPEC.metadata
    )


def _arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """The tool's own schema: one argument, with the definitions at the top, where references look for them."""
    inner = {key: value for key, value in schema.items() if key not in ("$defs", "definitions", "$schema")}
    outer: dict[str, Any] = {
        "title": NAME,
        "type": "object",
        "properties": {"response": inner},
        "required": ["response"],
    }
    return outer | {key: schema[key] for key in ("$defs", "definitions") if key in schema}


def _sentence(error: dict[str, Any]) -> str:
    where = ".".join(["response", *(str(part) for part in error["loc"])])
    return f"{where!r}: {error['msg']}"
