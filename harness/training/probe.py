"""What logistic error probes share: everything but the features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from harness.api import ErrorProbe
from harness.training.logistic import GroupedLogistic

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Reduction = Callable[[NDArray[Any]], Floats]


class PerFold(ErrorProbe):
    """A probe of which nothing outlasts the fold it is fitted in."""

    @final
    def parameter_count(self) -> int:
        """Return 0: what is fitted lasts one fold."""
        return 0

    @final
    def summary(self) -> dict[str, float]:
        """Return nothing: what is fitted lasts one fold."""
        return {}


class LogisticProbe(PerFold):
    """L2 logistic regression: standardised inside the fold, classes at equal weight, C chosen by grouped inner folds.

    Probabilities are those at the classes' shares among the answers it was fitted on.
    """

    # A feature that is not 0 on fewer rows of the fold tells a probe little but which rows they are.
    LEAST_ROWS = 5

    def __init__(self) -> None:
        self._logistic = GroupedLogistic(self.LEAST_ROWS)
        self._share_K: Floats = np.zeros(0)
        self._kept: float | None = None

    def fit(self, x_nF: NDArray[Any], y_n: Ints, group_n: Ints) -> None:
        """Fit on some answers."""
        self._logistic = GroupedLogistic(self.LEAST_ROWS)
        self._logistic.fit(x_nF, y_n, group_n, self._kept)
        self._share_K = np.bincount(y_n) / len(y_n)

    @final
    def refit(self, x_nF: NDArray[Any], y_n: Ints, group_n: Ints) -> None:
        """Fit anew with the penalty that the last fit came to."""
        self._kept = self._logistic.strength
        try:
            self.fit(x_nF, y_n, group_n)
        finally:
            self._kept = None

    def predict(self, x_nF: NDArray[Any], classes: int) -> Floats:
        """Return the probability of each class, ``[n, K]``."""
        share_K = np.pad(self._share_K, (0, classes - len(self._share_K)))
        return at_shares(self._logistic.log_probs(x_nF, classes), share_K)


class ReducedProbe(LogisticProbe):
    """Logistic regression on a few numbers made of the features, by what the rows of the fold tell."""

    _reduction: Reduction

    @abstractmethod
    def reduction(self, x_nF: NDArray[Any], y_n: Ints) -> Reduction:
        """Return what turns rows of features into rows of fewer numbers; it sees the fold's train rows alone."""

    @final
    def fit(self, x_nF: NDArray[Any], y_n: Ints, group_n: Ints) -> None:
        """Fit on some answers."""
        self._reduction = self.reduction(x_nF, y_n)
        super().fit(self._reduction(x_nF), y_n, group_n)

    @final
    def predict(self, x_nF: NDArray[Any], classes: int) -> Floats:
        """Return the probability of each class, ``[n, K]``."""
        return super().predict(self._reduction(x_nF), classes)


def at_shares(logp_nK: Floats, share_K: Floats) -> Floats:
    """Turn log-probabilities at equal shares of the classes into probabilities at the shares ``share_K``."""
    with np.errstate(divide="ignore"):
        logit_nK = logp_nK + np.log(share_K)
    p_nK = np.exp(logit_nK - logit_nK.max(1, keepdims=True))
    return np.asarray(p_nK / p_nK.sum(1, keepdims=True), dtype=np.float64)
