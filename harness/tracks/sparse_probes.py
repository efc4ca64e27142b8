"""Probes on few features: which of them is chosen, how it is fitted, and what it gets right.

``n`` documents, ``F`` features, ``C`` clusters, ``P`` problems: each class against the rest, or the one of two classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from harness.stats.nulls import exchanged

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 5
ITERATIONS = 1000


@dataclass(frozen=True)
class Labelled:
    """Documents with labels.

    Attributes:
        y_n: class of each document, from 0.
        cluster_n: cluster of each document; no cluster is on both sides of a fold.
        classes: how many classes there are.
        clusters: how many clusters there are.
    """

    y_n: Ints
    cluster_n: Ints
    classes: int
    clusters: int

    def problems(self) -> list[int]:
        """Return the classes held against the rest; of two, the second alone, for the first is its mirror image."""
        return [1] if self.classes == 2 else list(range(self.classes))


def folds(data: Labelled) -> list[tuple[Ints, Ints]]:
    """Return train and test documents of each fold: classes in proportion, clusters whole, the same way always."""
    splitter = StratifiedGroupKFold(n_splits=FOLDS, shuffle=True, random_state=0)
    return list(splitter.split(np.zeros(len(data.y_n)), data.y_n, data.cluster_n))


def best_features(x_nF: Floats, positive_n: NDArray[np.bool_], k: int) -> Ints:
    """Return the ``k`` features whose means differ most between the two sides, the first of equals first."""
    gap_F = np.abs(x_nF[positive_n].mean(0) - x_nF[~positive_n].mean(0))
    order: Ints = np.argsort(-gap_F, kind="stable")[:k]
    return order


def predict(x_nF: Floats, positive_n: NDArray[np.bool_], test_mF: Floats) -> NDArray[np.bool_]:
    """Fit a logistic regression on standardised features, both sides weighing the same, and predict other rows."""
    mean_F, spread_F = x_nF.mean(0), x_nF.std(0)
    # A feature that never varies is 0 on both sides.
    scale_F = np.where(spread_F > 1e-12 * np.abs(mean_F).clip(1e-300), spread_F, np.inf)
    model = LogisticRegression(max_iter=ITERATIONS, class_weight="balanced")
    model.fit((x_nF - mean_F) / scale_F, positive_n)
    right: NDArray[np.bool_] = model.predict((test_mF - mean_F) / scale_F)
    return right


def probe(x_nF: Floats, data: Labelled, ks: Sequence[int | None]) -> dict[int | None, Floats]:
    """Return, for each ``k`` (None: all features), how many documents were rightly predicted: ``[C, P, 2]``.

    The last axis is the side of the document: 0 of the rest, 1 of the class. Features are chosen, scales taken and
    weights fitted on the other folds alone; every document is predicted once.
    """
    hits = {k: np.zeros((data.clusters, len(data.problems()), 2)) for k in ks}
    for train_n, test_n in folds(data):
        for p, label in enumerate(data.problems()):
            positive_n = data.y_n == label
            own_n = positive_n[train_n]
            if own_n.all() or not own_n.any():
                # Nothing to learn from in this fold: its documents count as missed.
                continue
            order = best_features(x_nF[train_n], own_n, max((k for k in ks if k is not None), default=0))
            for k in ks:
                chosen = slice(None) if k is None else order[:k]
                said_m = predict(x_nF[train_n][:, chosen], own_n, x_nF[test_n][:, chosen])
                right_m = said_m == positive_n[test_n]
                np.add.at(hits[k][:, p], (data.cluster_n[test_n], positive_n[test_n].astype(int)), right_m)
    return hits


def counts(data: Labelled) -> Floats:
    """Return how many documents each side of each problem has: ``[C, P, 2]``."""
    total = np.zeros((data.clusters, len(data.problems()), 2))
    for p, label in enumerate(data.problems()):
        np.add.at(total[:, p], (data.cluster_n, (data.y_n == label).astype(int)), 1.0)
    return total


def permuted(data: Labelled, seed: int) -> Labelled:
    """Return the null: clusters exchange their labels."""
    return replace(data, y_n=exchanged(data.y_n, data.cluster_n, seed))
