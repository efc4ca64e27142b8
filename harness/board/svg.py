"""A drawing that is safe to put into a page: only shapes and text, with a name for those who cannot see it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

_SVG = "http://www.w3.org/2000/svg"
_TAGS = {"svg", "g", "path", "rect", "line", "text", "tspan", "defs", "clipPath", "circle"}
_ATTRIBUTES = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")
_REFERENCE = re.compile(r"url\(#([\w-]+)\)")


def safe_svg(svg: str, key: str, title: str, description: str) -> str:
    """Return the SVG with only drawing in it, ids of its own, and a title and description for screen readers.

    Raises ``ValueError`` where it holds an element that is not known to be harmless.
    """
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        tag = element.tag.removeprefix(f"{{{_SVG}}}")
        if tag not in _TAGS:
            raise ValueError(f"the plot holds a <{tag}>, which is not drawn into pages")
        element.attrib = {name: _local(value, key) for name, value in element.attrib.items() if _drawing(name)}
        if "id" in element.attrib:
            element.set("id", f"{key}-{element.attrib['id']}")
    for name, value in {"role": "img", "aria-labelledby": f"{key}-title {key}-desc", "focusable": "false"}.items():
        root.set(name, value)
    for place, (name, text) in enumerate((("title", title), ("desc", description))):
        node = ElementTree.Element(f"{{{_SVG}}}{name}", {"id": f"{key}-{name}"})
        node.text = text
        root.insert(place, node)
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _drawing(name: str) -> bool:
    # Inline style is refused by the page's policy; handlers and links have no place in a picture, and roles inside an
    # image are read to nobody.
    refused = name in ("style", "href", "role") or name.startswith(("on", "aria-"))
    return bool(_ATTRIBUTES.fullmatch(name)) and not refused


def _local(value: str, key: str) -> str:
    return _REFERENCE.sub(rf"url(#{key}-\1)", value)
