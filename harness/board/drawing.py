"""Drawings as SVG text. Colours and fonts are the style sheet's, by class: one drawing serves light and dark."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

# The outline of a mark around (0, 0) as relative path commands, about five pixels in radius.
OUTLINES = {
    "circle": "m-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0-8.4 0z",
    "triangle": "m0-4.8l4.4 8h-8.8z",
    "square": "m-3.8-3.8h7.6v7.6h-7.6z",
    "diamond": "m0-5.2l4.4 5.2l-4.4 5.2l-4.4-5.2z",
    "cross": "m-4-4l8 8m0-8l-8 8",
}


def number(value: float) -> str:
    """Write a coordinate with a tenth of a pixel."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def picture(size: tuple[float, float], key: str, title: str, description: str, inside: Iterable[str]) -> Markup:
    """Return an SVG with a title and a description for those who cannot see it.

    Args:
        size: width and height in pixels.
        key: prefix of its ids, unique on the page and made of letters, digits, ``-`` and ``_``.
        title: what it shows.
        description: what can be read from it, in words.
        inside: elements, made by the functions of this file.
    """
    width, height = (number(value) for value in size)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-desc">{escape(description)}</desc>'
    )
    return Markup(head + "".join(inside) + "</svg>")


def path(style: str, commands: str, tip: str = "") -> str:
    """Return a path of a class; ``tip`` shows under the pointer."""
    if not tip:
        return f'<path class="{style}" d="{commands}"/>'
    return f'<path class="{style}" d="{commands}"><title>{escape(tip)}</title></path>'


def mark(style: str, shape: str, at: tuple[float, float], tip: str = "") -> str:
    """Return a mark of ``OUTLINES`` at a place."""
    if shape == "circle":  # the usual one, in fewer bytes
        tail = f"><title>{escape(tip)}</title></circle>" if tip else "/>"
        return f'<circle class="{style}" cx="{number(at[0])}" cy="{number(at[1])}" r="4.2"{tail}'
    return path(style, f"M{number(at[0])} {number(at[1])}{OUTLINES[shape]}", tip)


def scatter(style: str, shape: str, key: str, places: Iterable[tuple[float, float]]) -> list[str]:
    """Return one mark at every place; the outline is written once, under the id ``key``."""
    points = " ".join(f"{number(x)},{number(y)}" for x, y in places)
    ends = "".join(f' marker-{end}="url(#{key})"' for end in ("start", "mid", "end"))
    return [
        f'<marker id="{key}" viewBox="-6 -6 12 12" markerWidth="12" markerHeight="12" markerUnits="userSpaceOnUse">'
        f'<path class="{style}" d="M0 0{OUTLINES[shape]}"/></marker>',
        f'<polyline class="places"{ends} points="{points}"/>',
    ]


def words(style: str, at: tuple[float, float], text: str, turned: bool = False) -> str:
    """Return a line of text; ``turned`` runs it upwards."""
    x, y = (number(value) for value in at)
    turn = f' transform="rotate(-90 {x} {y})"' if turned else ""
    return f'<text class="{style}" x="{x}" y="{y}"{turn}>{escape(text)}</text>'
