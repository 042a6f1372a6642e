"""Roles: what elements of a page are for, by which assertions name them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.tools.browser.tab import Tab

if TYPE_CHECKING:
    from playwright.async_api import Locator


def role_of(given: str | None) -> Any:
    """A role that elements can have: any other would be waited for in vain.

    Raises:
        ToolArgumentsError: If there is none of this name.
    """
    from playwright.async_api import Frame

    if not given:
        raise ToolArgumentsError("The argument 'role' is missing.")
    role = given.strip().lower()
    roles = get_args(get_type_hints(Frame.get_by_role)["role"])
    if role not in roles:
        near = ", ".join(map(repr, get_close_matches(role, roles, n=3)))
        raise ToolArgumentsError(
            f"There is no role {given!r}.", hint=f"There are: {near or 'button, link, heading, textbox and others'}."
        )
    return role


def with_role(tab: Tab, role: str | None, name: str | None) -> list[Locator]:
    """The visible elements with a role, for the page and each frame in it.

    Args:
        tab: The page.
        role: The role.
        name: A part of their names, in small letters or large; `None` takes any.

    Raises:
        ToolArgumentsError: If there is no such role.
    """
    known = role_of(role)
    return [frame.get_by_role(known, name=name).filter(visible=True) for frame in tab.page.frames]
