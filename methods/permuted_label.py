"""Any probe fitted on labels that groups have exchanged: what its pipeline makes of nothing (methods.md 2.6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import Answers, ErrorProbe, Features, Setting


class PermutedLabel(ErrorProbe):
    """Fits the probe it controls after groups have exchanged their labels; judged on the true ones."""

    located = False

    @dataclass(frozen=True)
    class Params:
        """``permuted_label`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        probe = setting.uses["of"]
        if not isinstance(probe, ErrorProbe):
            raise ValueError(f"permuted_label controls error probes, got a {probe.kind}")
        self._probe, self._seed = probe, setting.seed

    def features(self, answers: Answers) -> Features:
        """Return what the probe reads, not to be ablated: which features tell errors does not depend on this fit."""
        return replace(self._probe.features(answers), direction=None)

    def fit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Exchange whole groups' labels, then fit the probe."""
        groups, of_n = np.unique(group_n, return_inverse=True)
        rank_g = np.random.default_rng(self._seed).permutation(len(groups))
        shuffled_n = np.empty_like(y_n)
        # laid down group by group in another order of the groups: each class keeps its number of answers
        shuffled_n[np.argsort(of_n, kind="stable")] = y_n[np.argsort(rank_g[of_n], kind="stable")]
        self._probe.fit(x_nF, shuffled_n, group_n)

    def predict(self, x_nF: NDArray[Any], classes: int) -> NDArray[np.float64]:
        """Return what the probe says."""
        return self._probe.predict(x_nF, classes)

    def parameter_count(self) -> int:
        """Return 0: what is fitted lasts one fold."""
        return 0

    def summary(self) -> dict[str, float]:
        """Return nothing: what is fitted lasts one fold."""
        return {}
