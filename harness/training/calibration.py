"""Probabilities of a probe brought to what they turn out to be on groups it was not fitted on (Platt 1999)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from harness.api import ErrorProbe
from harness.training.logistic import INNER, Floats, Ints, folds

LEAST = 1e-6


class Calibrated:
    """A probe with a logistic regression from its log-odds to the classes, fitted on what inner folds predict."""

    def __init__(self, probe: ErrorProbe) -> None:
        self._probe = probe
        self._sigmoid: LogisticRegression | None = None
        self._classes = 0

    def fit(self, x_nF: NDArray[Any], y_n: Ints, group_n: Ints) -> None:
        """Fit the sigmoid on answers whose group the probe did not see, then the probe on all of them."""
        classes = int(y_n.max()) + 1
        odds_nK = np.zeros((len(y_n), max(classes - 1, 1)))
        inner_n = folds(y_n, group_n, INNER)
        for fold in range(INNER):
            held_n = inner_n == fold
            if held_n.any():
                self._probe.fit(x_nF[~held_n], y_n[~held_n], group_n[~held_n])
                odds_nK[held_n] = _odds(self._probe.predict(x_nF[held_n], classes))
        self._sigmoid = LogisticRegression().fit(odds_nK, y_n) if len(np.unique(y_n)) > 1 else None
        self._probe.fit(x_nF, y_n, group_n)
        self._classes = classes

    def predict(self, x_nF: NDArray[Any], classes: int) -> Floats:
        """Return the probability of each class, ``[n, K]``."""
        if self._sigmoid is None:
            return self._probe.predict(x_nF, classes)
        found = np.zeros((len(x_nF), classes))
        odds_nK = _odds(self._probe.predict(x_nF, self._classes))
        found[:, self._sigmoid.classes_] = self._sigmoid.predict_proba(odds_nK)
        return found


def _odds(p_nK: Floats) -> Floats:
    """Return log-odds against the first class, ``[n, K - 1]``; zeros where there is one class."""
    logp_nK = np.log(np.clip(p_nK, LEAST, 1.0))
    return logp_nK[:, 1:] - logp_nK[:, :1] if logp_nK.shape[1] > 1 else np.zeros((len(logp_nK), 1))
