"""The plot of quality against sparsity of one table, drawn at build time as SVG that is safe to put into a page."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import altair as alt
import vl_convert

from harness.board import formats
from harness.board.rows import Column, Row, Table

WIDTH, HEIGHT = 320, 250
# Pixels between the lines of two labels.
LEADING = 13
# A range of this factor is unreadable on a linear axis.
WIDE = 10.0
# Colours that the page's style sheet finds and replaces where the reader prefers a dark page.
INK, MUTED, GRID, ACCENT = "#1c2430", "#566070", "#dde2e8", "#1b5fa7"
KINDS = {
    "method": ("circle", ACCENT, ACCENT),
    "method, unranked": ("circle", ACCENT, "transparent"),
    "ceiling": ("triangle-up", MUTED, "transparent"),
    "floor": ("square", MUTED, "transparent"),
    "derived": ("diamond", MUTED, "transparent"),
}
_SVG = "http://www.w3.org/2000/svg"
_TAGS = {"svg", "g", "path", "rect", "line", "text", "tspan", "defs", "clipPath", "circle"}
_ATTRIBUTES = re.compile(r"[a-zA-Z-]+")
_REFERENCE = re.compile(r"url\(#([\w-]+)\)")


@dataclass(frozen=True)
class Plot:
    """A drawn plot, and the rows it could not show on its axes."""

    metric: str
    svg: str
    undrawn: tuple[str, ...]


@dataclass(frozen=True)
class _Point:
    label: str
    kind: str
    x: float
    y: float
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]


@dataclass(frozen=True)
class _Axis:
    """An axis whose place on the paper is known, so that labels can be kept apart."""

    low: float
    high: float
    log: bool
    pixels: int

    def place(self, value: float) -> float:
        """Return the pixels from the low end."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return (at - low) / (high - low) * self.pixels

    def value(self, place: float) -> float:
        """Return the value at so many pixels from the low end."""
        low, high = (math.log(v) if self.log else v for v in (self.low, self.high))
        at = low + place / self.pixels * (high - low)
        return math.exp(at) if self.log else at

    def clip(self, value: float) -> float:
        """Return the value, or the end of the axis it lies beyond."""
        return min(max(value, self.low), self.high)


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
    y_log = _wide([point.y for point in points])
    shown = [point for point in points if point.y > 0 or not y_log]
    x_log = _wide([point.x for point in shown])
    shown = [point for point in shown if point.x > 0 or not x_log]
    axes = (
        _axis([v for p in shown for v in (p.x, *p.x_ends)], x_log, WIDTH),
        _axis([v for p in shown for v in (p.y, *p.y_ends)], y_log, HEIGHT),
    )
    drawn = vl_convert.vegalite_to_svg(_spec(shown, axes, columns[metric]))
    undrawn = tuple(
        f"{p.label} (L0 {formats.significant(p.x)}, {metric} {formats.significant(p.y)})"
        for p in points
        if p not in shown
    )
    return Plot(metric, _safe(drawn, key, f"{metric} against L0", _description(shown, metric)), undrawn)


def _point(row: Row, metric: str) -> _Point | None:
    x, y = row.scores["l0"], row.scores[metric]
    if x.value is None or y.value is None:
        return None
    kind = row.role or ("method, unranked" if row.unranked else "method")
    x_ends = (x.value if x.lo is None else x.lo, x.value if x.hi is None else x.hi)
    y_ends = (y.value if y.lo is None else y.lo, y.value if y.hi is None else y.hi)
    return _Point(row.label, kind, x.value, y.value, x_ends, y_ends)


def _wide(values: Sequence[float]) -> bool:
    """Say whether values need a logarithmic axis; those that cannot be on one are then named under the plot."""
    above = [value for value in values if value > 0]
    return len(above) > 1 and min(values) >= 0 and max(above) / min(above) > WIDE


def _axis(values: Sequence[float], log: bool, pixels: int) -> _Axis:
    if log:
        above = [value for value in values if value > 0]
        return _Axis(min(above) / 1.25, max(above) * 1.25, True, pixels)
    low, high = min(values), max(values)
    pad = (high - low or abs(high) or 1.0) * 0.08
    # Near enough to 0 that leaving it out would mislead more than it helps.
    start = 0.0 if 0 <= low < high / 2 else low - pad
    return _Axis(start, high + pad, False, pixels)


def _description(points: Sequence[_Point], metric: str) -> str:
    told = (f"{p.label}, {p.kind}: L0 {formats.significant(p.x)}, {metric} {formats.significant(p.y)}" for p in points)
    return "; ".join(told)


def _dodged(points: Sequence[_Point], axis: _Axis) -> dict[str, float]:
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


def _spec(points: Sequence[_Point], axes: tuple[_Axis, _Axis], column: Column) -> str:
    """Return the plot in Vega-Lite's JSON."""
    heights = _dodged(points, axes[1])
    x_axis, y_axis = axes
    values = [
        {
            "label": p.label, "kind": p.kind, "x": p.x, "y": p.y, "tag": heights[p.label],
            "x_lo": x_axis.clip(p.x_ends[0]), "x_hi": x_axis.clip(p.x_ends[1]),
            "y_lo": y_axis.clip(p.y_ends[0]), "y_hi": y_axis.clip(p.y_ends[1]),
        }
        for p in points
    ]  # fmt: skip
    unit = "" if column.unit == "1" else f" ({column.unit})"
    x = alt.X("x:Q", scale=_scale(x_axis), axis=_guide("L0 (active latents per token)"))
    y = alt.Y("y:Q", scale=_scale(y_axis), axis=_guide(f"{column.name}{unit}, {formats.better(column)}"))
    base = alt.Chart(alt.Data(values=values)).encode(x=x, y=y)
    edge = alt.value(WIDTH + 10)
    layers = alt.layer(
        base.mark_rule(stroke=GRID, strokeWidth=1).encode(x2=edge, y2="tag:Q"),
        base.mark_rule(stroke=MUTED, strokeWidth=1).encode(y="y_lo:Q", y2="y_hi:Q"),
        base.mark_rule(stroke=MUTED, strokeWidth=1).encode(x="x_lo:Q", x2="x_hi:Q"),
        _marks(base),
        base.mark_text(align="left", dx=4, fontSize=11, fill=INK).encode(x=edge, y="tag:Q", text="label:N"),
    )
    chart = layers.properties(width=WIDTH, height=HEIGHT, background="transparent")
    text: str = chart.configure(aria=False, font="sans-serif").configure_view(stroke=GRID).to_json()
    return text


def _marks(base: alt.Chart) -> alt.Chart:
    names = list(KINDS)
    legend = alt.Legend(title=None, orient="top", labelColor=INK, labelFontSize=11, symbolSize=60)

    def scale(index: int) -> alt.Scale:
        return alt.Scale(domain=names, range=[kind[index] for kind in KINDS.values()])

    return base.mark_point(size=60, strokeWidth=1.5, opacity=1).encode(
        shape=alt.Shape("kind:N", scale=scale(0), legend=legend),
        stroke=alt.Stroke("kind:N", scale=scale(1), legend=legend),
        fill=alt.Fill("kind:N", scale=scale(2), legend=legend),
    )


def _scale(axis: _Axis) -> alt.Scale:
    return alt.Scale(type="log" if axis.log else "linear", domain=[axis.low, axis.high], nice=False, zero=False)


def _guide(title: str) -> alt.Axis:
    return alt.Axis(
        title=title, format="~g", tickCount=5, gridColor=GRID, domainColor=MUTED, tickColor=MUTED,
        labelColor=MUTED, titleColor=INK, titleFontWeight="normal", titleFontSize=11, labelFontSize=11,
    )  # fmt: skip


def _safe(svg: str, key: str, title: str, description: str) -> str:
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
    # Inline style is refused by the page's policy; handlers and links have no place in a picture.
    return (
        bool(_ATTRIBUTES.fullmatch(name))
        and name != "style"
        and not name.startswith(("on", "aria-"))
        and name != "href"
    )


def _local(value: str, key: str) -> str:
    return _REFERENCE.sub(rf"url(#{key}-\1)", value)
