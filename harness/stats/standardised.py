"""A difference in standard deviations, with an interval that says the same as the test of the difference itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import optimize, stats


@dataclass(frozen=True)
class Standardised:
    """A mean difference over the standard deviation of single differences, with its interval."""

    value: float
    lo: float
    hi: float


def standardised(shift: float, se: float, df: float, sd: float, level: float = 0.95) -> Standardised:
    """Return ``shift / sd`` (``d_z`` where ``sd`` is that of paired differences) with the noncentral t interval.

    The noncentralities at which ``t = shift / se`` is a tail value are turned into units of ``sd``. The interval
    excludes 0 exactly where the t interval of ``shift`` does; with one seed, ``se = sd / sqrt(C)``, it is the textbook
    interval. Source: Steiger and Fouladi 1997.

    Raises:
        ValueError: ``se`` or ``sd`` is not positive.
    """
    if not (se > 0 and sd > 0):
        raise ValueError(f"a standardised difference needs spread, got se {se:g} and sd {sd:g}")
    tail = (1 - level) / 2
    lo, hi = _noncentral(shift / se, df, 1 - tail), _noncentral(shift / se, df, tail)
    return Standardised(shift / sd, lo * se / sd, hi * se / sd)


def _noncentral(t: float, df: float, below: float) -> float:
    """Return the noncentrality with which a share ``below`` of noncentral t values lies below ``t``."""
    if t < 0:
        return -_noncentral(-t, df, 1 - below)
    # For t >= 0 the root lies above the quantile at t = 0, and below twice the half-width of the normal approximation.
    z = abs(float(stats.norm.ppf(below)))
    high = t + 2 * z * math.sqrt(1 + t**2 / (2 * df)) + 2
    return float(optimize.brentq(lambda shift: float(stats.nct.cdf(t, df, shift)) - below, -z - 0.01, high))
