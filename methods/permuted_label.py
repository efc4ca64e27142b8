"""Any probe fitted on labels that groups have exchanged: what its pipeline makes of nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import Setting
from harness.training.wrapped_probe import WrappedProbe


class PermutedLabel(WrappedProbe):
    """Fits the probe it controls after groups have exchanged their labels; judged on the true ones."""

    null = True

    @dataclass(frozen=True)
    class Params:
        """``permuted_label`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, "of")
        self.labels = self._probe.labels
        self._seed = setting.seed

    def fit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Exchange whole groups' labels, then fit the probe."""
        self.fit_exchanged(x_nF, y_n, group_n, self._seed)
