"""Principal components of standardised features, from the rows of one fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from harness.training.logistic import Floats, Scaling, scaling


@dataclass(frozen=True)
class Components:
    """The directions of largest variance of the rows they were made from."""

    scaling: Scaling
    pca: PCA

    def __call__(self, feature_nF: NDArray[Any]) -> Floats:
        """Return the coordinates of rows, ``[n, components]``."""
        return np.asarray(self.pca.transform(self.scaling.of(feature_nF)), dtype=np.float64)


def components(train_nF: NDArray[Any], count: int) -> Components:
    """Return the first ``count`` components of train rows; as many as the rows span where that is fewer."""
    scaled, turned_nA = scaling(train_nF)
    return Components(scaled, PCA(min(count, *turned_nA.shape), svd_solver="full").fit(turned_nA))
