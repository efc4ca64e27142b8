"""The plot of quality against sparsity of one table, drawn at build time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.board import drawing, formats
from harness.board.axes import Axis, axis_of, wide
from harness.board.rows import Column, Row, Table

WIDTH, HEIGHT = 320, 250
# Where the plot begins inside its picture, and what stands below it for the axis.
LEFT, TOP, BELOW = 58, 8, 42
# Pixels between the lines of two labels, and so the most labels there is room for.
LEADING = 13
MOST = HEIGHT // LEADING
# Letters of a label, and the pixels of one at the label's size, generously: fonts differ between readers.
LETTERS, LETTER = 22, 6.1
# Rows whose L0 is further than this factor from every method's are named beside the plot instead of squeezing it.
NEAR = 2.0
# Shape, and the letter that looks like it in the text under the plot.
KINDS = {
    "method": ("circle", "●"),
    "unranked method": ("circle", "○"),
    "ceiling": ("triangle", "△"),
    "floor": ("square", "□"),
    "derived": ("diamond", "◇"),
}


@dataclass(frozen=True)
class Plot:
    """A drawn plot.

    Attributes:
        marks: what its marks mean, as (letter, meaning).
        undrawn: the rows its axes have no place for.
        unnamed: how many rows are drawn without their label beside them, for want of room.
        left_out: how many derived controls are not drawn, for want of room.
    """

    metric: str
    svg: Markup
    marks: tuple[tuple[str, str], ...]
    undrawn: tuple[str, ...]
    unnamed: int
    left_out: int


@dataclass(frozen=True)
class Point:
    """A row on the paper; the ends are those of its intervals."""

    label: str
    kind: str
    x: float
    y: float
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]


def plot(table: Table, metric: str, key: str) -> Plot | None:
    """Draw a metric of a table against L0; None where the table has no two points to draw.

    Args:
        table: whose rows are drawn, methods and controls.
        metric: the column on the vertical axis.
        key: prefix of every id in the SVG, unique on the page.
    """
    columns = {column.name: column for column in table.columns}
    if "l0" not in columns or metric not in columns:
        return None
    points = [point for row in _rows(table) if (point := _point(row, metric))]
    if len(points) < 2:
        return None
    shown, axes = _drawable(points)
    if len(shown) < 2:
        return None
    front = pareto(shown, columns[metric])
    named = _named(shown, front)
    svg = drawing.picture(
        _size(named), key, f"{metric} against L0", _description(shown, front, metric),
        _elements(shown, named, front, axes, columns[metric]),
    )  # fmt: skip
    marks = tuple((mark, kind) for kind, (_, mark) in KINDS.items() if any(p.kind == kind for p in shown))
    undrawn = tuple(_told(p, metric) for p in points if p not in shown)
    return Plot(metric, svg, marks, undrawn, len(shown) - len(named), len(table.rows) - len(_rows(table)))


def pareto(points: Sequence[Point], column: Column) -> list[Point]:
    """Return the methods that no other method beats with as few active latents, from the sparsest on."""
    if column.direction == "target":
        return []
    sign = 1 if column.direction == "up" else -1
    front: list[Point] = []
    for point in sorted((p for p in points if "method" in p.kind), key=lambda p: (p.x, -sign * p.y, p.label)):
        if not front or sign * point.y > sign * front[-1].y:
            front.append(point)
    return front


def _named(points: Sequence[Point], front: Sequence[Point]) -> list[Point]:
    """Return the points that get a label: all, or as many as there is room for, the front before the others."""
    order = list(KINDS)
    wanted = sorted(points, key=lambda p: (p not in front, order.index(p.kind), p.label))
    return wanted[:MOST]


def _rows(table: Table) -> list[Row]:
    """Return the rows to draw: controls derived from methods only where there is room to name all of them."""
    return [row for row in table.rows if row.role != "derived" or len(table.rows) <= MOST]


def _drawable(points: Sequence[Point]) -> tuple[list[Point], tuple[Axis, Axis]]:
    """Return the points that have a place near the methods, and the axes for them."""
    methods = [p.x for p in points if "method" in p.kind] or [p.x for p in points]
    shown = [p for p in points if min(methods) / NEAR <= p.x <= max(methods) * NEAR]
    y_log = wide([p.y for p in shown])
    shown = [p for p in shown if p.y > 0 or not y_log]
    x_log = wide([p.x for p in shown])
    shown = [p for p in shown if p.x > 0 or not x_log]
    # The low end of an interval may lie near 0, where a logarithmic axis would follow it for ever.
    x_values = [v for p in shown for v in (p.x, max(p.x_ends[0], p.x / 2) if x_log else p.x_ends[0], p.x_ends[1])]
    y_values = [v for p in shown for v in (p.y, max(p.y_ends[0], p.y / 2) if y_log else p.y_ends[0], p.y_ends[1])]
    return shown, (axis_of(x_values, x_log, WIDTH), axis_of(y_values, y_log, HEIGHT))


def _point(row: Row, metric: str) -> Point | None:
    x, y = row.scores["l0"], row.scores[metric]
    if x.value is None or y.value is None:
        return None
    kind = row.role or ("unranked method" if row.unranked else "method")
    x_ends = (x.value if x.lo is None else x.lo, x.value if x.hi is None else x.hi)
    y_ends = (y.value if y.lo is None else y.lo, y.value if y.hi is None else y.hi)
    return Point(row.label, kind, x.value, y.value, x_ends, y_ends)


def _description(points: Sequence[Point], front: Sequence[Point], metric: str) -> str:
    best = ", ".join(p.label for p in front)
    told = f"Not beaten at their sparsity: {best}. " if front else ""
    if len(points) <= MOST:
        return told + "; ".join(f"{p.kind} {_told(p, metric)}" for p in points)
    return f"{told}{len(points)} rows are drawn; the table above holds their numbers."


def _told(point: Point, metric: str) -> str:
    return f"{point.label} (L0 {formats.significant(point.x)}, {metric} {formats.significant(point.y)})"


def heights(points: Sequence[Point], axis: Axis) -> dict[str, float]:
    """Return a height for each label such that none covers another, as near to its point as that allows."""
    order = sorted(points, key=lambda point: (point.y, point.label))
    places = [axis.place(point.y) for point in order]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + LEADING)
    # Pushing up may have left the paper: then push the top ones down again, as far as needed.
    top = float(max(axis.pixels, LEADING * (len(places) - 1)))
    for i in range(len(places) - 1, -1, -1):
        places[i] = min(places[i], top)
        top = places[i] - LEADING
    return {point.label: axis.value(place) for point, place in zip(order, places, strict=True)}


def _size(named: Sequence[Point]) -> tuple[float, float]:
    longest = max(len(_short(p.label)) for p in named)
    return LEFT + WIDTH + 20 + LETTER * longest, TOP + HEIGHT + BELOW


def _short(label: str) -> str:
    return label if len(label) <= LETTERS else f"{label[: LETTERS - 1]}…"


def _elements(
    points: Sequence[Point], named: Sequence[Point], front: Sequence[Point], axes: tuple[Axis, Axis], column: Column
) -> list[str]:
    """Return everything inside the picture, from the back to the front."""
    x, y = axes
    at = {p.label: (LEFT + x.place(p.x), TOP + HEIGHT - y.place(p.y)) for p in points}
    found = [*_frame(x, y, column), drawing.path("whisker", "".join(_whiskers(p, at[p.label], axes) for p in points))]
    if len(front) > 1:
        steps = "".join(f"H{drawing.number(at[p.label][0])}V{drawing.number(at[p.label][1])}" for p in front[1:])
        found.append(drawing.path("front", f"M{' '.join(map(drawing.number, at[front[0].label]))}{steps}"))
    tags, edge = heights(named, y), LEFT + WIDTH + 10
    leaders = []
    for p in named:
        tag = TOP + HEIGHT - y.place(tags[p.label])
        leaders.append(f"M{' '.join(map(drawing.number, at[p.label]))}L{edge} {drawing.number(tag)}")
        found.append(drawing.words("label", (edge + 4, tag + 4), _short(p.label)))
    found.insert(0, drawing.path("leader", "".join(leaders)))
    marks = [drawing.mark(p.kind.split()[0], KINDS[p.kind][0], at[p.label], _told(p, column.name)) for p in points]
    return found + marks


def _whiskers(point: Point, at: tuple[float, float], axes: tuple[Axis, Axis]) -> str:
    """Return the two intervals of a point as lines, cut at the ends of the axes."""
    x, y = axes
    left, right = (drawing.number(LEFT + x.place(x.clip(end))) for end in point.x_ends)
    low, high = (drawing.number(TOP + HEIGHT - y.place(y.clip(end))) for end in point.y_ends)
    across = f"M{left} {drawing.number(at[1])}H{right}" if left != right else ""
    return across + (f"M{drawing.number(at[0])} {low}V{high}" if low != high else "")


def _frame(x: Axis, y: Axis, column: Column) -> list[str]:
    """Return grid, axes, ticks and titles."""
    bottom, right = TOP + HEIGHT, LEFT + WIDTH
    rows = [(bottom - y.place(tick), tick) for tick in y.ticks()]
    stops = [(LEFT + x.place(tick), tick) for tick in x.ticks()]
    grid = "".join(f"M{LEFT} {drawing.number(place)}H{right}" for place, _ in rows)
    notches = "".join(f"M{drawing.number(place)} {bottom}v4" for place, _ in stops)
    unit = "" if column.unit == "1" else f" ({column.unit})"
    return [
        drawing.path("grid", grid),
        drawing.path("axis", f"M{LEFT} {TOP}V{bottom}H{right}{notches}"),
        *(drawing.words("tick y", (LEFT - 6, place + 4), f"{tick:.4g}") for place, tick in rows),
        *(drawing.words("tick", (place, bottom + 16), f"{tick:.4g}") for place, tick in stops),
        drawing.words("title", (LEFT + WIDTH / 2, bottom + 34), "L0 (active latents per token)"),
        drawing.words("title", (12, TOP + HEIGHT / 2), f"{column.name}{unit}, {formats.better(column)}", turned=True),
    ]
