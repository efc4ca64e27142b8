"""Effect sizes of many features at once, and what the largest of them would be by chance (methods.md 0.8, 1.14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.metrics.contract import Array
from harness.stats.effects import small_sample
from harness.stats.nulls import exchanged

PERMUTATIONS = 200
# Of the largest |d| under exchanged labels; its mean would raise a false alarm 44 times in 100.
QUANTILE = 0.95


@dataclass(frozen=True)
class Effects:
    """Effect sizes ``[F]``, positive where the feature is larger in class 1; NaN where a feature does not vary.

    Attributes:
        d: Cohen's d, with the pooled standard deviation.
        g: Hedges' g, d without its bias in small samples.
        threshold: 95th percentile of the largest ``|d|`` where groups have exchanged their labels.
        null: the largest ``|d|`` of every permutation.
    """

    d: Array
    g: Array
    threshold: float
    null: Array

    @property
    def above(self) -> NDArray[np.bool_]:
        """Which features exceed the threshold, ``[F]``."""
        return np.abs(np.nan_to_num(self.d)) > self.threshold


def effect_sizes(
    x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64], permutations: int = PERMUTATIONS
) -> Effects:
    """Return the effect size of every feature between class 0 and class 1, and its permutation threshold.

    Labels are exchanged among groups (``exchanged``), so that answers to one problem stay together.

    Raises:
        ValueError: a class has fewer than two items.
    """
    counts = np.bincount(y_n, minlength=2)
    if counts.min() < 2:
        raise ValueError(f"each class needs two items, got {counts[0]} and {counts[1]}")
    centred = x_nF - x_nF.mean(0, dtype=np.float64)
    square = centred**2
    d = each_d(y_n[None], centred, square)[0]
    drawn = np.stack([exchanged(y_n, group_n, seed) for seed in range(permutations)])
    null = np.concatenate([_largest(each_d(rows, centred, square)) for rows in np.array_split(drawn, 10)])
    return Effects(d, d * small_sample(len(y_n) - 2), float(np.quantile(null, QUANTILE)), null)


def each_d(y_Pn: NDArray[np.int64], x_nF: Array, square_nF: Array) -> Array:
    """Return Cohen's d of every feature under every labelling, ``[P, F]``: ``(mean_1 - mean_0) / s_pooled``, ddof 1.

    Args:
        y_Pn: labels 0 and 1.
        x_nF: features, best centred.
        square_nF: their squares.
    """
    one_Pn = y_Pn.astype(np.float64)
    n1_P = one_Pn.sum(1, keepdims=True)
    n0_P = y_Pn.shape[1] - n1_P
    sum1_PF, square1_PF = one_Pn @ x_nF, one_Pn @ square_nF
    sum0_PF, square0_PF = x_nF.sum(0) - sum1_PF, square_nF.sum(0) - square1_PF
    within = square1_PF - sum1_PF**2 / n1_P + square0_PF - sum0_PF**2 / n0_P
    # what rounding leaves of 0
    within = np.where(within > 1e-12 * square_nF.sum(0), within, np.nan)
    return np.asarray((sum1_PF / n1_P - sum0_PF / n0_P) / np.sqrt(within / (n1_P + n0_P - 2)), dtype=np.float64)


def _largest(d_PF: Array) -> Array:
    return np.asarray(np.abs(np.nan_to_num(d_PF)).max(axis=1, initial=0.0), dtype=np.float64)
