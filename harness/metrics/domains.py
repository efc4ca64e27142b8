"""How well a linear probe tells the domain of a document from its code, on groups it was not fitted on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.metrics.contract import Array, Parts, metric, ratio

DOMAINS = ("domains",)
_SOURCE = "ours; logistic regression under scikit-learn's StratifiedGroupKFold"
_NO_ITEM = "a class has no document"


def _weights(parts: Parts, w: Array) -> Array:
    """Return the weight of each document, ``[..., n]``."""
    return np.asarray(w[..., parts["doc_cluster"].astype(np.int64)], dtype=np.float64)


def _balanced_accuracy(scores_nK: Array, label_n: Array, w_n: Array) -> Array:
    hit_n = scores_nK.argmax(1) == label_n
    recalls = []
    for k in range(scores_nK.shape[1]):
        own_n = label_n == k
        recalls.append(ratio((w_n * (hit_n & own_n)).sum(-1), (w_n * own_n).sum(-1), _NO_ITEM))
    return np.asarray(np.mean(recalls, axis=0), dtype=np.float64)


def _auroc(scores_nK: Array, label_n: Array, fold_n: Array, w_n: Array) -> Array:
    """Return the mean over classes of one-against-rest AUROC over pairs of one fold."""
    values = []
    for k in range(scores_nK.shape[1]):
        wins, pairs = np.zeros(w_n.shape[:-1]), np.zeros(w_n.shape[:-1])
        for fold in np.unique(fold_n):
            inside = fold_n == fold
            won, all_pairs = _pairs(scores_nK[inside, k], label_n[inside] == k, w_n[..., inside])
            wins, pairs = wins + won, pairs + all_pairs
        values.append(ratio(wins, pairs, _NO_ITEM))
    return np.asarray(np.mean(values, axis=0), dtype=np.float64)


def _pairs(score_n: Array, positive_n: NDArray[np.bool_], w_n: Array) -> tuple[Array, Array]:
    """Return the weight of pairs that are in the right order (ties one half), and of all pairs of unlike items."""
    _, place_n = np.unique(score_n, return_inverse=True)
    steps = np.arange(place_n.max(initial=-1) + 1)
    one_hot = (place_n[:, None] == steps).astype(np.float64)
    above, below = (w_n * positive_n) @ one_hot, (w_n * ~positive_n) @ one_hot
    lower = below.cumsum(-1) - below
    return (above * (lower + below / 2)).sum(-1), above.sum(-1) * below.sum(-1)


@metric(
    unit="1",
    direction="up",
    formula="domain_bal_acc = mean over domains k of the share of documents of k that are told to be k",
    needs=("doc_cluster", "doc_label", "code_scores"),
    tracks=DOMAINS,
    source=_SOURCE,
    null="one over the number of domains",
)
def domain_bal_acc(parts: Parts, w: Array) -> Array:
    """Balanced accuracy of the domain from the code of the document: its shared code, else its mean token code.

    The mean over classes of the share of their documents that are told right. ``w [..., C] -> [...]``. Not computable
    where a class has no document.
    """
    return _balanced_accuracy(parts["code_scores"], parts["doc_label"], _weights(parts, w))


@metric(
    unit="1",
    direction="up",
    formula="domain_auroc = mean over domains k of P(score of k in k > elsewhere), ties ½, pairs of one fold",
    needs=("doc_cluster", "doc_label", "doc_fold", "code_scores"),
    tracks=DOMAINS,
    source=_SOURCE,
    null="0.5",
)
def domain_auroc(parts: Parts, w: Array) -> Array:
    """Macro AUROC of the domain from the code of the document: its shared code, else its mean token code.

    The mean over classes, one against the rest, over pairs of documents of one fold, ties one half.
    ``w [..., C] -> [...]``. Not computable where a class has no document.
    """
    return _auroc(parts["code_scores"], parts["doc_label"], parts["doc_fold"], _weights(parts, w))


@metric(
    unit="1",
    direction="up",
    formula="as domain_bal_acc, from unique token codes alone",
    needs=("doc_cluster", "doc_label", "unique_scores"),
    tracks=DOMAINS,
    source=_SOURCE,
    null="one over the number of domains",
    margin=False,
)
def domain_bal_acc_unique(parts: Parts, w: Array) -> Array:
    """Balanced accuracy of the domain from the mean of the document's token codes, shared latents left out.

    As ``domain_bal_acc``. Of ``identity`` it is that of the raw mean. ``w [..., C] -> [...]``.
    """
    return _balanced_accuracy(parts["unique_scores"], parts["doc_label"], _weights(parts, w))


@metric(
    unit="1",
    direction="up",
    formula="as domain_auroc, from unique token codes alone",
    needs=("doc_cluster", "doc_label", "doc_fold", "unique_scores"),
    tracks=DOMAINS,
    source=_SOURCE,
    null="0.5",
    margin=False,
)
def domain_auroc_unique(parts: Parts, w: Array) -> Array:
    """Macro AUROC of the domain from the mean of the document's token codes, shared latents left out.

    As ``domain_auroc``. Of ``identity`` it is that of the raw mean. ``w [..., C] -> [...]``.
    """
    return _auroc(parts["unique_scores"], parts["doc_label"], parts["doc_fold"], _weights(parts, w))


@metric(
    unit="1",
    direction="up",
    formula="domain_gain = domain_bal_acc(shared code) − domain_bal_acc(unique codes)",
    needs=("doc_cluster", "doc_label", "shared_scores", "unique_scores"),
    tracks=DOMAINS,
    source=_SOURCE,
    null="0: the shared code tells no more of the domain than the mean of the unique ones",
    margin=False,
)
def domain_gain(parts: Parts, w: Array) -> Array:
    """Balanced accuracy of the domain from the shared code less that from the mean unique code, on the same folds.

    ``w [..., C] -> [...]``. Methods without a shared code have none.
    """
    w_n, label_n = _weights(parts, w), parts["doc_label"]
    ours, theirs = (_balanced_accuracy(parts[name], label_n, w_n) for name in ("shared_scores", "unique_scores"))
    return np.asarray(ours - theirs, dtype=np.float64)


@metric(
    unit="1",
    direction="target",
    formula="as domain_bal_acc, with the labels of groups exchanged",
    needs=("doc_cluster", "permuted_label", "permuted_scores"),
    tracks=DOMAINS,
    source="control task of Hewitt and Liang, arXiv 1909.03368: groups exchange their labels",
    null="one over the number of domains; an interval above it for most methods is a leak between folds",
)
def domain_bal_acc_permuted(parts: Parts, w: Array) -> Array:
    """Balanced accuracy of the same probe where groups have exchanged their labels: chance, or the folds leak.

    Labels are exchanged once, so among few groups one method strays far. As ``domain_bal_acc``.
    ``w [..., C] -> [...]``.
    """
    return _balanced_accuracy(parts["permuted_scores"], parts["permuted_label"], _weights(parts, w))


@metric(
    unit="1",
    direction="target",
    formula="leak_r2 = 1 − Σ‖x̄−g(z̄)‖² / Σ‖x̄−μ‖² over documents, g and μ from the other folds",
    needs=("leak_se", "leak_total"),
    tracks=DOMAINS,
    source="ours",
    null="0; a dictionary without a shared code tells the mean by its token codes, as it should",
)
def leak_r2(parts: Parts, w: Array) -> Array:
    """Share of the variance of document means that the mean token code tells, shared latents left out.

    ``1 - sum ||xbar - g(zbar)||^2 / sum ||xbar - mu||^2``, ``g`` a ridge regression on the other folds and ``mu`` their
    mean. Beside a shared code, how much of what is shared leaked into the unique one. ``w [..., C] -> [...]``.
    """
    return 1.0 - ratio(w @ parts["leak_se"], w @ parts["leak_total"], "document means do not vary")
