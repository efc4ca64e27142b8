"""Linear probes under grouped cross-validation: no group is on both sides of a fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from harness.stats.nulls import exchanged
from harness.training.logistic import INNER, OUTER, GroupedLogistic, folds, scaling

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RIDGES = tuple(10.0**power for power in range(-2, 5))
# With fewer groups a class could be missing from an inner fold.
FEWEST_GROUPS = INNER


@dataclass(frozen=True)
class Labelled:
    """Items to probe: class ``0 … K - 1``, group and fold of each, int64 ``[n]``."""

    label_n: Ints
    group_n: Ints
    fold_n: Ints

    @property
    def classes(self) -> int:
        """``K``."""
        return int(self.label_n.max()) + 1


def labelled(label_n: Ints, group_n: Ints) -> Labelled:
    """Divide items into folds by group, classes spread evenly; the same items always fall into the same folds."""
    return Labelled(label_n, group_n, folds(label_n, group_n, OUTER))


def permuted(items: Labelled, seed: int = 0) -> Labelled:
    """Return the null: groups exchange their labels, and folds are made anew."""
    return labelled(exchanged(items.label_n, items.group_n, seed), items.group_n)


def class_scores(feature_nF: Floats, items: Labelled, progress: Callable[[int, int], None]) -> Floats:
    """Return out-of-fold log-probabilities of a logistic regression, ``[n, K]``; each fold chooses its penalty."""
    scores_nK = np.zeros((len(feature_nF), items.classes))
    for fold in range(OUTER):
        train = items.fold_n != fold
        probe = GroupedLogistic()
        probe.fit(feature_nF[train], items.label_n[train], items.group_n[train])
        scores_nK[~train] = probe.log_probs(feature_nF[~train], items.classes)
        progress(fold + 1, OUTER)
    return scores_nK


def regression_errors(feature_nF: Floats, target_nD: Floats, items: Labelled) -> tuple[Floats, Floats]:
    """Return each item's squared error under out-of-fold ridge regression, and that of the train mean, ``[n]`` each."""
    error_n, total_n = np.zeros(len(feature_nF)), np.zeros(len(feature_nF))
    for fold in range(OUTER):
        train = items.fold_n != fold
        scaled = scaling(feature_nF[train])[0].of(feature_nF)
        mean_D = target_nD[train].mean(0)
        inner = folds(items.label_n[train], items.group_n[train], INNER)
        ridge = _ridge(scaled[train], target_nD[train] - mean_D, inner)
        left = target_nD[~train] - mean_D
        error_n[~train] = ((left - ridge.predict(scaled[~train]).reshape(left.shape)) ** 2).sum(1)
        total_n[~train] = (left**2).sum(1)
    return error_n, total_n


def _ridge(feature_nF: Floats, target_nD: Floats, inner_n: Ints) -> Ridge:
    def error(alpha: float) -> float:
        total = 0.0
        for fold in range(INNER):
            train = inner_n != fold
            model = Ridge(alpha).fit(feature_nF[train], target_nD[train])
            total += float(((target_nD[~train] - model.predict(feature_nF[~train])) ** 2).sum())
        return total

    best = min(RIDGES, key=error)
    return Ridge(best).fit(feature_nF, target_nD)
