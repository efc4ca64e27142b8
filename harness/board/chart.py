"""The plot of quality against sparsity of one table, drawn at build time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import vl_convert

from harness.board import formats
from harness.board.axes import Axis, axis_of, wide
from harness.board.rows import Column, Row, Table
from harness.board.svg import safe_svg

WIDTH, HEIGHT = 320, 250
# Pixels between the lines of two labels.
LEADING = 13
# Rows whose L0 is further than this factor from every method's are named beside the plot instead of squeezing it.
NEAR = 2.0
# Colours that the page's style sheet finds and replaces where the reader prefers a dark page.
INK, MUTED, GRID, LEADER, ACCENT = "#1c2430", "#566070", "#dde2e8", "#b9c1cc", "#1b5fa7"
# Shape, stroke, fill, and the letter that looks like it in the text under the plot.
KINDS = {
    "method": ("circle", ACCENT, ACCENT, "●"),
    "unranked method": ("circle", ACCENT, "transparent", "○"),
    "ceiling": ("triangle-up", MUTED, "transparent", "△"),
    "floor": ("square", MUTED, "transparent", "□"),
    "derived": ("diamond", MUTED, "transparent", "◇"),
}


@dataclass(frozen=True)
class Plot:
    """A drawn plot, its marks as (letter, meaning), and the rows its axes have no place for."""

    metric: str
    svg: str
    marks: tuple[tuple[str, str], ...]
    undrawn: tuple[str, ...]


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
    points = [point for row in table.rows if (point := _point(row, metric))]
    if len(points) < 2:
        return None
    shown, axes = _drawable(points)
    if len(shown) < 2:
        return None
    drawn = vl_convert.vegalite_to_svg(_spec(shown, axes, columns[metric]))
    svg = safe_svg(drawn, key, f"{metric} against L0", _description(shown, metric))
    marks = tuple((mark, kind) for kind, (*_, mark) in KINDS.items() if any(p.kind == kind for p in shown))
    return Plot(metric, svg, marks, tuple(_told(p, metric) for p in points if p not in shown))


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


def _description(points: Sequence[Point], metric: str) -> str:
    return "; ".join(f"{p.kind} {_told(p, metric)}" for p in points)


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


def _spec(points: Sequence[Point], axes: tuple[Axis, Axis], column: Column) -> str:
    """Return the plot in Vega-Lite's JSON."""
    tags = heights(points, axes[1])
    x_axis, y_axis = axes
    values = [
        {
            "label": p.label, "kind": p.kind, "x": p.x, "y": p.y, "tag": tags[p.label],
            "x_lo": x_axis.clip(p.x_ends[0]), "x_hi": x_axis.clip(p.x_ends[1]),
            "y_lo": y_axis.clip(p.y_ends[0]), "y_hi": y_axis.clip(p.y_ends[1]),
        }
        for p in points
    ]  # fmt: skip
    unit = "" if column.unit == "1" else f" ({column.unit})"
    title = f"{column.name}{unit}, {formats.better(column)}"
    x = alt.X("x:Q", scale=_scale(x_axis), axis=_guide(x_axis, "L0 (active latents per token)", False))
    y = alt.Y("y:Q", scale=_scale(y_axis), axis=_guide(y_axis, title, True))
    base = alt.Chart(alt.Data(values=values)).encode(x=x, y=y)
    edge = alt.value(WIDTH + 10)
    layers = alt.layer(
        base.mark_rule(stroke=LEADER, strokeWidth=0.75).encode(x2=edge, y2="tag:Q"),
        base.mark_rule(stroke=MUTED, strokeWidth=1).encode(y="y_lo:Q", y2="y_hi:Q"),
        base.mark_rule(stroke=MUTED, strokeWidth=1).encode(x="x_lo:Q", x2="x_hi:Q"),
        _marks(base),
        base.mark_text(align="left", dx=4, fontSize=11, fill=INK).encode(x=edge, y="tag:Q", text="label:N"),
    )
    # Fonts differ between where labels are measured and where they are read.
    spare = 2 * max(len(p.label) for p in points)
    padding = {"left": 6, "right": 6 + spare, "top": 6, "bottom": 6}
    chart = layers.properties(width=WIDTH, height=HEIGHT, background="transparent", padding=padding)
    text: str = chart.configure(aria=False, font="sans-serif").configure_view(stroke=GRID).to_json()
    return text


def _marks(base: alt.Chart) -> alt.Chart:
    names = list(KINDS)

    def scale(index: int) -> alt.Scale:
        return alt.Scale(domain=names, range=[kind[index] for kind in KINDS.values()])

    return base.mark_point(size=60, strokeWidth=1.5, opacity=1).encode(
        shape=alt.Shape("kind:N", scale=scale(0), legend=None),
        stroke=alt.Stroke("kind:N", scale=scale(1), legend=None),
        fill=alt.Fill("kind:N", scale=scale(2), legend=None),
    )


def _scale(axis: Axis) -> alt.Scale:
    return alt.Scale(type="log" if axis.log else "linear", domain=[axis.low, axis.high], nice=False, zero=False)


def _guide(axis: Axis, title: str, grid: bool) -> alt.Axis:
    ticks = {"values": axis.decades()} if axis.log else {"tickCount": 5}
    return alt.Axis(
        title=title, format=".4~g", grid=grid, gridColor=GRID, domainColor=MUTED, tickColor=MUTED,
        labelColor=MUTED, titleColor=INK, titleFontWeight="normal", titleFontSize=11, labelFontSize=11, **ticks,
    )  # fmt: skip
