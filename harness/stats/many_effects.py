"""Effect sizes of many features at once, and what the largest of them would be by chance (Cohen 1988; Hedges 1981).

Features are taken some at a time, so that memory beyond the input does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from harness.metrics.contract import Array
from harness.stats.effects import small_sample
from harness.stats.nulls import exchanged

Ints = NDArray[np.int64]

PERMUTATIONS = 200
# Of the largest |d| under exchanged labels; its mean would raise a false alarm 44 times in 100. Of 200 permutations of
# 914 rows and 36 864 features it has a standard error of .004.
QUANTILE = 0.95
# Features whose places a table of the largest counts.
TOP = 100
BY_BLOCK = ("block_above", "block_above_null", "top_block", "top_block_null")
# Numbers of a float64 copy that is held at once: 16 MB, and a few of them.
_HELD = 2**21


@dataclass(frozen=True)
class Effects:
    """Effect sizes ``[F]``, positive where the feature is larger in class 1; NaN where a feature does not vary.

    Attributes:
        d: Cohen's d, with the pooled standard deviation.
        g: Hedges' g, d without its bias in small samples.
        threshold: 95th percentile of the largest ``|d|`` where groups have exchanged their labels.
        null_top: float64 ``[permutations, K]``: the ``K = min(TOP, F)`` largest ``|d|`` of every permutation, in no
            order.
        null_feature: int64 ``[permutations, K]``: the features they belong to.
        null_above: share of the permutations in which each feature exceeds the threshold, ``[F]``.
    """

    d: Array
    g: Array
    threshold: float
    null_top: Array
    null_feature: Ints
    null_above: Array

    @property
    def null(self) -> Array:
        """The largest ``|d|`` of every permutation."""
        return np.asarray(self.null_top.max(1, initial=0.0), dtype=np.float64)

    @property
    def above(self) -> NDArray[np.bool_]:
        """Which features exceed the threshold, ``[F]``."""
        return _sizes(self.d) > self.threshold

    @property
    def top(self) -> Ints:
        """The ``K`` features of largest ``|d|``, largest first."""
        return np.argsort(-_sizes(self.d), kind="stable")[:TOP]

    def by_block(self, block_F: Ints, blocks: int) -> dict[str, Array]:
        """Count features by the block they were read at, ``[B]``; those of block -1 are in none.

        By ``BY_BLOCK``: those that exceed the threshold, the mean count of it over permutations, those among the ``K``
        largest, and the mean count of these: a table of the largest says nothing but beside it.
        """
        every = np.full(self.null_feature.size, 1 / len(self.null_feature))
        counts = (
            _counts(block_F, self.above.astype(np.float64), blocks),
            _counts(block_F, self.null_above, blocks),
            _counts(block_F[self.top], np.ones(len(self.top)), blocks),
            _counts(block_F[self.null_feature.ravel()], every, blocks),
        )
        return dict(zip(BY_BLOCK, counts, strict=True))


def effect_sizes(x_nF: NDArray[Any], y_n: Ints, group_n: Ints, permutations: int = PERMUTATIONS) -> Effects:
    """Return the effect size of every feature between class 0 and class 1, and its permutation threshold.

    Labels are exchanged among groups (``exchanged``), so that answers to one problem stay together.

    Raises:
        ValueError: a class has fewer than two items, or a number is not finite.
    """
    counts = np.bincount(y_n, minlength=2)
    if counts.min() < 2:
        raise ValueError(f"each class needs two items, got {counts[0]} and {counts[1]}")
    drawn_Pn = np.stack([exchanged(y_n, group_n, seed) for seed in range(permutations)])
    d, largest = [], _Largest(permutations, min(TOP, x_nF.shape[1]))
    for start, x_nC in _some(x_nF):
        d.append(each_d(y_n[None], x_nC)[0])
        largest.add(_sizes(each_d(drawn_Pn, x_nC)), start)
    d_F = np.concatenate(d)
    threshold = float(np.quantile(largest.size_PK.max(1, initial=0.0), QUANTILE))
    above_F = _often_above(x_nF, drawn_Pn, largest, threshold)
    g_F = d_F * small_sample(len(y_n) - 2)
    return Effects(d_F, g_F, threshold, largest.size_PK, largest.feature_PK, above_F)


def each_d(y_Pn: Ints, x_nF: NDArray[Any]) -> Array:
    """Return Cohen's d of every feature under every labelling, ``[P, F]``: ``(mean_1 - mean_0) / s_pooled``, ddof 1.

    Of centred features the sums of both classes are each other's negative, so one product gives all of it.

    Args:
        y_Pn: labels 0 and 1.
        x_nF: features.
    """
    centred_nF = x_nF - x_nF.mean(0, dtype=np.float64)
    square_F = np.einsum("nf,nf->f", centred_nF, centred_nF)
    one_Pn = y_Pn.astype(np.float64)
    n1_P1 = one_Pn.sum(1, keepdims=True)
    n0_P1 = y_Pn.shape[1] - n1_P1
    share_P1 = 1 / n1_P1 + 1 / n0_P1
    sum1_PF = one_Pn @ centred_nF
    within_PF = square_F - sum1_PF**2 * share_P1
    # what rounding leaves of a feature that is the same everywhere, or the same in each class
    noise_F = len(x_nF) * (1e-12 * np.abs(x_nF).max(0)) ** 2
    within_PF = np.where(within_PF > np.maximum(1e-12 * square_F, noise_F), within_PF, np.nan)
    return np.asarray(sum1_PF * share_P1 / np.sqrt(within_PF / (y_Pn.shape[1] - 2)), dtype=np.float64)


def each_auroc(x_nF: NDArray[Any], y_n: Ints) -> Array:
    """Return the probability that a feature is larger in class 1, ties one half, ``[F]`` (Mann and Whitney)."""
    ones = int(y_n.sum())
    pairs = ones * (len(y_n) - ones)
    sums = [rankdata(x_nC, axis=0)[y_n == 1].sum(0) for _, x_nC in _some(x_nF)]
    return np.asarray((np.concatenate(sums) - ones * (ones + 1) / 2) / pairs, dtype=np.float64)


def fire_gap(x_nF: NDArray[Any], y_n: Ints) -> Array:
    """Return ``P(not 0 | class 1) - P(not 0 | class 0)`` of every feature, ``[F]``: 0 of one that is never 0."""
    fires_nF = x_nF != 0
    return np.asarray(fires_nF[y_n == 1].mean(0) - fires_nF[y_n == 0].mean(0), dtype=np.float64)


class _Largest:
    """The ``K`` largest sizes of every permutation, and whose they are, among the features seen so far."""

    def __init__(self, permutations: int, kept: int) -> None:
        self.size_PK = np.zeros((permutations, kept))
        self.feature_PK = np.zeros((permutations, kept), dtype=np.int64)
        self._seen = 0

    def add(self, size_PC: Array, start: int) -> None:
        """Take in the sizes of the features from ``start`` on."""
        kept = self.size_PK.shape[1]
        held = min(self._seen, kept)
        feature_PC = np.broadcast_to(np.arange(start, start + size_PC.shape[1]), size_PC.shape)
        size_PA = np.concatenate([self.size_PK[:, :held], size_PC], 1)
        feature_PA = np.concatenate([self.feature_PK[:, :held], feature_PC], 1)
        self._seen += size_PC.shape[1]
        now = min(self._seen, kept)
        best = np.argpartition(-size_PA, now - 1, axis=1)[:, :now] if now else np.zeros((len(size_PA), 0), np.int64)
        self.size_PK[:, :now] = np.take_along_axis(size_PA, best, 1)
        self.feature_PK[:, :now] = np.take_along_axis(feature_PA, best, 1)


def _often_above(x_nF: NDArray[Any], drawn_Pn: Ints, largest: _Largest, threshold: float) -> Array:
    """Return in what share of the permutations each feature exceeds the threshold; only a few have one that does."""
    high_P = largest.size_PK.max(1, initial=0.0) > threshold
    if not high_P.any():
        return np.zeros(x_nF.shape[1])
    counts = [(_sizes(each_d(drawn_Pn[high_P], x_nC)) > threshold).sum(0) for _, x_nC in _some(x_nF)]
    return np.asarray(np.concatenate(counts) / len(drawn_Pn), dtype=np.float64)


def _some(x_nF: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the features some at a time, as views, with the number of the first; once where there are none."""
    rows, features = x_nF.shape
    width = max(_HELD // max(rows, 1), 1)
    for start in range(0, max(features, 1), width):
        x_nC = x_nF[:, start : start + width]
        if not np.isfinite(x_nC).all():
            raise ValueError("features must be finite")
        yield start, x_nC


def _sizes(d: Array) -> Array:
    return np.abs(np.nan_to_num(d))


def _counts(block_f: Ints, weight_f: Array, blocks: int) -> Array:
    there = block_f >= 0
    return np.asarray(np.bincount(block_f[there], weight_f[there], blocks), dtype=np.float64)
