"""Editor: the tool that views, creates and edits text files in the workspace."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.context import tool_context
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.files.safe_paths import HIDDEN_FOLDER, locate
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.tools import editing
from openmanus_graph.tools.documents.document_text import document_text
from openmanus_graph.tools.spec import ToolSpec, builtin_tool
from openmanus_graph.tools.viewing import view

ValueT = TypeVar("ValueT")

_SPEC = ToolSpec(effect="write", returns={"text": TEXT, "path": TEXT}, free_text=("text",), takes_code=True)


class EditorArguments(BaseModel):
    """What to do with which file."""

    model_config = ConfigDict(extra="forbid")

    command: Literal["view", "create", "str_replace", "insert", "undo_edit"] = Field(description="What to do.")
    path: str = Field(description="The file, in the workspace.")
    file_text: str | None = Field(default=None, description="`create`: the whole content.")
    old_str: str | None = Field(
        default=None, description="`str_replace`: the text to replace; it must occur exactly once."
    )
    new_str: str | None = Field(
        default=None, description="`str_replace`: the new text, empty to delete. `insert`: the lines."
    )
    insert_line: int | None = Field(
        default=None, ge=0, description="`insert`: the line to insert after, 0 for the top."
    )
    view_range: list[int] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="`view`: first and last line, from 1; -1 is the end.",
    )


@builtin_tool("str_replace_editor", EditorArguments, _SPEC)
async def str_replace_editor(
    *,
    command: str,
    path: str,
    file_text: str | None = None,
    old_str: str | None = None,
    new_str: str | None = None,
    insert_line: int | None = None,
    view_range: list[int] | None = None,
) -> dict[str, Any]:
    """View, create and edit text files in the workspace.

    `view` shows a file with line numbers, or what is in a folder; `create` refuses a file that exists; `undo_edit`
    takes back the last edit of the file.
    """
    context = tool_context()
    place = await asyncio.to_thread(locate, context.workspace, path)
    call = context.call_id
    if command == "view":
        document = await document_text(place, context.settings, context.sandbox)
        text = await asyncio.to_thread(view, place, view_range, document)
        return {"text": text, "path": place.path}
    if place.parts[:1] == (HIDDEN_FOLDER,):
        raise ToolError(f"The folder {HIDDEN_FOLDER!r} belongs to the engine and is not edited.")
    if command == "create":
        content = _given("file_text", file_text, command)
        text = await asyncio.to_thread(editing.create, place, content, call)
    elif command == "str_replace":
        old = _given("old_str", old_str, command)
        text = await asyncio.to_thread(editing.replace, place, old, new_str or "", call)
    elif command == "insert":
        line, new = _given("insert_line", insert_line, command), _given("new_str", new_str, command)
        text = await asyncio.to_thread(editing.insert, place, line, new, call)
    else:
        text = await asyncio.to_thread(editing.undo, place, call)
    return {"text": text, "path": place.path}


def _given(name: str, value: ValueT | None, command: str) -> ValueT:
    if value is None:
        raise ToolArgumentsError(f"The command {command!r} needs the argument {name!r}.")
    return value
