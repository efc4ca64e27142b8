"""Boosted trees on principal components: what a probe that is not linear finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier

from harness.api import Answers, Features, Setting
from harness.training.components import Components, components
from harness.training.logistic import OUTER, folds
from harness.training.probe import Floats, Ints, PerFold


class Trees(PerFold):
    """Histogram gradient boosting that stops where the loss on groups held out of the fold's train rows stops falling.

    Trees look at one feature after the other, so tens of thousands of dimensions would take minutes a fit; they see the
    components that ``pca_lr`` reads.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``hgb``."""

        components: Annotated[int, Ge(1)]
        """principal components that are read"""
        iterations: Annotated[int, Ge(1)]
        """trees at most"""
        rate: Annotated[float, Gt(0)]
        """learning rate"""
        leaves: Annotated[int, Ge(2)]
        """leaves of a tree at most"""

    def __init__(self, params: Params, setting: Setting) -> None:
        self.params = params
        self._components: Components | None = None
        self._model: HistGradientBoostingClassifier | DummyClassifier | None = None

    def features(self, answers: Answers) -> Features:
        """Return the activations, flat."""
        return answers.raw()

    def fit(self, x_nF: NDArray[Any], y_n: Ints, group_n: Ints) -> None:
        """Fit on some answers; a fifth of their groups decides when to stop."""
        own_n, held_n = parted(y_n, group_n)
        self._components = components(x_nF[own_n], self.params.components)
        x_nR = self._components(x_nF)
        if len(np.unique(y_n[own_n])) < 2 or not held_n.any():
            self._model = DummyClassifier(strategy="prior").fit(x_nR, y_n)
            return
        model = HistGradientBoostingClassifier(
            max_iter=self.params.iterations,
            learning_rate=self.params.rate,
            max_leaf_nodes=self.params.leaves,
            early_stopping=True,
            random_state=0,
        )
        self._model = model.fit(x_nR[own_n], y_n[own_n], X_val=x_nR[held_n], y_val=y_n[held_n])

    def predict(self, x_nF: NDArray[Any], classes: int) -> Floats:
        """Return the probability of each class, ``[n, K]``."""
        if self._components is None or self._model is None:
            raise ValueError("fit comes before predict")
        found = np.zeros((len(x_nF), classes))
        found[:, self._model.classes_] = self._model.predict_proba(self._components(x_nF))
        return found


def parted(y_n: Ints, group_n: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows trees grow on, and which, of the classes of those, say when to stop; groups are whole."""
    own_n = folds(y_n, group_n, OUTER) != 0
    return own_n, ~own_n & np.isin(y_n, y_n[own_n])
