"""Which decoder directions lie close to each other, and which latents belong together."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering
from torch import Tensor

from harness.features.sketch import chance

# Rows of a product held at once.
_ROWS = 1024


def unit(direction_FD: Tensor) -> Tensor:
    """Return directions of unit length; a zero direction stays zero."""
    unit_FD: Tensor = direction_FD / direction_FD.norm(dim=1, keepdim=True).clamp(min=1e-30)
    return unit_FD


def nearest(unit_FD: Tensor, other_GD: Tensor, count: int, same: bool) -> tuple[Tensor, Tensor]:
    """Return ``(cosine, index)`` of the ``count`` rows of ``other_GD`` nearest to each row, both ``[F, count]``.

    ``same`` says that both are one set, in which no row is its own neighbour.
    """
    count = min(count, other_GD.shape[0] - same)
    found = []
    for start in range(0, unit_FD.shape[0], _ROWS):
        cosine = unit_FD[start : start + _ROWS] @ other_GD.T
        if same:
            rows = torch.arange(cosine.shape[0])
            cosine[rows, rows + start] = -torch.inf
        found.append(cosine.topk(count, dim=1))
    return torch.cat([value for value, _ in found]), torch.cat([index for _, index in found])


def cluster(unit_FD: Tensor, chosen: NDArray[np.int64]) -> tuple[list[list[int]], float]:
    """Return clusters (the largest first, at least two latents each) of the ``chosen`` rows, and the cosine they need.

    Agglomerative clustering with average linkage on cosine distance. Of scikit-learn's algorithms this one needs no
    number of clusters, leaves what has no relative alone instead of forcing it somewhere (k-means, spectral), has no
    density to tune in hundreds of dimensions (DBSCAN, HDBSCAN), is deterministic, and its one threshold can be said in
    words: two clusters merge while the mean cosine between them is above the largest cosine any pair of as many random
    directions would show. Memory is the square of the number of rows, so the caller bounds that.
    """
    rows = unit_FD[torch.from_numpy(chosen)]
    there = torch.nonzero(rows.norm(dim=1) > 0).flatten()
    chosen, rows = chosen[there.numpy()], rows[there].double()
    if chosen.size < 2:
        return [], 1.0
    need = chance(chosen.size, unit_FD.shape[1])
    distance = (1 - rows @ rows.T).clamp(min=0).numpy()
    found = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - need
    ).fit_predict(distance)
    groups = [chosen[found == label].tolist() for label in range(int(found.max()) + 1)]
    several = [sorted(group) for group in groups if len(group) > 1]
    return sorted(several, key=lambda group: (-len(group), group[0])), need
