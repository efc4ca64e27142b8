"""Per-token numbers become sums per cluster, in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import CellError

Contribution = dict[str, NDArray[Any]]
# Codes held at once, in floats: a wide dictionary is run on fewer tokens at a time.
CODES = 2**26


class Clusters:
    """The clusters that occur in one unit; ``ids_K`` are their numbers in the whole measurement."""

    def __init__(self, cluster_N: Tensor) -> None:
        self.ids_K, self._slot_N = torch.unique(cluster_N, return_inverse=True)

    def sum(self, value_N: Tensor) -> NDArray[np.float64]:
        """Add ``[N, ...]`` up per cluster: float64 ``[K, ...]``."""
        total = torch.zeros(self.ids_K.shape[0], *value_N.shape[1:], dtype=torch.float64, device=value_N.device)
        total.index_add_(0, self._slot_N.to(value_N.device), value_N.double())
        result: NDArray[np.float64] = total.cpu().numpy()
        return result


def scatter(contributions: Sequence[Contribution], name: str, clusters: int) -> NDArray[np.float64]:
    """Add part ``name`` of all units up: float64 ``[clusters, ...]``. ``ids`` says where each row belongs."""
    rows = [(c["ids_" + name] if "ids_" + name in c else c["ids"], c[name]) for c in contributions if name in c]
    total = np.zeros((clusters, *rows[0][1].shape[1:]))
    for ids, values in rows:
        np.add.at(total, ids, values)
    return total


def add_counts(contributions: Sequence[Contribution], name: str) -> NDArray[np.float64]:
    """Add up a part that is not per cluster; shorter arrays are padded with zeros."""
    values = [c[name] for c in contributions if name in c]
    total = np.zeros(max(v.shape[0] for v in values))
    for v in values:
        total[: v.shape[0]] += v
    return total


def check_output(name: str, got: Tensor, shape: tuple[int, ...]) -> None:
    """Raise ``CellError`` where a method returned another shape than promised, or NaN or infinity."""
    if tuple(got.shape) != shape:
        raise CellError(f"{name} returned shape {list(got.shape)}, expected {list(shape)}")
    if not bool(torch.isfinite(got).all()):
        bad = int((~torch.isfinite(got)).sum())
        raise CellError(f"{name} returned {bad} values that are NaN or infinite")


def whole_documents(doc_N: Tensor, latents: int) -> Iterator[slice]:
    """Yield row ranges that hold whole documents and at most ``CODES`` codes (one document at least)."""
    most = max(CODES // max(latents, 1), 1)
    edges = [*(torch.nonzero(doc_N[1:] != doc_N[:-1]).flatten() + 1).tolist(), doc_N.shape[0]]
    start = 0
    for i, end in enumerate(edges):
        if i == len(edges) - 1 or edges[i + 1] - start > most:
            yield slice(start, end)
            start = end
