"""How many answers an edit, or another method, turns right and wrong, and whether that could be chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.metrics.contract import Array
from harness.stats.paired import mcnemar, sign_flip


@dataclass(frozen=True)
class Turned:
    """Answers to the same items, before and after.

    Attributes:
        gained: items that are right after and were not before.
        lost: items that were right before and are not after.
        p: two-sided, of as many right answers before as after.
        how: ``McNemar``: exact, over items, where each is a cluster by itself; else ``sign flips`` over clusters, of
            which McNemar's exact test is the case of single items.
    """

    gained: int
    lost: int
    p: float
    how: Literal["McNemar", "sign flips"]


def turned(before_N: Array, after_N: Array, cluster_N: NDArray[np.int64]) -> Turned:
    """Compare right (1) and wrong (0) answers to ``N`` items.

    Args:
        before_N: answers of one side.
        after_N: answers of the other, to the same items.
        cluster_N: the cluster of each item, from 0.

    Raises:
        ValueError: something other than 0 and 1.
    """
    if not np.isin(np.concatenate([before_N, after_N]), (0, 1)).all():
        raise ValueError("answers are right (1) or wrong (0); got something else")
    change_N = after_N - before_N
    gained, lost = int((change_N > 0).sum()), int((change_N < 0).sum())
    sizes_C = np.bincount(cluster_N)
    if (sizes_C <= 1).all() or not change_N.any():
        return Turned(gained, lost, mcnemar(gained, lost), "McNemar")
    change_C = np.bincount(cluster_N, change_N).astype(np.float64)
    # One cluster has no second to be held against: nothing can be said.
    p = sign_flip(change_C[sizes_C > 0]) if (sizes_C > 0).sum() > 1 else 1.0
    return Turned(gained, lost, p, "sign flips")
