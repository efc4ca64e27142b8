"""From two entries of a table to the evidence of a loss under one metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from harness.board.pairs import Pair
from harness.board.pool import Entry
from harness.gates.evidence import Evidence, Spread, over_clusters, over_seeds
from harness.metrics.contract import Array, Metric, NotComputableError, Parts, clusters
from harness.specs.reliability import ReliabilityCard
from harness.stats.summary import metric_pseudo_values, obstacle

UNSEEN = "one seed a side: the interval does not see how much seeds vary"
# What a reliability card calls detectable is told apart two-sided at 5 % with 80 % power.
DETECTABLE = float(stats.norm.isf(0.025) + stats.norm.ppf(0.8))


@dataclass(frozen=True)
class Loss:
    """A metric's values before and after, means over seeds, and the evidence of a loss."""

    before: float | None
    after: float | None
    evidence: Evidence


def loss(metric: Metric, pair: Pair, card: ReliabilityCard | None = None) -> Loss:
    """Return how much worse the run (``pair.a``) is than the baseline (``pair.b``) under a metric.

    Args:
        metric: with an interval over clusters or seeds.
        pair: the method in both folders.
        card: the metric's reliability card on this table; it gives the noise of seeds where each side has one.
    """
    run, base = pair.a.measured, pair.b.measured
    before, after = _mean(metric, base), _mean(metric, run)
    reason = _obstacle(metric, run, base)
    if reason is not None:
        found = _none(metric, run, base, reason)
        return Loss(before, after, replace(found, how="lost") if before is not None and after is None else found)
    return Loss(before, after, _evidence(metric, run, base, _varies(pair.a) or _varies(pair.b), card))


def _mean(metric: Metric, parts: Mapping[int, Parts]) -> float | None:
    values = [metric.point(found)[0] for found in parts.values()]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _varies(entry: Entry) -> bool:
    return entry.head.method.seeded or entry.role == "derived"


def _obstacle(metric: Metric, run: Mapping[int, Parts], base: Mapping[int, Parts]) -> str | None:
    for side, parts in (("run", run), ("baseline", base)):
        if not parts:
            return f"no measured cell in the {side}"
        reason = obstacle(metric, list(parts.values()))
        if reason is not None:
            return f"no value in the {side}: {reason}"
    counts = {clusters(parts) for side in (run, base) for parts in side.values()}
    return f"the cells have {' and '.join(map(str, sorted(counts)))} clusters" if len(counts) > 1 else None


def _none(metric: Metric, run: Mapping[int, Parts], base: Mapping[int, Parts], reason: str) -> Evidence:
    return Evidence(None, metric.direction == "target", "none", (len(run), len(base)), 0, reason=reason)


def _evidence(
    metric: Metric, run: Mapping[int, Parts], base: Mapping[int, Parts], seeded: bool, card: ReliabilityCard | None
) -> Evidence:
    target = metric.direction == "target"
    turn = 1 if target else -metric.sign
    count = clusters(next(iter(run.values())))
    if metric.interval == "seeds":
        found = over_seeds(_values(metric, run, turn), _values(metric, base, turn), count, target)
        # Without randomness there is no other seed it could have been: the difference is what it is.
        return found if seeded or found.how != "none" else replace(found, how="constant", reason=None)
    try:
        found = over_clusters(_pseudo(metric, run, turn), _pseudo(metric, base, turn), target)
    except (NotComputableError, ValueError) as error:
        return _none(metric, run, base, str(error))
    return _one_seed(found, card) if seeded and found.how == "clusters" else found


def _values(metric: Metric, parts: Mapping[int, Parts], turn: int) -> dict[int, float]:
    return {seed: turn * float(metric.value(found, np.ones(clusters(found)))) for seed, found in parts.items()}


def _pseudo(metric: Metric, parts: Mapping[int, Parts], turn: int) -> dict[int, Array]:
    rows = turn * metric_pseudo_values(metric, list(parts.values()))
    if not np.isfinite(rows).all():
        raise NotComputableError("not computable when one cluster is left out")
    return dict(zip(parts, rows, strict=True))


def _one_seed(found: Evidence, card: ReliabilityCard | None) -> Evidence:
    """Widen the spread of one seed a side by what the card knows; say what is not seen where there is no card."""
    detectable = None if card is None else card.detectable.get(1)
    if detectable is None or found.passing is None:
        return replace(found, reason=UNSEEN)
    own = found.passing
    se = max(own.se, detectable / DETECTABLE)
    wide = Spread(se, own.df, own.of_clusters * (own.se / se) ** 2)
    return replace(found, how="card", passing=wide, failing=(wide,))
