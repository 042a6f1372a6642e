"""Output shape: the fields of a tool's output; references to them are checked before a plan runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from openmanus_graph.errors import SettingsError
from openmanus_graph.plans.references import Reference
from openmanus_graph.plans.validation import Names

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

Shape = str | list[Any] | dict[str, Any]
"""A mapping of fields to shapes, a list with the one shape of every item, `TEXT` or `ANY`."""

TEXT = "text"
"""Text, a number or a truth value: nothing inside it can be named."""
ANY = "any"
"""A value whose fields are not fixed: a reference may name anything inside it."""


def shape_of(tool: BaseTool) -> Shape | None:
    """The shape that `returns` in a tool's metadata states; `None` where it states none, and nothing is checked.

    Raises:
        SettingsError: If what it states is no shape.
    """
    stated: Any = (tool.metadata or {}).get("returns")
    if stated is None or _is_shape(stated):
        return stated
    raise SettingsError(
        f"The tool {tool.name!r} declares {stated!r} as 'returns'.",
        hint="Use 'text', 'any', a mapping of fields to such, or a list with the one shape of its items.",
    )


def _is_shape(stated: Any) -> bool:
    if isinstance(stated, dict):
        fields = cast("dict[Any, Any]", stated)
        return all(isinstance(name, str) and _is_shape(inside) for name, inside in fields.items())
    if isinstance(stated, list):
        items = cast("list[Any]", stated)
        return len(items) == 1 and _is_shape(items[0])
    return isinstance(stated, str) and stated in (TEXT, ANY)


def missing_field(reference: Reference, tool: str, shape: Shape) -> str | None:
    """Problem of a reference whose path leads nowhere in a tool's output, or `None`.

    Args:
        reference: The reference.
        tool: The tool's name.
        shape: The shape of its output.
    """
    for part in reference.path:
        if shape == ANY:
            return None
        if isinstance(shape, dict):
            if part not in shape:
                cure = Names(shape).cure(part, f"it has {', '.join(shape)}")
                return f"names {part!r}, which the output of tool {tool!r} does not have; {cure}"
            shape = shape[part]
        elif isinstance(shape, list):
            if not (part.isascii() and part.isdigit()):
                return f"asks for {part!r} of a list in the output of tool {tool!r}; use an index such as 0"
            shape = cast("Shape", shape[0])
        else:
            return f"asks for {part!r} of text in the output of tool {tool!r}; leave it out"
    return None
