"""Any probe fitted on labels that groups have exchanged: what its pipeline makes of nothing (methods.md 2.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import Setting
from harness.training.wrapped_probe import WrappedProbe


class PermutedLabel(WrappedProbe):
    """Fits the probe it controls after groups have exchanged their labels; judged on the true ones."""

    @dataclass(frozen=True)
    class Params:
        """``permuted_label`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, "of")
        self.labels = self._probe.labels
        self._seed = setting.seed

    def fit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Exchange whole groups' labels, then fit the probe."""
        groups, of_n = np.unique(group_n, return_inverse=True)
        rank_g = np.random.default_rng(self._seed).permutation(len(groups))
        shuffled_n = np.empty_like(y_n)
        # laid down group by group in another order of the groups: each class keeps its number of answers
        shuffled_n[np.argsort(of_n, kind="stable")] = y_n[np.argsort(rank_g[of_n], kind="stable")]
        self._probe.fit(x_nF, shuffled_n, group_n)
