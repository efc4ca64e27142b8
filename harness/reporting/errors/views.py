"""What the template draws of every method: its findings with their pictures, and shades for the maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from harness.board import drawing, formats
from harness.board.axes import Axis
from harness.reporting.errors.findings import Bin, Calibration, Effects, Examples, Findings, Localisation, Table

WIDTH, HEIGHT, LEFT, TOP, BELOW = 420, 200, 52, 12, 44
SIDE = 240


@dataclass(frozen=True)
class MethodView:
    """One method of a table; ``key`` begins every id of its part of the page."""

    key: str
    label: str
    localisation: Localisation
    effects: Effects
    effects_svg: Markup | None
    calibration: Calibration
    calibration_svg: Markup
    examples: Examples


@dataclass(frozen=True)
class TableView:
    """One table with its methods."""

    key: str
    table: Table
    methods: tuple[MethodView, ...]


def views(findings: Findings) -> tuple[TableView, ...]:
    """Return every table with the pictures of its methods."""
    return tuple(TableView(f"t{i}", table, tuple(_methods(table, f"t{i}"))) for i, table in enumerate(findings.tables))


def _methods(table: Table, key: str) -> Iterator[MethodView]:
    by_method = zip(table.localisations, table.effects, table.calibrations, table.examples, strict=True)
    for j, (place, sizes, calibrated, told) in enumerate(by_method):
        own = f"{key}-m{j}"
        drawn = effects_svg(sizes, f"{own}-d") if sizes.counts else None
        yield MethodView(
            own, sizes.label, place, sizes, drawn, calibrated, calibration_svg(calibrated, f"{own}-c"), told
        )


def effects_svg(found: Effects, key: str) -> Markup:
    """Draw how many features have which |d|, on a scale of squares, with what noise gives for the largest."""
    x = Axis(found.edges[0], found.edges[-1], False, WIDTH)
    most = max(*found.counts, 1)
    # Heights go by the square root: one feature beyond the threshold is what the picture is about.
    step = WIDTH / len(found.counts)
    inside = list(_grid(x, "|d|: absolute effect size of a feature"))
    if found.null is not None:
        lo, middle, hi = (LEFT + x.place(value) for value in found.null)
        tip = f"largest |d| under exchanged labels: 95 % from {found.null[0]:.3f} to {found.null[2]:.3f}"
        inside.append(drawing.path("band", _box(lo, TOP, hi - lo, HEIGHT), tip))
        inside.append(drawing.path("middle", f"M{drawing.number(middle)} {TOP}v{HEIGHT}"))
    for i, count in enumerate(found.counts):
        if count:
            tall = max((count / most) ** 0.5 * HEIGHT, 2)
            tip = f"|d| from {found.edges[i]:.3f} to {found.edges[i + 1]:.3f}: {count}"
            place = _box(LEFT + i * step + 0.5, TOP + HEIGHT - tall, step - 1, tall)
            inside.append(drawing.path("bar", place, tip))
    if found.threshold is not None:
        at = LEFT + x.place(found.threshold)
        inside.append(drawing.path("threshold", f"M{drawing.number(at)} {TOP}v{HEIGHT}", "threshold"))
    for count in {most, max(most // 4, 1)}:
        up = TOP + HEIGHT * (1 - (count / most) ** 0.5)
        inside.append(drawing.words("tick y", (LEFT - 6, up + 4), f"{count}"))
    size = (LEFT + WIDTH + 14, TOP + HEIGHT + BELOW)
    return drawing.picture(size, key, f"Effect sizes of {found.label}", _told(found), inside)


def _told(found: Effects) -> str:
    largest = formats.DASH if found.largest is None else f"{found.largest:.3f}"
    threshold = formats.DASH if found.threshold is None else f"{found.threshold:.3f}"
    return (
        f"{found.features} features; the largest |d| is {largest}, the threshold {threshold}; {found.above} exceed it"
    )


def _grid(x: Axis, title: str, height: int = HEIGHT) -> Iterator[str]:
    for tick in x.ticks():
        at = LEFT + x.place(tick)
        yield drawing.path("grid", f"M{drawing.number(at)} {TOP}v{height}")
        yield drawing.words("tick", (at, TOP + height + 16), f"{tick:g}")
    yield drawing.path("axis", f"M{LEFT} {TOP}v{height}h{x.pixels}")
    yield drawing.words("title", (LEFT + x.pixels / 2, TOP + height + 36), title)


def _box(x: float, y: float, width: float, height: float) -> str:
    x, y, width, height = (round(value, 1) for value in (x, y, width, height))
    return f"M{x:g} {y:g}h{width:g}v{height:g}h{-width:g}z"


def calibration_svg(found: Calibration, key: str) -> Markup:
    """Draw the share wrong against the probability, with intervals and the diagonal of a calibrated probe."""
    x = Axis(0.0, 1.0, False, SIDE)
    inside = list(_grid(x, "P(wrong), mean of the answers in a tenth", SIDE))
    for tick in x.ticks():
        inside.append(drawing.path("grid", f"M{LEFT} {drawing.number(TOP + SIDE - x.place(tick))}h{SIDE}"))
        inside.append(drawing.words("tick y", (LEFT - 6, TOP + SIDE - x.place(tick) + 4), f"{tick:g}"))
    inside.append(drawing.path("front", f"M{LEFT} {TOP + SIDE}l{SIDE} -{SIDE}"))
    inside.append(drawing.words("title", (14, TOP + SIDE / 2), "share wrong", turned=True))
    for one in found.bins:
        inside += _point(one, x)
    told = "; ".join(
        f"{one.n} answers at {one.mean:.2f}: {one.share.value:.2f} wrong"
        for one in found.bins
        if one.mean is not None and one.share.value is not None
    )
    size = (LEFT + SIDE + 24, TOP + SIDE + BELOW)
    return drawing.picture(size, key, f"Calibration of {found.label}", told, inside)


def _point(one: Bin, x: Axis) -> Iterator[str]:
    if one.mean is None or one.share.value is None:
        return
    at, up = LEFT + x.place(one.mean), TOP + SIDE - x.place(one.share.value)
    if one.share.lo is not None and one.share.hi is not None:
        high, low = (TOP + SIDE - x.place(end) for end in (one.share.hi, one.share.lo))
        yield drawing.path("whisker", f"M{drawing.number(at)} {drawing.number(high)}V{drawing.number(low)}")
    yield drawing.mark(
        "method", "circle", (at, up), f"{one.n} answers: said {one.mean:.2f}, {one.share.value:.2f} wrong"
    )
