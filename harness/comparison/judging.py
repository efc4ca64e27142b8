"""From numbers to verdicts: all metrics of a table are one family, and only an interval can carry a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.board.pairs import Pair
from harness.comparison.findings import Gap, Margin, MetricFinding, Needed, Verdict
from harness.comparison.measuring import Numbers, gap
from harness.comparison.places import places
from harness.metrics.contract import Array
from harness.stats.families import min_p
from harness.stats.multiplicity import holm
from harness.stats.paired import non_inferior
from harness.stats.power import clusters_needed, seeds_needed
from harness.stats.ties import scaled_t, welch_holm

ALPHA = 0.05
# A cluster with more than this share of the spread decides the interval alone; among very few, one always has it.
CARRIES = 0.5
MANY = 10


@dataclass(frozen=True)
class Questions:
    """What a comparison is asked besides which side is better, by metric.

    Attributes:
        margins: how much worse A may be.
        deltas: a true difference for which the data it needs is to be told.
        diagnostic: why a metric is not trusted on this table.
        few_seeds: why the seeds of a side are too few to call one better; empty where they are not.
    """

    margins: Mapping[str, float] = field(default_factory=dict)
    deltas: Mapping[str, float] = field(default_factory=dict)
    diagnostic: Mapping[str, str] = field(default_factory=dict)
    few_seeds: str = ""


def judge(pair: Pair, found: Sequence[Numbers], matched: bool, questions: Questions) -> tuple[MetricFinding, ...]:
    """Return the findings of all metrics of one table; ``matched`` says whether both sides have the same L0."""
    gaps = {numbers.metric.name: gap(numbers.difference()) for numbers in found}
    tested = [
        numbers
        for numbers in found
        if numbers.metric.name not in questions.diagnostic and gaps[numbers.metric.name].lo is not None
    ]
    # Of tables of 8 equal metrics one in ten would claim a difference with two seeds a side, and one in three with one
    # seed beside three: what a single fit adds is not seen in it.
    p = {} if questions.few_seeds else adjusted(tested)
    return tuple(
        _finding(pair, numbers, gaps[numbers.metric.name], _Family(p, len(tested), matched, questions))
        for numbers in found
    )


def adjusted(tested: Sequence[Numbers]) -> dict[str, float]:
    """Return p-values by metric, adjusted so that the chance of any false difference in the table is at most alpha.

    Metrics over clusters: studentised step-down min-P, which resamples clusters for all of them at once and so makes
    use of how alike they are. Metrics over seeds cannot be resampled: Welch's t and Holm. Where a table has both, each
    kind gets its share of alpha by its number of metrics.
    """
    over_seeds = [numbers for numbers in tested if numbers.metric.interval == "seeds"]
    over_clusters = [n for n in tested if n.metric.interval != "seeds" and n.se is not None]
    every = len(over_seeds) + len(over_clusters)
    p: dict[str, float] = {}
    for numbers, found in ((over_clusters, _min_p(over_clusters)), (over_seeds, _welch_holm(over_seeds))):
        share = every / max(len(numbers), 1)
        p |= {n.metric.name: min(1.0, float(one) * share) for n, one in zip(numbers, found, strict=True)}
    return p


def _min_p(tested: Sequence[Numbers]) -> Sequence[float]:
    rows = [(n.by_cluster, *n.se) for n in tested if n.by_cluster is not None and n.se is not None]
    if not rows:
        return ()
    t_M = np.array([scaled_t(float(d_C.mean()), se, df, d_C.size) for d_C, se, df in rows])
    return tuple(min_p(np.stack([d_C for d_C, _, _ in rows]), t_M).tolist())


def _welch_holm(tested: Sequence[Numbers]) -> Sequence[float]:
    # Of two methods there is one pair, whose p-value is that of Welch's test itself.
    return tuple(holm(np.array([welch_holm(numbers.points)[0, 1] for numbers in tested])).tolist())


@dataclass(frozen=True)
class _Family:
    p: Mapping[str, float]
    size: int
    matched: bool
    questions: Questions


def _finding(pair: Pair, numbers: Numbers, difference: Gap, family: _Family) -> MetricFinding:
    metric, (a_S, b_S) = numbers.metric, numbers.points
    a, b = (float(side.mean()) if np.isfinite(side).all() else None for side in (a_S, b_S))
    p = family.p.get(metric.name)
    verdict, why = _verdict(numbers, difference, p, family)
    why = "; ".join(text for text in (why, _carried(numbers.by_cluster)) if text) or None
    divided = numbers.by_cluster is not None and difference.value is not None
    return MetricFinding(
        metric=metric.name,
        unit=metric.unit,
        direction="up" if metric.sign > 0 else "down",
        over="seeds" if metric.interval == "seeds" else "clusters",
        a=a,
        b=b,
        difference=difference,
        p=p,
        effect=numbers.effect,
        relative=difference.value / abs(b) if difference.value is not None and b else None,
        detectable=numbers.spread.test(numbers.seeds, numbers.clusters).detectable() if numbers.spread else None,
        verdict=verdict,
        why=why,
        places=places(pair, numbers.by_cluster, metric.sign) if divided else None,  # type: ignore[arg-type]
        margin=_margin(numbers, family),
        needed=_needed(numbers, family.questions.deltas.get(metric.name)),
    )


def _verdict(numbers: Numbers, difference: Gap, p: float | None, family: _Family) -> tuple[Verdict, str | None]:
    """Return the verdict, and why it is not simply which side is better."""
    reason = difference.reason
    if difference.value is None:
        return "no value", reason
    if numbers.metric.name in family.questions.diagnostic:
        return "diagnostic", family.questions.diagnostic[numbers.metric.name]
    if not family.matched:
        return "unmatched L0", "the two do not use equally many latents per token"
    if family.questions.few_seeds and difference.lo is not None:
        return "too few seeds", family.questions.few_seeds
    if difference.lo is None or p is None:
        same = difference.how == "constant" and difference.value == 0
        return ("no difference seen" if same else "no interval"), reason
    if p < ALPHA and difference.excludes_0:
        return ("A better" if numbers.metric.sign * difference.value > 0 else "B better"), reason
    if difference.excludes_0:
        reason = f"the interval alone excludes 0, but not once all {family.size} metrics of the table are asked"
    return "no difference seen", reason


def _carried(difference_C: Array | None) -> str | None:
    """Say where one cluster holds most of the spread: what is found hangs on it."""
    if difference_C is None or difference_C.size < MANY:
        return None
    square_C = (difference_C - difference_C.mean()) ** 2
    share = float(square_C.max() / square_C.sum()) if square_C.any() else 0.0
    if share <= CARRIES:
        return None
    return (
        f"cluster {int(square_C.argmax())} alone holds {100 * share:.0f} % of the spread, and the interval hangs on it"
    )


def _margin(numbers: Numbers, family: _Family) -> Margin | None:
    tolerance = family.questions.margins.get(numbers.metric.name)
    if tolerance is None:
        return None
    if not family.matched or family.questions.few_seeds or numbers.metric.name in family.questions.diagnostic:
        return Margin(tolerance, "inconclusive")
    return Margin(tolerance, non_inferior(numbers.metric, numbers.difference(0.9), tolerance))


def _needed(numbers: Numbers, delta: float | None) -> Needed | None:
    if delta is None or numbers.spread is None:
        return None
    at, seeds, clusters = numbers.spread, numbers.seeds, numbers.clusters
    # Where a metric has no value per cluster, no number of clusters helps.
    enough = None if numbers.metric.interval == "seeds" else clusters_needed(at, delta, seeds)
    return Needed(delta, enough, seeds_needed(at, delta, clusters))
