"""The documents of a table on two axes, one picture for each method, coloured by class; drawn at build time."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import numpy as np
import vl_convert

from harness.board.chart import GRID, INK, MUTED
from harness.board.rows import DocumentMap, Row, Table
from harness.board.svg import safe_svg

SIZE = 240
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")


@dataclass(frozen=True)
class Picture:
    """A drawn map of one row."""

    label: str
    svg: str


def pictures(table: Table, key: str) -> tuple[Picture, ...]:
    """Draw the map of every method and ceiling of a table; ``key`` begins every id in the SVG."""
    rows = [row for row in table.rows if row.map and row.role in (None, "ceiling")]
    return tuple(_picture(row, row.map, f"{key}-map-{i}") for i, row in enumerate(rows) if row.map)


def _picture(row: Row, found: DocumentMap, key: str) -> Picture:
    drawn = vl_convert.vegalite_to_svg(_spec(found))
    counts = {name: found.label.count(name) for name in sorted(set(found.label))}
    told = ", ".join(f"{count} of {name}" for name, count in counts.items())
    return Picture(row.label, safe_svg(drawn, key, f"documents as coded by {row.label}", f"{told}"))


def _spec(found: DocumentMap) -> str:
    """Return the picture in Vega-Lite's JSON."""
    classes = sorted(set(found.label))
    values = [
        {"x": round(x, 4), "y": round(y, 4), "class": name}
        for x, y, name in zip(found.x, found.y, found.label, strict=True)
    ]
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(classes))]
    legend = alt.Legend(title=None, labelColor=INK, labelFontSize=11)
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_point(size=26, strokeWidth=1.2, fillOpacity=0)
        .encode(
            x=alt.X("x:Q", scale=_scale(found.x), axis=_axis("first principal axis")),
            y=alt.Y("y:Q", scale=_scale(found.y), axis=_axis("second principal axis")),
            stroke=alt.Stroke("class:N", scale=alt.Scale(domain=classes, scheme="tableau20"), legend=legend),
            shape=alt.Shape("class:N", scale=alt.Scale(domain=classes, range=shapes), legend=legend),
        )
        .properties(width=SIZE, height=SIZE, background="transparent", padding=6)
    )
    text: str = chart.configure(aria=False, font="sans-serif").configure_view(stroke=GRID).to_json()
    return text


def _scale(values: tuple[float, ...]) -> alt.Scale:
    low, high = float(np.min(values)), float(np.max(values))
    pad = (high - low or 1.0) * 0.05
    return alt.Scale(domain=[low - pad, high + pad], nice=False, zero=False)


def _axis(title: str) -> alt.Axis:
    return alt.Axis(
        title=title, grid=False, ticks=False, labels=False, domainColor=MUTED, titleColor=INK,
        titleFontWeight="normal", titleFontSize=11,
    )  # fmt: skip
