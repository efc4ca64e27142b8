"""Linear probes under grouped cross-validation (methods.md 1.17, 2.6): no group is on both sides of a fold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold

from harness.stats.nulls import exchanged

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OUTER, INNER = 5, 3
STRENGTHS = tuple(10.0**power for power in range(-4, 2))
RIDGES = tuple(10.0**power for power in range(-2, 5))
# With fewer groups a class could be missing from an inner fold.
FEWEST_GROUPS = INNER
# Log-probability of a class that the train rows lack.
LEAST = -50.0


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
    return Labelled(label_n, group_n, _folds(label_n, group_n, OUTER))


def permuted(items: Labelled, seed: int = 0) -> Labelled:
    """Return the null: groups exchange their labels, and folds are made anew."""
    return labelled(exchanged(items.label_n, items.group_n, seed), items.group_n)


def class_scores(feature_nF: Floats, items: Labelled, progress: Callable[[int, int], None]) -> Floats:
    """Return out-of-fold log-probabilities of a logistic regression, ``[n, K]``.

    Inside each fold features are standardised, and the strength of the L2 penalty is chosen by grouped inner folds on
    balanced accuracy.
    """
    scores_nK = np.zeros((len(feature_nF), items.classes))
    for fold in range(OUTER):
        train = items.fold_n != fold
        scaled = _standardised(feature_nF, train)
        label, group = items.label_n[train], items.group_n[train]
        strength = _strength(scaled[train], label, group)
        scores_nK[~train] = _scores(_logistic(scaled[train], label, strength), scaled[~train], items.classes)
        progress(fold + 1, OUTER)
    return scores_nK


def regression_errors(feature_nF: Floats, target_nD: Floats, items: Labelled) -> tuple[Floats, Floats]:
    """Return each item's squared error under out-of-fold ridge regression, and that of the train mean, ``[n]`` each."""
    error_n, total_n = np.zeros(len(feature_nF)), np.zeros(len(feature_nF))
    for fold in range(OUTER):
        train = items.fold_n != fold
        scaled = _standardised(feature_nF, train)
        mean_D = target_nD[train].mean(0)
        inner = _folds(items.label_n[train], items.group_n[train], INNER)
        ridge = _ridge(scaled[train], target_nD[train] - mean_D, inner)
        left = target_nD[~train] - mean_D
        error_n[~train] = ((left - ridge.predict(scaled[~train]).reshape(left.shape)) ** 2).sum(1)
        total_n[~train] = (left**2).sum(1)
    return error_n, total_n


def _folds(label_n: Ints, group_n: Ints, count: int) -> Ints:
    fold_n = np.zeros(len(label_n), dtype=np.int64)
    with warnings.catch_warnings():
        # a class with fewer groups than folds is absent from some: it is then simply not tested there
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=0)
        for fold, (_, test) in enumerate(splitter.split(label_n, label_n, group_n)):
            fold_n[test] = fold
    return fold_n


def _standardised(feature_nF: Floats, train: NDArray[np.bool_]) -> Floats:
    """Scale by the train rows, and turn to the axes the train rows span: L2 penalties do not see the turn.

    Features that are constant on the train rows are left out; where all are, a column of zeros stands for them.
    """
    mean_F, spread_F = feature_nF[train].mean(0), feature_nF[train].std(0)
    alive_F = spread_F > 1e-9 * max(float(spread_F.max(initial=0.0)), 1e-300)
    if not alive_F.any():
        return np.zeros((len(feature_nF), 1))
    scaled = (feature_nF[:, alive_F] - mean_F[alive_F]) / spread_F[alive_F]
    if scaled.shape[1] <= train.sum():
        return np.asarray(scaled, dtype=np.float64)
    axes = np.linalg.svd(scaled[train], full_matrices=False)[2]
    return np.asarray(scaled @ axes.T, dtype=np.float64)


def _logistic(feature_nF: Floats, label_n: Ints, strength: float) -> LogisticRegression | int:
    """Return a fitted regression, or the one class there is."""
    classes = np.unique(label_n)
    if len(classes) == 1:
        return int(classes[0])
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=300, tol=1e-3)
    with warnings.catch_warnings():
        # at the weakest penalty the data are separable and the norm still grows; the choice of strength decides
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(feature_nF, label_n)


def _scores(model: LogisticRegression | int, feature_nF: Floats, classes: int) -> Floats:
    scores_nK = np.full((len(feature_nF), classes), LEAST)
    if isinstance(model, int):
        scores_nK[:, model] = 0.0
    else:
        # a probability that underflows has the logarithm LEAST
        with np.errstate(divide="ignore"):
            scores_nK[:, model.classes_] = np.maximum(model.predict_log_proba(feature_nF), LEAST)
    return scores_nK


def _strength(feature_nF: Floats, label_n: Ints, group_n: Ints) -> float:
    """Return the penalty of best balanced accuracy over the inner folds; of equal ones the strongest."""
    inner_n = _folds(label_n, group_n, INNER)
    found = []
    for strength in STRENGTHS:
        guess_n = np.zeros_like(label_n)
        for fold in range(INNER):
            train = inner_n != fold
            model = _logistic(feature_nF[train], label_n[train], strength)
            scores = _scores(model, feature_nF[~train], int(label_n.max()) + 1)
            guess_n[~train] = scores.argmax(1)
        found.append(float(balanced_accuracy_score(label_n, guess_n)))
    return STRENGTHS[int(np.argmax(found))]


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
