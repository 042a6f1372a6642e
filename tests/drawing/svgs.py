"""What the tests look for in a picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ElementTree.Element:
    """The picture, which must be well-formed and ask for nothing from elsewhere."""
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "circle", "path", "text", "tspan", "g"}
    for element in root.iter():
        assert not [key for key in element.attrib if key.startswith("on") or "href" in key or key == "id"]
    sheet = "".join(element.text or "" for element in root.iter(f"{SVG}style"))
    assert not re.search(r"url\(|@import|@font-face|https?:", sheet)
    return root


def keys(root: ElementTree.Element) -> list[str]:
    """The keys of all boxes, in the order drawn."""
    return [element.attrib["data-key"] for element in root.iter() if "data-key" in element.attrib]


def box(root: ElementTree.Element, key: str) -> ElementTree.Element:
    """The box of that key."""
    return next(element for element in root.iter() if element.attrib.get("data-key") == key)


def hint(element: ElementTree.Element) -> str:
    """What is shown when it is pointed at."""
    return element.findtext(f"{SVG}title") or ""


def texts(root: ElementTree.Element) -> list[str]:
    """All visible lines."""
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]
