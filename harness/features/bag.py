"""The ceiling of lexical information: logistic regression on the words of a whole window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from harness.features.items import FAMILIES, Items
from harness.features.lexical import Side
from harness.features.text import Ints, Text


class Bags:
    """Which token types and classes of characters each window of a text has."""

    def __init__(self, text: Text, items: Items) -> None:
        spans = zip(text.start_W.tolist(), text.length_W.tolist(), strict=True)
        place = np.concatenate([np.zeros(0, dtype=np.int64), *(np.arange(s, s + n) for s, n in spans)])
        window = np.repeat(np.arange(text.start_W.size), text.length_W)
        # Tokens and classes; order, which bigrams and neighbours hold, is not in a bag.
        item_ML = items.at_ML[place][:, [0, *range(len(FAMILIES), items.at_ML.shape[1])]]
        row_ML = np.broadcast_to(window[:, None], item_ML.shape)
        there_ML = item_ML < items.count
        shape = (text.start_W.size, items.count)
        entries = (np.ones(int(there_ML.sum())), (row_ML[there_ML], item_ML[there_ML]))
        self._bag_WI = sparse.csr_matrix(entries, shape=shape)
        self._bag_WI.data[:] = 1.0

    def ceiling(self, train: Side, test: Side) -> float:
        """Return the balanced accuracy on ``test`` of a classifier fitted on ``train``'s windows."""
        x, y = self._rows(train)
        held_x, held_y = self._rows(test)
        # Of thousands of items, those that no window of this latent has change nothing.
        used = np.unique(x.indices)
        said = LogisticRegression(solver="liblinear").fit(x[:, used], y).predict(held_x[:, used])
        return float((said[held_y].mean() + (~said[~held_y]).mean()) / 2)

    def _rows(self, side: Side) -> tuple[sparse.csr_matrix, NDArray[np.bool_]]:
        windows: Ints = np.concatenate([side.fires, side.silent])
        return self._bag_WI[windows], np.arange(windows.size) < side.fires.size
