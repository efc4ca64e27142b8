"""How a metric spreads over clusters: its value on each of them alone, as a small drawing and a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.board.formats import significant
from harness.metrics.contract import Array, Metric, NotComputableError, Parts, clusters

WIDTH, HEIGHT, BINS = 168, 34, 24


@dataclass(frozen=True)
class Spread:
    """A histogram as one SVG path, the ends of its axis, and what it shows in words."""

    path: str
    low: str
    high: str
    summary: str


def spreads(metrics: Iterable[Metric], parts: Parts) -> dict[str, Spread]:
    """Return the spread of every metric whose interval is over clusters and that has a value on two of them.

    The metrics must have a value on the parts as a whole.
    """
    w_CC = np.eye(clusters(parts))
    found = {metric.name: _spread(metric, parts, w_CC) for metric in metrics if metric.interval == "clusters"}
    return {name: spread for name, spread in found.items() if spread}


def _spread(metric: Metric, parts: Parts, w_CC: Array) -> Spread | None:
    try:
        # A cluster on which the metric has no value gives what is not finite; it is counted below.
        with np.errstate(all="ignore"):
            value_C = np.asarray(metric.value(parts, w_CC), dtype=np.float64)
    except (NotComputableError, ValueError):
        return None
    finite = value_C[np.isfinite(value_C)]
    return None if value_C.shape != w_CC.shape[:1] or finite.size < 2 else _drawn(finite, value_C.size - finite.size)


def _drawn(values: Array, left_out: int) -> Spread:
    ordered = np.sort(values)
    low, first, middle, third, high = (float(ordered[round(q * (ordered.size - 1))]) for q in (0, 0.1, 0.5, 0.9, 1))
    # Values that differ by rounding alone are one value, and a histogram needs some width.
    wide = (low, high) if high - low > 1e-9 * max(abs(low), abs(high)) else (low - 0.5, low + 0.5)
    place_N = ((ordered - wide[0]) * (BINS / (wide[1] - wide[0]))).astype(np.intp)
    counts = np.bincount(np.minimum(place_N, BINS - 1), minlength=BINS).tolist()
    step, scale = WIDTH / BINS, HEIGHT / max(counts)
    bars = [
        f"M{i * step + 0.5:.4g} {HEIGHT}v{-count * scale:.3g}h{step - 1:.3g}V{HEIGHT}"
        for i, count in enumerate(counts)
        if count
    ]
    without = f", no value on {left_out} more" if left_out else ""
    summary = (
        f"{values.size} clusters{without}; median {significant(middle)}, "
        f"80 % from {significant(first)} to {significant(third)}"
    )
    return Spread("".join(bars), significant(wide[0]), significant(wide[1]), summary)
