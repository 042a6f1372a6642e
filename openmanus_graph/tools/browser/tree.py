"""Tree: Playwright's accessibility snapshot of a page, parsed, with hidden what must not be shown."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

MASK = "••••"
"""Stands for the value of a field for passwords and the like."""
FIELDS = frozenset({"textbox", "searchbox", "spinbutton", "combobox"})
"""Roles of what is typed into."""

Effect = Literal["read", "external"]

Box = tuple[int, int, int, int]
"""Left, top, width and height, in pixels of the window."""

_LINE = re.compile(
    r'(?P<role>[A-Za-z][\w-]*)(?: (?P<name>"(?:[^"\\]|\\.)*"))?(?P<attributes>(?: \[[^\]]*\])*)(?::(?: (?P<text>.*))?)?'
)
_QUOTED = re.compile(r"'((?:[^']|'')*)'(:.*)?")
_ATTRIBUTE = re.compile(r"\[([^\]=]*)(?:=([^\]]*))?\]")
_KEPT = ("checked", "disabled", "expanded", "pressed", "selected", "active", "invalid")


@dataclass
class Node:
    """One element of the tree, or a text in it."""

    role: str
    """Its role; `text` for a text."""
    name: str = ""
    """Its accessible name."""
    states: list[str] = field(default_factory=list[str])
    """Such as `checked` or `disabled`."""
    ref: str | None = None
    """Playwright's name for it in this snapshot."""
    box: Box | None = None
    """Where it is in the window; `None` where that is not told."""
    pointer: bool = False
    """Whether the mouse shows a hand over it."""
    text: str = ""
    """Its value or text."""
    url: str | None = None
    """Where it leads."""
    effect: Effect | None = None
    """What acting on it does; `None` where nothing is done with it by itself."""
    children: list[Node] = field(default_factory=list["Node"])
    """What is in it."""

    def walk(self) -> Iterator[Node]:
        """This node and all below it, in the page's order."""
        waiting: list[Node] = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    def words(self) -> str:
        """Name and texts of the node and all below it."""
        parts: list[str] = []
        for node in self.walk():
            parts += [part for part in (node.name, node.text) if part and part not in parts[-1:]]
        return " ".join(parts)


def parse(snapshot: str) -> Node:
    """Parse a snapshot of mode `ai` with boxes.

    Args:
        snapshot: What Playwright gives.

    Returns:
        A node of the role `page` that holds all others.
    """
    root = Node("page")
    open_nodes = [(-1, root, (0, 0))]
    for line in snapshot.splitlines():
        body = line.lstrip(" ")
        if not body.startswith("- "):
            continue
        depth = len(line) - len(body)
        while open_nodes[-1][0] >= depth:
            open_nodes.pop()
        _, parent, origin = open_nodes[-1]
        body = _unquoted(body[2:])
        if body.startswith("/"):
            key, _, value = body.partition(":")
            if key == "/url":
                parent.url = _scalar(value)
            continue
        node = _node(body, origin)
        parent.children.append(node)
        inside = origin if node.role != "iframe" or node.box is None else node.box[:2]
        open_nodes.append((depth, node, inside))
    return root


def _unquoted(body: str) -> str:
    """A line whose key stands in single quotes, because it holds what means something in YAML, without them."""
    if not body.startswith("'"):
        return body
    found = _QUOTED.fullmatch(body)
    return body if found is None else found[1].replace("''", "'") + (found[2] or "")


def _scalar(text: str) -> str:
    text = text.strip()
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text.strip('"')
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    return text


def _node(body: str, origin: tuple[int, int]) -> Node:
    found = _LINE.fullmatch(body)
    if found is None:
        return Node("text", text=_scalar(body))
    node = Node(found["role"], name=_scalar(found["name"] or ""), text=_scalar(found["text"] or ""))
    for name, value in _ATTRIBUTE.findall(found["attributes"] or ""):
        if name == "ref":
            node.ref = value
        elif name == "box":
            left, top, width, height = (int(float(part)) for part in value.split(","))
            node.box = left + origin[0], top + origin[1], width, height
        elif name == "cursor":
            node.pointer = value == "pointer"
        elif name in _KEPT:
            node.states.append(f"{name}={value}" if value else name)
    return node


def mask(root: Node, secrets: Collection[str], *, everything: bool) -> None:
    """Hide the values of fields for passwords.

    Args:
        root: The tree, which is changed.
        secrets: The values that such fields have now.
        everything: Whether the values of all fields are hidden, because it is not known which fields are such.
    """
    known = {" ".join(secret.split()) for secret in secrets}
    for node in root.walk():
        if node.name in known and len(node.name) > 3:
            node.name = MASK
        texts = [child for child in node.children if child.role == "text"] if node.role in FIELDS else []
        for part in (node, *texts):
            in_field = part is not node or node.role in FIELDS
            if part.text and ((everything and in_field) or _is_secret(part.text, known, in_field=in_field)):
                part.text = MASK


def _is_secret(text: str, secrets: Collection[str], *, in_field: bool) -> bool:
    """Whether a text is a secret, or a long beginning of one; outside of fields short ones are no reason."""
    plain = " ".join(text.split())
    if plain in secrets:
        return in_field or len(plain) > 3
    return len(plain) > 7 and any(plain.rstrip("…. ") in secret for secret in secrets)


READING = frozenset(
    {"tab", "option", "combobox", "listbox", "slider", "checkbox", "radio", "treeitem", "scrollbar", *FIELDS}
)
"""Roles of which acting on one only chooses, types or shows something."""
ACTING = frozenset({"button", "switch", "menuitem", "menuitemcheckbox", "menuitemradio", "link"})
"""Roles of which acting on one may do anything, unless more is known."""
_INSIDE = ("http:", "https:")


@dataclass(frozen=True)
class Places:
    """What a page and its frames tell of what stands where; scripts in them may lie."""

    opening: Collection[Box] = ()
    """Where what opens and closes something is in the page itself: what frames tell is not asked, since their scripts
    could tell what they like of places outside them."""
    editable: Collection[Box] = ()
    """Where text is that is written in place, in the page itself."""
    submitting: Collection[Box] | None = ()
    """Where what sends or empties a form is in the page itself; `None` if it did not say."""
    submitting_in_frames: Collection[Box] | None = ()
    """The same of all frames, each from its own corner."""
    staying: Collection[str] | None = ()
    """Addresses of links, as they are written, that lead no further than to this page, each space in them single;
    `None` if not all is told."""


def classify(root: Node, places: Places) -> None:
    """Say of every node what acting on it does: links, fields and what opens a menu read, all else is external.

    Args:
        root: The tree, which is changed.
        places: What the page tells of itself.
    """
    corners = {id(inner): node.box or (0, 0) for node in root.walk() if node.role == "iframe" for inner in node.walk()}
    sending = {id(node) for node in root.walk() if _sends(node, corners.get(id(node)), places)}
    for node in root.walk():
        if node.ref is None:
            continue
        box = None if id(node) in corners else node.box
        if id(node) in sending:
            node.effect = "external"
        elif node.role in READING or box in places.editable:
            node.effect = "read"
        elif node.role == "link":
            node.effect = "read" if leads_on(node.url, places.staying) else "external"
        elif box in places.opening and node.role not in ("switch", "group"):
            node.effect = "read"
        elif node.role in ACTING or (node.pointer and not any(child.effect for child in node.walk())):
            node.effect = "external"
    _within_pointers(root, inside=False)
    _through(root, sending)


def _sends(node: Node, corner: tuple[int, ...] | None, places: Places) -> bool:
    """Whether a node is, or may be, a button of a form under another role, as its place tells."""
    known = places.submitting if corner is None else places.submitting_in_frames
    if known is None:
        return node.role in READING
    if node.box is None or corner is None:
        return node.box in known
    left, top, width, height = node.box
    return (left - corner[0], top - corner[1], width, height) in known


def _within_pointers(root: Node, *, inside: bool) -> None:
    """Leave the outermost of nested elements with a hand over them: the hand is inherited."""
    waiting = [(root, inside)]
    while waiting:
        node, covered = waiting.pop()
        if covered and node.effect == "external" and node.role not in ACTING:
            node.effect = None
        waiting.extend((child, covered or node.effect is not None) for child in node.children)


def _through(root: Node, sending: Collection[int]) -> None:
    """Count as external what only reads itself, if a click on it hits what does not, or reaches it from within."""
    # Each with the nodes around it, innermost first, and whether one of them sends a form.
    waiting: list[tuple[Node, tuple[Node, Any] | None, bool]] = [(root, None, False)]
    while waiting:
        node, around, sent = waiting.pop()
        if sent and node.effect == "read":
            node.effect = "external"
        outer = around if node.effect == "external" else None
        while outer is not None:
            above, outer = outer
            if above.effect == "read" and _covers(node.box, above.box):
                above.effect = "external"
        within = around if node.effect is None else (node, around)
        waiting.extend((child, within, sent or id(node) in sending) for child in node.children)


def _covers(inner: Box | None, outer: Box | None) -> bool:
    """Whether a box lies over the middle of another, where that is clicked."""
    if inner is None or outer is None:
        return False
    x, y = outer[0] + outer[2] / 2, outer[1] + outer[3] / 2
    return inner[0] <= x <= inner[0] + inner[2] and inner[1] <= y <= inner[1] + inner[3]


def leads_on(url: str | None, staying: Collection[str] | None = ()) -> bool:
    """Whether a link only leads to another page, or to a place in one.

    One that leads no further than to the page that it stands in is what scripts hang their doings on.

    Args:
        url: Its address, as it is written.
        staying: Such addresses that lead no further; `None` if they are not known.
    """
    head = " ".join((url or "").split())
    if not head or head.startswith("#") or ("#" in head if staying is None else head in staying):
        return False
    scheme = re.match(r"[a-z][a-z0-9+.-]*:", head.casefold())
    return scheme is None or scheme[0] in _INSIDE
