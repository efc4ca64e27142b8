"""The ceiling of lexical information: logistic regression on the words of a whole window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from harness.features.lexical import Side
from harness.features.text import Ints, Text

Array = NDArray[np.float64]


class Bags:
    """Which token types each window of a text has."""

    def __init__(self, text: Text) -> None:
        place = np.concatenate(
            [np.arange(s, s + n) for s, n in zip(text.start_W.tolist(), text.length_W.tolist(), strict=True)]
            or [np.zeros(0, dtype=np.int64)]
        )
        window = np.repeat(np.arange(text.start_W.size), text.length_W)
        shape = (text.start_W.size, text.types_V.size)
        words = sparse.csr_matrix((np.ones(place.size), (window, text.type_M[place])), shape=shape)
        words.data[:] = 1.0
        self._words_WV = words

    def ceiling(self, train: Side, test: Side) -> float:
        """Return the balanced accuracy on ``test`` of a classifier fitted on ``train``'s windows."""
        x, y = self._rows(train)
        held_x, held_y = self._rows(test)
        said = LogisticRegression(solver="liblinear").fit(x, y).predict(held_x)
        return float((said[held_y].mean() + (~said[~held_y]).mean()) / 2)

    def _rows(self, side: Side) -> tuple[sparse.csr_matrix, NDArray[np.bool_]]:
        windows: Ints = np.concatenate([side.fires, side.silent])
        return self._words_WV[windows], np.arange(windows.size) < side.fires.size
