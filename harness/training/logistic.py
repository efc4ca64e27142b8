"""Logistic regression whose penalty is chosen across groups."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = NDArray[np.bool_]

OUTER, INNER = 5, 3
STRENGTHS = tuple(10.0**power for power in range(-4, 2))
# Log-probability of a class that the train rows lack.
LEAST = -50.0


def folds(label_n: Ints, group_n: Ints, count: int) -> Ints:
    """Return the fold of each item, groups whole, classes spread evenly; equal items always fall into equal folds."""
    told, groups = (np.ascontiguousarray(value_n, dtype=np.int64).tobytes() for value_n in (label_n, group_n))
    return _folds(told, groups, count).copy()


# Every probe of the same answers asks for the same folds, and to divide a thousand groups takes as long as a fit.
@lru_cache(maxsize=256)
def _folds(labels: bytes, groups: bytes, count: int) -> Ints:
    label_n, group_n = np.frombuffer(labels, dtype=np.int64), np.frombuffer(groups, dtype=np.int64)
    fold_n = np.zeros(len(label_n), dtype=np.int64)
    with warnings.catch_warnings():
        # a class with fewer groups than folds is absent from some: it is then simply not tested there
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=0)
        for fold, (_, test) in enumerate(splitter.split(label_n, label_n, group_n)):
            fold_n[test] = fold
    return fold_n


@dataclass(frozen=True)
class Axes:
    """The principal axes of ``N`` rows with more features than rows, by way of their products with each other.

    The axes themselves would be ``row.T @ turn``; a row's places on them need only its products with the rows.
    """

    row_NA: Floats
    turn_NR: Floats

    def of(self, scaled_nA: Floats) -> Floats:
        """Return the place of each row on the axes, ``[n, R]``."""
        return np.asarray((scaled_nA @ self.row_NA.T) @ self.turn_NR, dtype=np.float64)

    def weights(self, weight_KR: Floats) -> Floats:
        """Return weights of features that say of rows what ``weight_KR`` says of their places, ``[K, A]``."""
        return np.asarray((weight_KR @ self.turn_NR.T) @ self.row_NA, dtype=np.float64)


def axes(row_NA: Floats) -> tuple[Axes, Floats]:
    """Return the axes on which rows have any length, and the rows' places on them ``[N, R]``.

    Several times as fast as a singular value decomposition of rows with many features.
    """
    square_R, left_NR = np.linalg.eigh(row_NA @ row_NA.T)
    # what rounding leaves of directions that no row has a part in
    there = square_R > 1e-10 * square_R[-1]
    length_R = np.sqrt(square_R[there])
    return Axes(row_NA, left_NR[:, there] / length_R), left_NR[:, there] * length_R


@dataclass(frozen=True)
class Scaling:
    """Standardised features on the axes that the rows it was made from span: an L2 penalty does not see the turn.

    Attributes:
        alive_F: features that vary on those rows; the others are left out.
        axes: None where there are fewer features than rows.
    """

    alive_F: Rows
    mean_A: Floats
    spread_A: Floats
    axes: Axes | None

    def of(self, feature_nF: NDArray[Any]) -> Floats:
        """Return the scaled features ``[n, A or R]``; a column of zeros where none varies."""
        if not self.alive_F.any():
            return np.zeros((len(feature_nF), 1))
        scaled = (feature_nF[:, self.alive_F] - self.mean_A) / self.spread_A
        return np.asarray(scaled if self.axes is None else self.axes.of(scaled), dtype=np.float64)

    def unscaled(self, model: LogisticRegression) -> LogisticRegression:
        """Return a regression on scaled features as one on the features that vary, which says the same.

        Rows need not be scaled and turned then: of many features that takes longer than the fit.
        """
        weight_KA = model.coef_ if self.axes is None else self.axes.weights(model.coef_)
        model.coef_ = weight_KA / self.spread_A
        model.intercept_ = model.intercept_ - model.coef_ @ self.mean_A
        model.n_features_in_ = len(self.mean_A)
        return model


def scaling(train_nF: NDArray[Any], least_rows: int = 0) -> tuple[Scaling, Floats]:
    """Return the scaling of train rows, and these rows scaled.

    Features that do not vary, or are not 0 on fewer than ``least_rows``, are left out.
    """
    mean_F, spread_F = train_nF.mean(0, dtype=np.float64), train_nF.std(0, dtype=np.float64)
    alive_F = spread_F > 1e-9 * max(float(spread_F.max(initial=0.0)), 1e-300)
    if least_rows:
        alive_F &= (train_nF != 0).sum(0) >= least_rows
    plain = Scaling(alive_F, mean_F[alive_F], spread_F[alive_F], None)
    scaled_nA = plain.of(train_nF)
    if alive_F.sum() <= len(train_nF):
        return plain, scaled_nA
    spanned, placed_nR = axes(scaled_nA)
    return replace(plain, axes=spanned), placed_nR


class GroupedLogistic:
    """L2 logistic regression on standardised features, classes at equal weight, the penalty chosen by inner folds."""

    def __init__(self, least_rows: int = 0) -> None:
        self._least_rows = least_rows
        self._alive_F: Rows | None = None
        self._model: LogisticRegression | int = 0
        self.strength = float("nan")

    def fit(self, feature_nF: NDArray[Any], label_n: Ints, group_n: Ints, strength: float | None = None) -> None:
        """Fit with the strength ``C`` that is given, or that of best balanced accuracy over inner folds.

        Inner folds keep groups whole; of strengths as good the least is taken.
        """
        found, scaled = scaling(feature_nF, self._least_rows)
        self.strength = _strength(scaled, label_n, group_n) if strength is None else strength
        self._alive_F = found.alive_F
        model = _logistic(scaled, label_n, self.strength)
        self._model = model if isinstance(model, int) or not found.alive_F.any() else found.unscaled(model)

    def log_probs(self, feature_nF: NDArray[Any], classes: int) -> Floats:
        """Return log-probabilities ``[n, K]``; raises ``ValueError`` before ``fit``."""
        if self._alive_F is None:
            raise ValueError("fit comes before log_probs")
        # nothing varies: all rows are one
        alive_nA = feature_nF[:, self._alive_F] if self._alive_F.any() else np.zeros((len(feature_nF), 1))
        return _scores(self._model, alive_nA.astype(np.float64, copy=False), classes)


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
    if len(np.unique(label_n)) < 2:
        return STRENGTHS[0]  # one class is told whatever the strength
    inner_n = folds(label_n, group_n, INNER)
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
