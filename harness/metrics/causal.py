"""What ablating the features that tell errors does to the answers, beside random features of equal edit norm.

A score apart from the predictive ones: a probe may read what the model never uses. Parts hold one row per ablated
answer: ``causal_top`` the change of its mean log-probability per later token (nats) when the top features are ablated,
``causal_random`` the same under each draw of random ones ``[n, R]``, ``causal_y`` whether it is wrong,
``causal_cluster``. ``causal_why`` holds a number of ``WHY`` for each fold, 0 where answers could be ablated.
"""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import Array, NotComputableError, Parts, metric, ratio
from harness.metrics.items import item_weights

ERRORS = ("errors",)
NEEDS = ("causal_top", "causal_random", "causal_y", "causal_cluster", "causal_why")
WHY = (
    "",
    "the probe names no directions of activations for its features",
    "no token of the answer follows the positions that are read",
    "too few features of one block vary, or too few have others at their position to be compared with",
    "no answer of one class has a token after the positions of its ablated features",
)


def spared(parts: Parts, w: Array, change: Array) -> Array:
    """Return how much more likely right answers became than wrong ones, nats per token: ``[n, R] -> [..., R]``."""
    w_n = item_weights(parts, w, "causal_cluster")
    means = []
    for side in (parts["causal_y"] == 0, parts["causal_y"] > 0):
        w_side = w_n * side
        means.append(w_side @ change * ratio(np.ones(()), w_side.sum(-1), WHY[4])[..., None])
    return np.asarray(means[0] - means[1], dtype=np.float64)


def _both(parts: Parts, w: Array) -> tuple[Array, Array]:
    """Return ``spared`` of the top features ``[...]`` and of every random draw ``[..., R]``."""
    why = int(parts["causal_why"].max(initial=0.0))
    if why:
        raise NotComputableError(WHY[why])
    return spared(parts, w, parts["causal_top"][:, None])[..., 0], spared(parts, w, parts["causal_random"])


@metric(
    unit="nats/token",
    direction="up",
    needs=NEEDS,
    tracks=ERRORS,
    source="ours; ablation to a mean as in arXiv 2403.19647, here the mean over right answers",
    null="0: no more than random features of the probe at equal edit norm",
    derived=False,
    within_model=True,
    formula="D(top) − mean over draws of D(random); D = mean over right answers of Δ log p − mean over wrong ones",
)
def causal_shift(parts: Parts, w: Array) -> Array:
    """How much more wrong answers than right ones lose when the features that tell them apart are ablated.

    Δ log p is the change of an answer's log-probability per token after the first ablated position, under the model
    itself. ``D`` of random features of the probe, at the same positions and edit norms, is taken off. The interval is
    over problems; the features and draws are held fixed. A set of random features differs from the mean of others too,
    and its interval may well leave out 0: an effect is one where ``causal_over_random`` lies above 1 as well.
    """
    top, random = _both(parts, w)
    return np.asarray(top - random.mean(-1), dtype=np.float64)


@metric(
    unit="1",
    direction="up",
    needs=NEEDS,
    tracks=ERRORS,
    source="ours: an effect counts against the largest that random edits have",
    null="below 1; above it in 1 of R + 1 with R random draws",
    derived=False,
    within_model=True,
    interval="none",
    formula="D(top) / max over draws of |D(random)|",
)
def causal_over_random(parts: Parts, w: Array) -> Array:
    """How much wrong answers lose more than right ones, as a multiple of the largest that a random draw reaches.

    Without interval: resampled, the largest of several draws only grows.
    """
    top, random = _both(parts, w)
    return ratio(top, np.abs(random).max(-1), "random features change nothing")
