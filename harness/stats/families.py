"""Several questions about the same clusters: p-values adjusted so that the chance of any false answer is held."""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import Array
from harness.stats.resample import cluster_weights
from harness.stats.ties import RESAMPLES, resampled_t


def min_p(difference_MC: Array, t_M: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Return adjusted p-values ``[M]`` by studentised step-down min-P (Westfall and Young 1993, algorithm 2.8).

    Clusters are resampled for all questions at once and differences centred, as in ``max_t``; but every question is
    held against its own resampled ``|t*|`` first, and the least of these p-values is what counts. So a question whose
    answer hangs on a single cluster (its ``t*`` is huge wherever that cluster is not drawn, a third of all resamples)
    takes nothing from the others; under max-T it takes all. No p-value is below ``2^(1 - C)``.

    Args:
        difference_MC: for each question the difference by cluster, averaged over seeds.
        t_M: for each question its ``|t|``, on the scale of ``C - 1`` degrees of freedom (``scaled_t``).
        resamples: how many; ``1 / (resamples + 1)`` is the least p-value.
        seed: seed of the resampling.
    """
    clusters = difference_MC.shape[1]
    t_RM = resampled_t(difference_MC, cluster_weights(clusters, resamples, seed))
    # The observed row belongs to its own null distribution, so that its p-value is never 0.
    count_RM = _as_large(np.vstack([t_M, t_RM]))
    order = np.argsort(count_RM[0], kind="stable")
    least_RM = np.minimum.accumulate(count_RM[:, order][:, ::-1], axis=1)[:, ::-1]
    reached_M = (least_RM <= count_RM[0, order]).mean(0)
    p_M = np.empty(len(t_M))
    p_M[order] = np.maximum.accumulate(np.maximum(reached_M, 2.0 ** (1 - clusters)))
    return p_M


def _as_large(t_RM: Array) -> Array:
    """Return for each entry how many of its column are at least as large, itself included."""
    sorted_RM = np.sort(t_RM, axis=0)
    columns = [len(t_RM) - np.searchsorted(sorted_RM[:, m], t_RM[:, m], side="left") for m in range(t_RM.shape[1])]
    return np.stack(columns, axis=1).astype(np.float64)
