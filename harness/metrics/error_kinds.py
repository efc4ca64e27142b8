"""How well a probe tells which kind of error an answer has, on groups it was not fitted on.

Parts hold one row per answer: ``item_kind`` its kind (0 right, then the kinds of error), ``kind_p`` the probability of
each kind, ``kind_prior`` the share of each among the answers the fold was fitted on. A kind found in fewer than
``LEAST_GROUPS`` groups is left out: it is not in every fold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.metrics.contract import Array, NotComputableError, Parts, metric, ratio
from harness.metrics.items import auroc_in_folds, cluster_sums, item_weights

ERRORS = ("errors",)
ITEMS = ("item_cluster", "item_fold")
# As many as outer folds.
LEAST_GROUPS = 5


def measured_kinds(parts: Parts) -> list[int]:
    """Return right answers (0) and every kind of error that is measured; raises where there are not two of those."""
    if "item_kind" not in parts:
        raise NotComputableError("the task has one kind of error")
    if "kind_p" not in parts:
        raise NotComputableError("the probe tells no kinds of error")
    kind_n, cluster_n = parts["item_kind"], parts["item_cluster"]
    found = [int(k) for k in np.unique(kind_n) if len(np.unique(cluster_n[kind_n == k])) >= LEAST_GROUPS]
    if len([kind for kind in found if kind > 0]) < 2:
        raise NotComputableError(f"fewer than two kinds of error are found in {LEAST_GROUPS} groups")
    return found


def said_kinds(parts: Parts) -> NDArray[np.int64]:
    """Return the kind said of each answer: the one whose probability is largest against its share."""
    prior_nK = parts["kind_prior"]
    # what a fold has not seen it cannot say
    against_nK = np.divide(parts["kind_p"], prior_nK, out=np.full_like(prior_nK, -1.0), where=prior_nK > 0)
    return np.asarray(against_nK.argmax(1), dtype=np.int64)


def kind_recall(parts: Parts, w: Array, kind: int) -> Array:
    """Return the share of the answers of one kind (0: right) of which that kind is said, ``[...]``."""
    own_n, said_n = parts["item_kind"] == kind, said_kinds(parts) == kind
    told, every = (
        w @ cluster_sums(parts, one.astype(np.float64), "item_cluster", w.shape[-1]) for one in (own_n & said_n, own_n)
    )
    return ratio(told, every, "no answer is of this kind")


@metric(
    unit="1",
    direction="up",
    needs=ITEMS,
    tracks=ERRORS,
    source="standard: macro-averaged recall",
    null="1 / kinds, right answers among them",
    formula="1/K Σ over right and the kinds of error of the share told, saying the kind of largest p / π (train share)",
)
def kind_bal_acc(parts: Parts, w: Array) -> Array:
    """Mean over right answers and each kind of error of the share of them that is told.

    With one kind of error it would be ``bal_acc``.
    """
    return np.asarray(np.mean([kind_recall(parts, w, kind) for kind in measured_kinds(parts)], axis=0))


@metric(
    unit="1",
    direction="up",
    needs=ITEMS,
    tracks=ERRORS,
    source="Mann-Whitney of each kind against the others, averaged; Hand and Till 2001 average over pairs of kinds",
    null="0.5",
    formula="mean over kinds of P(q(of it) > q(of others)) + ½ P(equal), q = p(kind) / p(wrong), errors of one fold",
)
def kind_auroc(parts: Parts, w: Array) -> Array:
    """Probability that an error of a kind gets a higher score for it than one of another kind, mean over kinds.

    Of wrong answers alone, and by probabilities given that the answer is wrong: what it takes to see that an answer is
    wrong is ``auroc``.
    """
    kinds = [kind for kind in measured_kinds(parts) if kind > 0]
    kind_n, wrong_nK = parts["item_kind"], parts["kind_p"][:, 1:]
    w_n = item_weights(parts, w, "item_cluster") * np.isin(kind_n, kinds)
    total_n1 = wrong_nK.sum(1, keepdims=True)
    even = np.full_like(wrong_nK, 1 / wrong_nK.shape[1])
    given_nK = np.divide(wrong_nK, total_n1, out=even, where=total_n1 > 0)
    scores = [
        auroc_in_folds(given_nK[:, kind - 1], kind_n == kind, parts["item_fold"], w_n, "no fold has two kinds of error")
        for kind in kinds
    ]
    return np.asarray(np.mean(scores, axis=0))
