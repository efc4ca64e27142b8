"""Dose–response: how likely the words of the task are at every dose, beside the slopes of random directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.board.pool import Entry
from harness.metrics.contract import Array, Parts
from harness.reporting.contract import Measure, Source
from harness.reporting.rows import in_order, mean_of, number
from harness.reporting.steering.arms import details, unedited, unit
from harness.reporting.steering.findings import Point, Response

NEEDED = ("willing", "answered")
_RULED_OUT = "a word of the task cannot begin at this dose: its probability is 0"
_NO_PARTS = "the record has no dose–response"


def responses(source: Source) -> tuple[Response, ...]:
    """Return the dose–response of every row that changes something."""
    return tuple(_response(entry) for entry in in_order(source) if not unedited(entry))


def _response(entry: Entry) -> Response:
    held = list(entry.measured.values())
    reason = _reason(held)
    levels = [] if reason else [_levels(held, dose) for dose in range(held[0]["willing"].shape[1])]
    points = tuple(_point(details(entry), i, *found) for i, found in enumerate(levels) if i > 0)
    return Response(
        label=entry.label,
        role=entry.role,
        seeds=len(held),
        unit=unit(entry),
        start=levels[0][0] if levels else Measure(None, reason=reason),
        points=points,
        slope=number(entry, "dose_slope"),
        random=() if reason else _random(held),
        reason=reason,
    )


def _reason(held: Sequence[Parts]) -> str | None:
    if not all(set(NEEDED) <= parts.keys() and parts["willing"].ndim == 2 for parts in held):
        return _NO_PARTS
    if len({parts["willing"].shape[1] for parts in held}) > 1:
        return "its seeds tried different numbers of doses"
    return None


def _levels(held: Sequence[Parts], dose: int) -> tuple[Measure, Measure]:
    """Return the mean at one dose, and its change from no dose, paired over clusters."""
    sums = [{**_plain(parts), "level": parts["willing"][:, dose], "change": _change(parts, dose)} for parts in held]
    if not all(np.isfinite(one["level"]).all() for one in sums):
        return Measure(None, reason=_RULED_OUT), Measure(None, reason=_RULED_OUT)
    return mean_of(sums, "level", "answered"), mean_of(sums, "change", "answered")


def _plain(parts: Parts) -> dict[str, Array]:
    return {name: parts[name] for name in ("n", "answered")}


def _change(parts: Parts, dose: int) -> Array:
    with np.errstate(invalid="ignore"):  # of two probabilities of 0, which are told apart by the level
        return np.asarray(parts["willing"][:, dose] - parts["willing"][:, 0])


def _point(every: Sequence[Mapping[str, float]], number: int, level: Measure, change: Measure) -> Point:
    def mean(name: str) -> float | None:
        found = [one.get(f"{name}, try {number}") for one in every]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if len(known) == len(found) else None

    return Point(
        strength=mean("strength"),
        dose=mean("dose"),
        level=level,
        change=change,
        hm=mean("val hm"),
        accuracy=mean("val accuracy"),
        reflect_rate=mean("val reflect rate"),
        chosen=sum(one.get("chosen try") == number for one in every),
    )


def _random(held: Sequence[Parts]) -> tuple[float, ...]:
    """Return the mean slope of every random direction; the same directions in every seed."""
    found = [
        parts["slope_random"].sum(0) / parts["answered"].sum()
        for parts in held
        if "slope_random" in parts and parts["answered"].sum() > 0
    ]
    if len(found) < len(held) or len({one.shape for one in found}) > 1:
        return ()
    return tuple(float(value) for value in np.mean(found, axis=0))
