"""What the template draws: the dose–response of every arm, beside random directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.board import drawing
from harness.board.axes import Axis
from harness.reporting.steering import words
from harness.reporting.steering.findings import Findings, Point, Response, Table, Texts

WIDTH, HEIGHT, LEFT, TOP, BELOW, RIGHT = 270, 170, 56, 12, 44, 14


@dataclass(frozen=True)
class ResponseView:
    """One dose–response with its picture, where there is something to draw."""

    response: Response
    picture: Markup | None


@dataclass(frozen=True)
class TableView:
    """One table with its pictures; ``key`` begins every id of its part of the page."""

    key: str
    table: Table
    responses: tuple[ResponseView, ...]

    @property
    def texts(self) -> tuple[tuple[str, tuple[Texts, ...]], ...]:
        """Generations: of methods, and of controls."""
        found = self.table.texts
        methods, controls = (tuple(one for one in found if (one.role is None) == own) for own in (True, False))
        return ("methods", methods), ("controls", controls)


@dataclass(frozen=True)
class Scales:
    """The axes that pictures with the same kind of dose share."""

    dose: Axis
    change: Axis

    def at(self, dose: float, change: float) -> tuple[float, float]:
        """Return the place of a point on the paper."""
        return LEFT + self.dose.place(dose), TOP + HEIGHT - self.change.place(change)


def views(findings: Findings) -> tuple[TableView, ...]:
    """Return every table with its pictures."""
    return tuple(_table(table, f"t{i}") for i, table in enumerate(findings.tables))


def _table(table: Table, key: str) -> TableView:
    shared = {unit: scales([one for one in table.responses if one.unit == unit]) for unit in _units(table)}
    drawn = (
        ResponseView(one, picture(one, found, f"{key}-d{i}") if found and drawable(one) else None)
        for i, one in enumerate(table.responses)
        for found in [shared[one.unit]]
    )
    return TableView(key, table, tuple(drawn))


def _units(table: Table) -> set[str]:
    return {one.unit for one in table.responses}


def drawable(found: Response) -> list[tuple[float, Point]]:
    """Return the points that have a place: a dose and a change."""
    placed = [(one.dose, one) for one in found.points if one.dose is not None and one.change.value is not None]
    return sorted(placed, key=lambda one: one[0])


def scales(found: Sequence[Response]) -> Scales | None:
    """Return axes that hold every point, its band, and the lines of random directions; None without a point."""
    placed = [one for response in found for one in drawable(response)]
    most = max((dose for dose, _ in placed), default=0.0)
    if most <= 0:
        return None
    values = [end for _, one in placed for end in (one.change.value, one.change.lo, one.change.hi) if end is not None]
    values += [slope * most for response in found for slope in response.random]
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.06 * (high - low or 1.0)
    return Scales(Axis(0.0, 1.04 * most, False, WIDTH), Axis(low - room, high + room, False, HEIGHT))


def picture(found: Response, on: Scales, key: str) -> Markup:
    """Draw the change of ln p against the dose: random directions in grey, the band, the line, and a mark a dose."""
    placed = drawable(found)
    inside = list(_ground(on, found.unit))
    for slope in found.random:
        far = on.at(on.dose.high, slope * on.dose.high)
        inside.append(_line("random", [on.at(0.0, 0.0), far], f"random direction: slope {slope:+.3f}"))
    ends = [(dose, one.change.lo, one.change.hi) for dose, one in placed]
    banded = [(dose, lo, hi) for dose, lo, hi in ends if lo is not None and hi is not None]
    if banded:
        above = [on.at(0.0, 0.0), *(on.at(dose, hi) for dose, _, hi in banded)]
        below = [on.at(dose, lo) for dose, lo, _ in reversed(banded)]
        inside.append(_line("responded", [*above, *below], closed=True))
    values = [(dose, one.change.value or 0.0) for dose, one in placed]
    inside.append(_line("response", [on.at(0.0, 0.0), *(on.at(*value) for value in values)]))
    for (dose, one), value in zip(placed, values, strict=True):
        tip = f"dose {dose:.3g}: {words.figure(one.change, True)} {words.chosen(one, found)}".strip()
        inside.append(drawing.mark("method" if one.chosen else "unranked", "circle", on.at(*value), tip))
    size = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + BELOW)
    return drawing.picture(size, key, f"Dose–response of {found.label}", _told(placed), inside)


def _ground(on: Scales, unit: str) -> Iterator[str]:
    for tick in on.dose.ticks():
        at = LEFT + on.dose.place(tick)
        yield drawing.path("grid", f"M{drawing.number(at)} {TOP}v{HEIGHT}")
        yield drawing.words("tick", (at, TOP + HEIGHT + 16), f"{tick:g}")
    for tick in on.change.ticks():
        up = TOP + HEIGHT - on.change.place(tick)
        yield drawing.path("grid", f"M{LEFT} {drawing.number(up)}h{WIDTH}")
        yield drawing.words("tick y", (LEFT - 6, up + 4), f"{tick:g}")
    yield drawing.path("axis", f"M{LEFT} {TOP}v{HEIGHT}h{WIDTH}")
    yield drawing.path("zero", f"M{LEFT} {drawing.number(on.at(0.0, 0.0)[1])}h{WIDTH}")
    yield drawing.words("title", (LEFT + WIDTH / 2, TOP + HEIGHT + 36), f"dose: {unit}")
    yield drawing.words("title", (14, TOP + HEIGHT / 2), "change of ln p(word), nats", turned=True)


def _line(style: str, places: Sequence[tuple[float, float]], tip: str = "", closed: bool = False) -> str:
    points = (f"{drawing.number(x)} {drawing.number(y)}" for x, y in places)
    return drawing.path(style, f"M{'L'.join(points)}{'z' if closed else ''}", tip)


def _told(placed: Sequence[tuple[float, Point]]) -> str:
    return "; ".join(f"dose {dose:.3g}: {words.figure(one.change, True)}" for dose, one in placed)
