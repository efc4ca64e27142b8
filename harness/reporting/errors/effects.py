"""Effect sizes of single features beside what the largest of them is where groups exchange their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.board.pool import Entry
from harness.metrics.contract import Array
from harness.reporting.contract import Source
from harness.reporting.errors.findings import Effects, Feature
from harness.reporting.errors.places import place
from harness.specs.record import Record
from harness.store.records import BrokenRecordError

BARS, LISTED = 40, 10
THRESHOLD = "threshold of |d|"
TOP = ("mean of the largest |d|", "mean of the largest |d|, labels exchanged")


def effects(source: Source, entry: Entry) -> Effects:
    """Return the effect sizes of one row, from its first seed; with a reason where the record has none."""
    stored = source.stored(entry)
    try:
        columns = stored.latents()
    except BrokenRecordError as error:
        return _none(entry, str(error))
    if not {"block", "cohens_d", "hedges_g"} <= columns.keys() or len(columns["cohens_d"]) == 0:
        return _none(entry, "the record has no table of effect sizes")
    d_F = np.asarray(columns["cohens_d"], dtype=np.float64)
    threshold = entry.head.details.get(THRESHOLD)
    size_F = np.abs(d_F[np.isfinite(d_F)])
    null = _band(next(iter(entry.measured.values())).get("d_null"))
    edges = _edges(size_F, [threshold or 0.0, *(null or ())])
    counts = np.histogram(size_F, edges)[0] if len(size_F) else np.zeros(BARS, dtype=np.int64)
    return Effects(
        label=entry.label,
        features=len(d_F),
        constant=len(d_F) - len(size_F),
        largest=float(size_F.max()) if len(size_F) else None,
        threshold=threshold,
        null=null,
        above=0 if threshold is None else int((size_F > threshold).sum()),
        mean_top=_mean_top(entry.head),
        edges=tuple(edges.tolist()),
        counts=tuple(int(count) for count in counts),
        top=_top(stored.record, columns, threshold),
    )


def _none(entry: Entry, reason: str) -> Effects:
    return Effects(entry.label, 0, 0, None, None, None, 0, None, (), (), (), reason)


def _band(null: Array | None) -> tuple[float, float, float] | None:
    if null is None or null.size == 0:
        return None
    lo, middle, hi = np.quantile(null, [0.025, 0.5, 0.975])
    return float(lo), float(middle), float(hi)


def _edges(size_F: Array, also: list[float]) -> Array:
    highest = max(float(size_F.max(initial=0.0)), *also) or 1.0
    return np.linspace(0.0, highest * 1.02, BARS + 1)


def _mean_top(record: Record) -> tuple[float, float] | None:
    own, null = (record.details.get(name) for name in TOP)
    return None if own is None or null is None else (own, null)


def _top(record: Record, columns: Mapping[str, NDArray[Any]], threshold: float | None) -> tuple[Feature, ...]:
    d_F = columns["cohens_d"]
    order = np.argsort(-np.abs(np.nan_to_num(d_F)), kind="stable")[:LISTED]
    return tuple(_feature(record, columns, int(i), threshold) for i in order if np.isfinite(d_F[i]))


def _feature(record: Record, columns: Mapping[str, NDArray[Any]], i: int, threshold: float | None) -> Feature:
    d = float(columns["cohens_d"][i])
    auroc, fire_gap = (float(columns[name][i]) if name in columns else None for name in ("auroc", "fire_gap"))
    return Feature(
        index=i,
        place=place(record, int(columns["block"][i])),
        d=d,
        g=float(columns["hedges_g"][i]),
        above=threshold is not None and abs(d) > threshold,
        auroc=auroc,
        fire_gap=fire_gap,
    )
