"""What statistics return: a value with its interval, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.metrics.contract import Array

# Weights [..., C] -> values [...]; a metric with its parts filled in is one.
Statistic = Callable[[Array], Array]
# Weights [..., C] -> values [S, ...], one row per seed.
SeedStatistic = Callable[[Array], Array]


@dataclass(frozen=True)
class Plan:
    """How intervals are made; the same plan gives the same numbers, on any version of numpy.

    Attributes:
        level: two-sided coverage asked for, inside (0, 1).
        resamples: how many cluster resamples a bootstrap takes.
        seed: seed of the resampling; equal for all methods, which pairs them.
    """

    level: float = 0.95
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {self.level}")
        if self.resamples < 100:
            raise ValueError(f"resamples must be at least 100, got {self.resamples}")

    @property
    def tails(self) -> tuple[float, float]:
        """The two quantile levels of the interval's ends, e.g. ``(.025, .975)``."""
        tail = round((1 - self.level) / 2, 12)  # (1 - .95) / 2 is a little above .025, which moves a quantile by one
        return tail, 1 - tail


@dataclass(frozen=True)
class Estimate:
    """A value and its interval. What is ``None`` has a reason.

    Attributes:
        value: the point value, the mean over seeds; ``None`` where it is not computable.
        lo: lower end of the interval.
        hi: upper end of the interval.
        level: coverage the interval aims at.
        how: ``percentile``, ``bootstrap-t``, ``jackknife-t``, ``crossed-t``, ``seeds-t``, ``wilson``,
            ``clopper-pearson``, ``adjusted-t``; without an interval ``constant`` (nothing varies) or ``none``.
        clusters: number of clusters behind it.
        seeds: number of seeds behind it.
        seed_sd: standard deviation of the value between seeds; ``None`` for one seed.
        reason: why the value or the interval is missing, or why another interval than the usual one was taken.
    """

    value: float | None
    lo: float | None
    hi: float | None
    level: float
    how: str
    clusters: int
    seeds: int = 1
    seed_sd: float | None = None
    reason: str | None = None


def bare(value: float | None, plan: Plan, clusters: int, reason: str, seeds: int = 1, *, how: str = "none") -> Estimate:
    """Return an estimate without an interval, and the reason for it; ``how`` is ``constant`` where nothing varies."""
    return Estimate(value, None, None, plan.level, how, clusters, seeds, None, reason)
