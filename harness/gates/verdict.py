"""From evidence and tolerances to verdicts, and to the sample that would decide where they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.gates.evidence import ALPHA, Evidence, Spread
from harness.metrics.contract import Array
from harness.stats.multiplicity import holm
from harness.stats.paired import Verdict

POWER = 0.8
# Sample sizes beyond this are not a plan.
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Needed:
    """The clusters and seeds a side at which a loss that is truly 0 would pass with 80 % power."""

    clusters: int
    seeds: int


@dataclass(frozen=True)
class Judgement:
    """The verdict on one comparison.

    Attributes:
        p: adjusted over the gate (Holm); None where nothing varies or there is no spread.
        needed: where the verdict is ``inconclusive`` and some sample would decide.
    """

    verdict: Verdict
    p: float | None = None
    needed: Needed | None = None


def judge(evidence: Sequence[Evidence], tolerances: Sequence[float]) -> list[Judgement]:
    """Judge every comparison of a gate.

    ``pass``: the one-sided 95 % bound of the loss lies below the tolerance, each comparison for itself. ``fail``: the
    loss exceeds the tolerance with p <= .05 after Holm over all comparisons that vary, so that with probability .95
    nothing fails where nothing changed but the seeds (not promised for one seed a side, unless a reliability card
    tells its noise: nothing else says how seeds vary); and its own interval lies beyond the tolerance. Else
    ``inconclusive``. What does not vary at all is judged by its value, and a value that the run lost is a fail. For
    targets the loss may lie on either side.

    Args:
        evidence: of every comparison.
        tolerances: how much worse is still acceptable, in each metric's unit, not negative.
    """
    raw = [found.p(tolerance) for found, tolerance in zip(evidence, tolerances, strict=True)]
    tested = [p for p in raw if p is not None]
    adjusted = iter(holm(np.array(tested)).tolist() if tested else [])
    p_of = [None if p is None else next(adjusted) for p in raw]
    return [_judgement(found, tolerance, p) for found, tolerance, p in zip(evidence, tolerances, p_of, strict=True)]


def _judgement(found: Evidence, tolerance: float, p: float | None) -> Judgement:
    if found.value is None:
        return Judgement("fail" if found.how == "lost" else "inconclusive")
    if found.how == "constant":
        size = abs(found.value) if found.two_sided else found.value
        return Judgement("pass" if size <= tolerance else "fail")
    bounds = found.bounds
    if bounds is None or p is None:
        return Judgement("inconclusive")
    lo, hi = bounds
    if hi < tolerance and (not found.two_sided or lo > -tolerance):
        return Judgement("pass", p)
    beyond = lo > tolerance or (found.two_sided and hi < -tolerance)
    if beyond and p <= ALPHA:
        return Judgement("fail", p)
    return Judgement("inconclusive", p, needed(found, tolerance))


def needed(found: Evidence, tolerance: float) -> Needed | None:
    """Return the sample at which a true loss of 0 would pass with 80 % power, or None where no such sample is in sight.

    More clusters at the same seeds where that is enough, else more seeds on the same clusters, else both in proportion.
    """
    spread = found.passing
    if spread is None or tolerance <= 0:
        return None
    seeds = max(found.seeds)
    if spread.of_clusters == 0:
        wanted = _seeds(found, spread, tolerance)
        return None if wanted is None else Needed(found.clusters, wanted)
    reach = (tolerance / float(_standard_errors(found, np.array(spread.df)))) ** 2
    of_clusters = spread.of_clusters * spread.se**2
    of_seeds = spread.se**2 - of_clusters
    if of_seeds < reach:
        return Needed(math.ceil(found.clusters * of_clusters / (reach - of_seeds)), seeds)
    if of_clusters < reach:
        return _within(Needed(found.clusters, math.ceil(seeds * of_seeds / (reach - of_clusters))))
    factor = spread.se**2 / reach
    return _within(Needed(math.ceil(found.clusters * factor), math.ceil(seeds * factor)))


def _within(wanted: Needed) -> Needed | None:
    return wanted if wanted.seeds <= MOST_SEEDS else None


def _standard_errors(found: Evidence, df: Array) -> Array:
    """Return how many standard errors the tolerance must be for a true loss of 0 to pass with the power asked for."""
    miss = (1 - POWER) / 2 if found.two_sided else 1 - POWER
    return np.asarray(-special.stdtrit(df, ALPHA) - special.stdtrit(df, miss), dtype=np.float64)


def _seeds(found: Evidence, spread: Spread, tolerance: float) -> int | None:
    """Return the seeds a side that decide where the spread comes from seeds alone."""
    paired = found.how == "paired"
    run, base = found.seeds
    one_seed = spread.se**2 * (run if paired else 2 / (1 / run + 1 / base))
    counts = np.arange(2, MOST_SEEDS + 1, dtype=np.float64)
    df = counts - 1 if paired else 2 * (counts - 1)
    decide = _standard_errors(found, df) * np.sqrt(one_seed / counts) <= tolerance
    return int(counts[decide][0]) if decide.any() else None
