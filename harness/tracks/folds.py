"""One outer fold of an error probe: fitted on the other folds' answers, and what it says of this one's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import ErrorProbe, Features, Labels
from harness.tracks.error_kinds import Kinds
from harness.training.logistic import INNER, OUTER, GroupedLogistic, folds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = NDArray[np.bool_]

# By how much the probabilities of an answer may miss 1: the rounding of float32.
UNIT = 1e-5


@dataclass(frozen=True)
class Judged:
    """Answers with their labels, int64 ``[n]``: 1 where wrong.

    Attributes:
        control_n: a label drawn at random for every group, the control task.
        fold_n: outer fold, groups whole.
        row_fold_n: outer fold where every row is by itself, for the leak alone.
        kinds: what kind of error each has; None where there is one kind, or nobody is told.
    """

    y_n: Ints
    group_n: Ints
    control_n: Ints
    fold_n: Ints
    row_fold_n: Ints
    kinds: Kinds | None = None

    @property
    def told_n(self) -> Ints:
        """What a probe is fitted on: the kinds, or whether an answer is wrong; class 0 is right."""
        return self.y_n if self.kinds is None else self.kinds.kind_n

    def asked(self, labels: Labels) -> Judged:
        """Return what a probe is told of the answers and judged by."""
        if labels == "control":
            return replace(self, y_n=self.control_n, kinds=None)
        return self if labels == "kind" else replace(self, kinds=None)


def judged(y_n: Ints, group_n: Ints, kinds: Kinds | None = None) -> Judged:
    """Return the answers with their folds and their control task; the same answers always get the same ones."""
    control_n = control_labels(y_n, group_n)
    rows = np.arange(len(y_n))
    # every kind in every fold, as far as groups allow
    fold_n = folds(y_n if kinds is None else kinds.kind_n, group_n, OUTER)
    return Judged(y_n, group_n, control_n, fold_n, folds(control_n, rows, OUTER), kinds)


def control_labels(y_n: Ints, group_n: Ints, seed: int = 0) -> Ints:
    """Return one random label for each group: as large a share of the groups is 1 as of the answers is wrong."""
    _, of_n = np.unique(group_n, return_inverse=True)
    groups = int(of_n.max()) + 1
    ones = min(max(round(float(y_n.mean()) * groups), 1), groups - 1)
    return (np.random.default_rng(seed).permutation(groups) < ones).astype(np.int64)[of_n]


def chance(probe: ErrorProbe, x_nF: NDArray[Any], told_n: Ints, group_n: Ints, train_n: Rows) -> Floats:
    """Fit on the rows of ``train_n`` and return the probability that each answer is wrong, ``[n]``, of all rows."""
    return _not_right(chances(probe, x_nF, told_n, group_n, train_n))


def chances(probe: ErrorProbe, x_nF: NDArray[Any], told_n: Ints, group_n: Ints, train_n: Rows) -> Floats:
    """Fit on the rows of ``train_n`` and return the probability of each class, ``[n, K]``, of all rows.

    Raises:
        ValueError: what the probe returns are no probabilities.
    """
    classes = max(int(told_n.max()) + 1, 2)
    probe.fit(x_nF[train_n], told_n[train_n], group_n[train_n])
    p_nK = np.asarray(probe.predict(x_nF, classes), dtype=np.float64)
    what = f"predict must return probabilities [{len(x_nF)}, {classes}]"
    if p_nK.shape != (len(x_nF), classes):
        raise ValueError(f"{what}, got shape {list(p_nK.shape)}")
    if not np.isfinite(p_nK).all():
        raise ValueError(f"{what}, got numbers that are not finite")
    total_n = p_nK.sum(1)
    if p_nK.min() < 0 or np.abs(total_n - 1).max() > UNIT:
        sums = f"rows that sum to {total_n.min():.3g} to {total_n.max():.3g}"
        raise ValueError(f"{what}, got numbers from {p_nK.min():.3g} to {p_nK.max():.3g} in {sums}")
    return p_nK


def _not_right(p_nK: Floats) -> Floats:
    return np.asarray(p_nK[:, 1:].sum(1), dtype=np.float64)


def fold_parts(probe: ErrorProbe, features: Features, items: Judged, fold: int) -> dict[str, Floats]:
    """Return what one fold adds to the parts of ``harness.metrics.errors``, rows in the order of ``index``."""
    x_nF, test_n = features.value_nF, items.fold_n == fold
    p_nK = chances(probe, x_nF, items.told_n, items.group_n, ~test_n)
    p_n, prior_K = _not_right(p_nK), np.bincount(items.told_n[~test_n], minlength=p_nK.shape[1]) / (~test_n).sum()
    right_n = (p_n >= 0.5) == (items.y_n > 0)
    kinds = {} if items.kinds is None else {"kind_p": p_nK[test_n], "kind_prior": np.tile(prior_K, (test_n.sum(), 1))}
    return kinds | {
        "index": np.flatnonzero(test_n).astype(np.float64),
        "item_y": items.y_n[test_n].astype(np.float64),
        "item_p": p_n[test_n],
        "item_prior": np.full(int(test_n.sum()), prior_K[1:].sum()),
        "train_right": np.array([float(right_n[~test_n].sum())]),
        "train_n": np.array([float((~test_n).sum())]),
    }


def control_parts(probe: ErrorProbe, features: Features, items: Judged, fold: int) -> dict[str, Floats]:
    """Return the control task of one fold, rows in the order of ``index`` of ``fold_parts``."""
    p_n, prior_n = _control(probe, features, items, items.fold_n == fold, items.group_n)
    return {"control_p": p_n, "control_prior": prior_n}


def leak_parts(probe: ErrorProbe, features: Features, items: Judged, fold: int) -> dict[str, Floats]:
    """Return the control task under a division by rows; groups are rows here too, or inner folds would not leak."""
    test_n = items.row_fold_n == fold
    p_n, prior_n = _control(probe, features, items, test_n, np.arange(len(test_n)))
    return {"leak_index": np.flatnonzero(test_n).astype(np.float64), "leak_p": p_n, "leak_prior": prior_n}


def _control(
    probe: ErrorProbe, features: Features, items: Judged, test_n: Rows, group_n: Ints
) -> tuple[Floats, Floats]:
    """Return the probability of the control label of each test row, and its share among the rows fitted on."""
    p_n = chance(probe, features.value_nF, items.control_n, group_n, ~test_n)
    return p_n[test_n], np.full(int(test_n.sum()), items.control_n[~test_n].mean())


def joined_parts(
    probe: ErrorProbe, features: Features, confidence_nK: Floats, items: Judged, fold: int, p_n: Floats
) -> dict[str, Floats]:
    """Return what confidence tells alone, and together with the probe's score.

    The scores that the joint fit sees come from inner folds: those of answers the probe was fitted on would look better
    than they are.
    """
    test_n = items.fold_n == fold
    score_n = np.zeros(len(test_n))
    score_n[test_n] = _odds(p_n)
    train = np.flatnonzero(~test_n)
    inner_n = folds(items.y_n[train], items.group_n[train], INNER)
    for inner in range(INNER):
        fitted = np.zeros(len(test_n), dtype=bool)
        fitted[train[inner_n != inner]] = True
        held = train[inner_n == inner]
        score_n[held] = _odds(chance(probe, features.value_nF, items.told_n, items.group_n, fitted)[held])
    found = {}
    for name, value_nK in (
        ("confidence_p", confidence_nK),
        ("joined_p", np.concatenate([confidence_nK, score_n[:, None]], 1)),
    ):
        logistic = GroupedLogistic()
        logistic.fit(value_nK[~test_n], items.y_n[~test_n], items.group_n[~test_n])
        found[name] = np.exp(logistic.log_probs(value_nK[test_n], 2)[:, 1])
    return found


def _odds(p_n: Floats) -> Floats:
    p_n = np.clip(p_n, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p_n) - np.log1p(-p_n), dtype=np.float64)
