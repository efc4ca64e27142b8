"""The share of wrong answers, whatever the answer: what no probe may fall below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier

from harness.api import Answers, Features, Setting
from harness.training.probe import PerFold


class Majority(PerFold):
    """Predicts each class with its share among the answers it was fitted on."""

    @dataclass(frozen=True)
    class Params:
        """``majority`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        self._dummy = DummyClassifier(strategy="prior")

    def features(self, answers: Answers) -> Features:
        """Return one feature that never varies."""
        return Features(np.zeros((len(answers.prompt), 1)), np.full(1, -1, dtype=np.int64))

    def fit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Count the classes."""
        self._dummy.fit(x_nF, y_n)

    def predict(self, x_nF: NDArray[Any], classes: int) -> NDArray[np.float64]:
        """Return the shares, ``[n, K]``."""
        found = np.zeros((len(x_nF), classes))
        found[:, self._dummy.classes_] = self._dummy.predict_proba(x_nF)
        return found
