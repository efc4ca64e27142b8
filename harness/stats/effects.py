"""Effect sizes of two samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from harness.metrics.contract import Array


@dataclass(frozen=True)
class Effect:
    """How far two samples lie apart, in pooled standard deviations; positive where the target is larger.

    Attributes:
        d: Cohen's d; NaN where neither sample varies and their means differ.
        g: Hedges' g, ``d`` without its small-sample bias.
        se: standard error of ``d``, normal approximation.
        p: two-sided p-value of Student's t test; 1 where nothing varies and the means are equal.
    """

    d: float
    g: float
    se: float
    p: float


def cohens_d(reference: Array, target: Array) -> Effect:
    """Return the standardised mean difference, target minus reference.

    ``d = (mean_b - mean_a) / s_p`` with the pooled ``s_p`` of ``ddof=1``, ``g = J d`` with
    ``J = Gamma(v/2) / (sqrt(v/2) Gamma((v-1)/2))``, ``v = n_a + n_b - 2``. Source: Cohen 1988; Hedges 1981.

    Raises:
        ValueError: fewer than 2 numbers in a sample, or one that is not finite.
    """
    n_a, n_b = reference.size, target.size
    if min(n_a, n_b) < 2 or not (np.isfinite(reference).all() and np.isfinite(target).all()):
        raise ValueError(f"both samples need at least 2 finite numbers, got {n_a} and {n_b}")
    v = n_a + n_b - 2
    shift = float(target.mean() - reference.mean())
    pooled = math.sqrt(((n_a - 1) * reference.var(ddof=1) + (n_b - 1) * target.var(ddof=1)) / v)
    # Rounding leaves some 1e-17 of a spread where all numbers are equal.
    if pooled <= 1e-12 * max(np.abs(reference).max(), np.abs(target).max()):
        return Effect(0.0, 0.0, 0.0, 1.0) if shift == 0 else Effect(math.nan, math.nan, math.nan, 0.0)
    d = shift / pooled
    j = small_sample(v)
    se = math.sqrt((n_a + n_b) / (n_a * n_b) + d**2 / (2 * (n_a + n_b)))
    t = d * math.sqrt(n_a * n_b / (n_a + n_b))
    return Effect(d, j * d, se, float(2 * stats.t.sf(abs(t), v)))


def small_sample(degrees: float) -> float:
    """Return Hedges' J for so many degrees of freedom."""
    return math.exp(float(special.gammaln(degrees / 2) - special.gammaln((degrees - 1) / 2))) / math.sqrt(degrees / 2)
