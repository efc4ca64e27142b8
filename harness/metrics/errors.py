"""How well a probe tells wrong answers from right ones, on groups it was not fitted on. Positive: a wrong answer.

Parts hold one row per answer: ``item_p`` the probability that it is wrong, from the fold that did not see its group,
``item_y`` whether it is, ``item_prior`` the share of wrong answers the fold was fitted on, ``item_fold``,
``item_cluster`` and ``item_author``. Where nothing else is said decisions are made at probability one half.
"""

from __future__ import annotations

import numpy as np

from harness.metrics.contract import Array, NotComputableError, Parts, constant, metric, ratio
from harness.metrics.items import answers_auroc, auroc_in_folds, by_score, cluster_sums, item_weights

ERRORS = ("errors",)
ITEMS = ("item_cluster", "item_p", "item_y")
_ONE_CLASS = "all answers are right, or all are wrong"
_LIMIT = 0.5
BINS = 10


def _weights(parts: Parts, w: Array) -> Array:
    return item_weights(parts, w, "item_cluster")


def _total(parts: Parts, w: Array, of_n: Array) -> Array:
    return w @ cluster_sums(parts, of_n, "item_cluster", w.shape[-1])


def _share(parts: Parts, w: Array, of: Array, among: Array, reason: str) -> Array:
    return ratio(_total(parts, w, of * among), _total(parts, w, among), reason)


def _balanced(parts: Parts, w: Array, said: Array, true: Array, reason: str = _ONE_CLASS) -> Array:
    right = (said == true).astype(np.float64)
    return (_share(parts, w, right, true, reason) + _share(parts, w, right, 1.0 - true, reason)) / 2


def _auroc(parts: Parts, w: Array, score: str) -> Array:
    return answers_auroc(parts, w, parts[score], parts["item_y"])


@metric(
    unit="1",
    direction="up",
    needs=ITEMS,
    tracks=ERRORS,
    source="standard",
    null="the larger class's share",
    formula="Σ [ (p ≥ ½) = y ] / n",
)
def accuracy(parts: Parts, w: Array) -> Array:
    """Share of answers of which it is told rightly whether they are wrong."""
    right = ((parts["item_p"] >= _LIMIT) == (parts["item_y"] > 0)).astype(np.float64)
    return _share(parts, w, right, np.ones_like(right), "there is no answer")


@metric(
    unit="1",
    direction="up",
    needs=(*ITEMS, "item_prior"),
    tracks=ERRORS,
    source="standard",
    null="0.5",
    formula="½ Σ over classes of the share told right, deciding at p ≥ π, the train share of wrong answers",
)
def bal_acc(parts: Parts, w: Array) -> Array:
    """Mean of the shares of wrong and of right answers that are told.

    Decided at the share of wrong answers among those the probe was fitted on, which is what one half is to a balanced
    probe.
    """
    said = (parts["item_p"] >= parts["item_prior"]).astype(np.float64)
    return _balanced(parts, w, said, parts["item_y"])


@metric(
    unit="1",
    direction="up",
    needs=(*ITEMS, "item_fold"),
    tracks=ERRORS,
    source="Mann-Whitney over pairs of one fold, ties one half",
    null="0.5",
    formula="P(p(wrong) > p(right)) + ½ P(equal), over pairs of one fold",
)
def auroc(parts: Parts, w: Array) -> Array:
    """Probability that a wrong answer gets a higher score than a right one of the same fold.

    The interval is over problems, with the fitted probes held fixed. Each fold's answers fitted the probes of the
    others too: of pure noise (100 to 250 groups, 40 to 400 features) it holds 0.5 in 82 to 87 of 100 draws, not 95. So
    it is with every metric of what a probe predicts; reports widen what they judge (Nadeau and Bengio 2003).
    """
    return _auroc(parts, w, "item_p")


@metric(
    unit="1",
    direction="up",
    needs=(*ITEMS, "item_fold", "item_author"),
    tracks=ERRORS,
    source="ours; pairs as in auroc",
    null="0.5, also for a score that knows who wrote an answer and nothing else",
    formula="P(p(wrong) > p(right)) + ½ P(equal), over pairs of one fold and one author",
)
def auroc_within_author(parts: Parts, w: Array) -> Array:
    """Probability that a wrong answer gets a higher score than a right one by the same author, in the same fold."""
    author_n, fold_n = parts["item_author"], parts["item_fold"]
    if len(np.unique(author_n)) < 2:
        raise NotComputableError("the answers have one author; auroc says the same")
    within_n = fold_n * (author_n.max() + 1) + author_n
    reason = "no author has both right and wrong answers in one fold"
    return auroc_in_folds(parts["item_p"], parts["item_y"] > 0, within_n, _weights(parts, w), reason)


@metric(
    unit="1",
    direction="up",
    needs=(*ITEMS, "item_fold"),
    tracks=ERRORS,
    source="average precision of each fold, by its wrong answers",
    null="the share of wrong answers",
    formula="Σ over folds of Σ over wrong answers of precision at their score / wrong answers",
)
def auprc(parts: Parts, w: Array) -> Array:
    """Average precision: the mean precision at each wrong answer, by falling score inside its fold, ties together."""
    w_n, total = _weights(parts, w), 0.0
    for fold in np.unique(parts["item_fold"]):
        own = parts["item_fold"] == fold
        pair = (w_n[..., own] * parts["item_y"][own], w_n[..., own])
        hit, every = (by_score(-parts["item_p"][own], one) for one in pair)
        with np.errstate(divide="ignore", invalid="ignore"):
            total = total + (hit * np.nan_to_num(hit.cumsum(-1) / every.cumsum(-1))).sum(-1)
    return ratio(np.asarray(total), (w_n * parts["item_y"]).sum(-1), "no answer is wrong")


@metric(
    unit="1",
    direction="up",
    needs=ITEMS,
    tracks=ERRORS,
    source="standard",
    null="the share of wrong answers",
    formula="wrong and p ≥ ½ / p ≥ ½",
)
def precision_wrong(parts: Parts, w: Array) -> Array:
    """Share of the answers called wrong that are."""
    called = (parts["item_p"] >= _LIMIT).astype(np.float64)
    return _share(parts, w, parts["item_y"], called, "no answer is called wrong")


@metric(
    unit="1",
    direction="up",
    needs=ITEMS,
    tracks=ERRORS,
    source="standard",
    null="0 or 1: one class for all",
    formula="wrong and p ≥ ½ / wrong",
)
def recall_wrong(parts: Parts, w: Array) -> Array:
    """Share of the wrong answers that are called so."""
    called = (parts["item_p"] >= _LIMIT).astype(np.float64)
    return _share(parts, w, called, parts["item_y"], "no answer is wrong")


@metric(
    unit="1",
    direction="up",
    needs=ITEMS,
    tracks=ERRORS,
    source="standard",
    null="2s / (1 + s) where all are called wrong, s the share of wrong answers",
    formula="2 · hits / (called wrong + wrong)",
)
def f1_wrong(parts: Parts, w: Array) -> Array:
    """Harmonic mean of precision and recall of the wrong answers."""
    called = (parts["item_p"] >= _LIMIT).astype(np.float64)
    hit, said, true = (_total(parts, w, one) for one in (called * parts["item_y"], called, parts["item_y"]))
    return ratio(2 * hit, said + true, "no answer is wrong or called so")


@metric(
    unit="1",
    direction="down",
    needs=ITEMS,
    tracks=ERRORS,
    source="Brier 1950",
    null="share × (1 − share)",
    formula="Σ (p − y)² / n",
)
def brier(parts: Parts, w: Array) -> Array:
    """Mean squared difference of probability and outcome."""
    square = (parts["item_p"] - parts["item_y"]) ** 2
    return _share(parts, w, square, np.ones_like(square), "there is no answer")


@metric(
    unit="1",
    direction="down",
    needs=ITEMS,
    tracks=ERRORS,
    source="ten bins of equal width",
    null="about 0: the share of wrong answers for all",
    formula="Σ over 10 bins of |Σ in the bin (p − y)| / n",
)
def ece(parts: Parts, w: Array) -> Array:
    """Expected calibration error: the mean over bins of |mean probability - share wrong|, by answers in the bin.

    Above 0 by chance too: about .04 where a calibrated probe spreads 500 answers evenly over the bins. A probe that
    says the same of all has one bin, so the larger class looks better than it is; ``brier`` tells them apart.
    """
    bin_n = np.minimum((parts["item_p"] * BINS).astype(np.int64), BINS - 1)
    off_n = parts["item_p"] - parts["item_y"]
    gaps = [np.abs(_total(parts, w, off_n * (bin_n == b))) for b in range(BINS)]
    return ratio(np.sum(gaps, axis=0), _total(parts, w, np.ones_like(off_n)), "there is no answer")


@metric(
    unit="1",
    direction="target",
    needs=(*ITEMS, "train_right", "train_n"),
    tracks=ERRORS,
    source="standard; with more features than answers a large gap is expected, not a finding",
    null="0: the larger class for all",
    formula="accuracy on the fitted folds − accuracy",
)
def train_test_gap(parts: Parts, w: Array) -> Array:
    """Accuracy on the answers a fold was fitted on, less that on those it was not.

    The interval is that of the latter; what the probe was fitted on is held fixed.
    """
    fitted = float(parts["train_right"].sum() / parts["train_n"].sum())
    return np.asarray(fitted - accuracy(parts, w), dtype=np.float64)


@metric(
    unit="1",
    direction="up",
    needs=(*ITEMS, "item_prior", "control_p", "control_prior", "control_y"),
    tracks=ERRORS,
    source="Hewitt and Liang, arXiv 1909.03368",
    null="0",
    formula="bal_acc − bal_acc of the same probe on random labels of groups",
)
def selectivity(parts: Parts, w: Array) -> Array:
    """Balanced accuracy less that of the same probe on a control task: each group has a label drawn at random."""
    said = (parts["control_p"] >= parts["control_prior"]).astype(np.float64)
    control = _balanced(parts, w, said, parts["control_y"], "the control task has one class")
    return np.asarray(bal_acc(parts, w) - control, dtype=np.float64)


@metric(
    unit="1",
    direction="target",
    needs=("item_cluster", "leak_p", "leak_prior", "control_y"),
    tracks=ERRORS,
    source="after Hewitt and Liang, arXiv 1909.03368",
    null="0.5: answers to one problem are no more alike than others",
    formula="bal_acc on random labels of groups where rows are divided",
)
def leak_check(parts: Parts, w: Array) -> Array:
    """Balanced accuracy on the control task where rows, not groups, are divided: its excess over .5 is the leak.

    Labels are drawn at random for each group, so only what answers of one group share can tell them. No score of a
    probe: what a split by rows would add to one.
    """
    said = (parts["leak_p"] >= parts["leak_prior"]).astype(np.float64)
    return _balanced(parts, w, said, parts["control_y"], "the control task has one class")


@metric(
    unit="1",
    direction="up",
    needs=(*ITEMS, "item_fold", "confidence_p", "joined_p"),
    tracks=ERRORS,
    source="ours",
    null="0: the probe tells nothing that the model's confidence does not",
    formula="auroc(confidence and p together) − auroc(confidence)",
)
def added_auroc(parts: Parts, w: Array) -> Array:
    """AUROC of the model's confidence and the probe's score together, less that of the confidence alone."""
    return np.asarray(_auroc(parts, w, "joined_p") - _auroc(parts, w, "confidence_p"), dtype=np.float64)


@metric(
    unit="pooled SD",
    direction="up",
    needs=("d_max",),
    tracks=ERRORS,
    source="Cohen 1988; read it beside the threshold in the record's details",
    null="below the threshold in 95 of 100; it grows with the number of features",
    interval="none",
    derived=False,
    formula="max over features of |mean(wrong) − mean(right)| / pooled SD",
)
def cohens_d_max(parts: Parts, w: Array) -> Array:
    """Largest absolute effect size of a feature between wrong and right answers."""
    return constant(w, float(parts["d_max"][0]))


@metric(
    unit="features",
    direction="up",
    needs=("d_above",),
    tracks=ERRORS,
    source="ours: 95th percentile of the largest |d| where groups exchange their labels",
    null="0 in 95 of 100",
    interval="none",
    derived=False,
    formula="features with |d| above the 95th percentile of the largest |d| under exchanged labels",
)
def n_above_null(parts: Parts, w: Array) -> Array:
    """Features whose effect size exceeds what the largest of them reaches by chance."""
    return constant(w, float(parts["d_above"][0]))
