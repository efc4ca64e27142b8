"""What the largest effect sizes of many features are where there is nothing but noise, in closed form.

For features that are independent of each other and of the classes, and rows that are independent. Features that hang
together reach less, rows that hang together more: where the features are at hand, labels are exchanged instead
(``harness.stats.many_effects``). This is for published figures, of which only the sizes are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

# Points at which a quantile function is averaged.
_POINTS = 20000


@dataclass(frozen=True)
class Noise:
    """Of ``|d|`` under noise.

    Attributes:
        mean: mean of the largest.
        lo: its 5th percentile.
        hi: its 95th percentile, which is the threshold of ``effect_sizes``.
        top: mean of the ``top_k`` largest.
        top_k: how many.
    """

    mean: float
    lo: float
    hi: float
    top: float
    top_k: int


def largest_by_chance(n0: int, n1: int, features: int, top_k: int = 100) -> Noise:
    """Return how large ``|d|`` gets among normal features that differ between no classes.

    ``d sqrt(n0 n1 / (n0 + n1))`` is Student's t with ``n0 + n1 - 2`` degrees of freedom, so the largest of ``F`` has
    the distribution function ``(2 T(t) - 1)^F``, and the mean of the ``k`` largest is that beyond the ``1 - k/F``
    quantile.

    Raises:
        ValueError: fewer than two rows in a class, or not ``1 <= top_k <= features``.
    """
    if min(n0, n1) < 2 or not 1 <= top_k <= features:
        raise ValueError(
            f"needs two rows in each class and 1 <= top_k <= features, got {n0}, {n1}, {top_k}, {features}"
        )
    t, scale = stats.t(n0 + n1 - 2), np.sqrt(1 / n0 + 1 / n1)
    share = (np.arange(_POINTS) + 0.5) / _POINTS
    # The upper tail, since 1 - q is where all the figures are: P(|T| > t) = 1 - q^(1/F).
    largest = scale * t.isf(-np.expm1(np.log(share) / features) / 2)
    lo, hi = scale * t.isf(-np.expm1(np.log([0.05, 0.95]) / features) / 2)
    top = scale * t.isf(share * top_k / features / 2)
    return Noise(float(largest.mean()), float(lo), float(hi), float(top.mean()), top_k)
