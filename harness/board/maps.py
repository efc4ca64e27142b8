"""The documents of a table on two axes, one picture for each method, marked by class; drawn at build time."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from harness.board import drawing
from harness.board.rows import DocumentMap, Row, Table

SIZE, MARGIN, LEGEND = 240, 24, 18
SHAPES = ("circle", "square", "triangle", "diamond", "cross")
# The style sheet has so many colours; with the shapes beside them fifty classes differ.
COLOURS = 10
# Maps beside each other on the page of a table; every row has its own on its page.
MOST = 12
_LETTER = 6.6


@dataclass(frozen=True)
class Picture:
    """A drawn map of one row."""

    label: str
    svg: Markup


def pictures(table: Table, key: str) -> tuple[Picture, ...]:
    """Draw the maps of the first methods and ceilings of a table; ``key`` begins every id in the SVG."""
    rows = [row for row in table.rows if row.map and row.role in (None, "ceiling")]
    return tuple(picture(row, row.map, f"{key}-{i}") for i, row in enumerate(rows[:MOST]) if row.map)


def picture(row: Row, found: DocumentMap, key: str) -> Picture:
    """Draw the map of one row."""
    classes = sorted(set(found.label))
    told = ", ".join(f"{found.label.count(name)} of {name}" for name in classes)
    width = 2 * MARGIN + SIZE + 24 + _LETTER * max(map(len, classes), default=0)
    height = max(2 * MARGIN + SIZE, MARGIN + LEGEND * len(classes))
    title = f"documents as coded by {row.label}"
    return Picture(row.label, drawing.picture((width, height), key, title, told, _elements(found, classes, key)))


def _elements(found: DocumentMap, classes: list[str], key: str) -> list[str]:
    box = f"M{MARGIN} {MARGIN}h{SIZE}v{SIZE}h-{SIZE}z"
    inside = [
        drawing.path("axis", box),
        drawing.words("title", (MARGIN + SIZE / 2, MARGIN + SIZE + 16), "first principal axis"),
        drawing.words("title", (MARGIN - 8, MARGIN + SIZE / 2), "second principal axis", turned=True),
    ]
    places = list(zip(_places(found.x), _places(found.y), found.label, strict=True))
    for i, name in enumerate(classes):
        style, shape = f"class c{i % COLOURS}", SHAPES[i % len(SHAPES)]
        spots = [(MARGIN + x, MARGIN + SIZE - y) for x, y, own in places if own == name]
        line = MARGIN + LEGEND * i + 6
        inside += drawing.scatter(style, shape, f"{key}-{i}", [*spots, (MARGIN + SIZE + 14, line)])
        inside.append(drawing.words("label", (MARGIN + SIZE + 24, line + 4), name))
    return inside


def _places(values: tuple[float, ...]) -> list[float]:
    """Return pixels from the low end, with some room at both ends."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = (high - low or 1.0) * 0.05
    return [(value - low + pad) / (high - low + 2 * pad) * SIZE for value in values]
