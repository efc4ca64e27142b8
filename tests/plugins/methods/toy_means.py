"""An error probe that costs nothing: it scores along the difference of the class means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import Answers, Features, Setting
from harness.training.probe import PerFold


class Means(PerFold):
    """Reads activations."""

    @dataclass(frozen=True)
    class Params:
        """``toy_means`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        self._slope_F, self._middle = np.zeros(setting.width), 0.0

    def features(self, answers: Answers) -> Features:
        """Return the activations."""
        return answers.raw()

    def fit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Take the difference of the means."""
        right_F, wrong_F = (x_nF[(y_n > 0) == side].mean(0, dtype=np.float64) for side in (False, True))
        self._slope_F, self._middle = wrong_F - right_F, float((wrong_F - right_F) @ (wrong_F + right_F)) / 2

    def predict(self, x_nF: NDArray[Any], classes: int) -> NDArray[np.float64]:
        """Return a logistic of the score for the first kind of error, 0 for the others."""
        p_nK = np.zeros((len(x_nF), classes))
        p_nK[:, 1] = 1 / (1 + np.exp(-np.clip(x_nF @ self._slope_F - self._middle, -30, 30)))
        p_nK[:, 0] = 1 - p_nK[:, 1]
        return p_nK
