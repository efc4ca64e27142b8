"""What probes made of another probe share: everything it does, to be changed where they differ from it."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from harness.api import Answers, ErrorProbe, Features, Setting
from harness.stats.nulls import exchanged
from harness.training.probe import PerFold


class WrappedProbe(PerFold):
    """Reads, fits and predicts as another probe does."""

    def __init__(self, setting: Setting, use: str) -> None:
        """Wrap the probe that ``setting.uses`` holds under the name ``use``; raises ``ValueError`` on another kind."""
        probe = setting.uses[use]
        if not isinstance(probe, ErrorProbe):
            raise ValueError(f"{type(self).__name__} is made of error probes, got a {probe.kind}")
        self._probe = probe

    @final
    def features(self, answers: Answers) -> Features:
        """Return what the probe reads."""
        return self._probe.features(answers)

    def fit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Fit the probe on what the track gives."""
        self._probe.fit(x_nF, y_n, group_n)

    @final
    def fit_exchanged(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64], seed: int) -> None:
        """Fit the probe after groups have exchanged their labels."""
        self._probe.fit(x_nF, exchanged(y_n, group_n, seed), group_n)

    @final
    def predict(self, x_nF: NDArray[Any], classes: int) -> NDArray[np.float64]:
        """Return what the probe says."""
        return self._probe.predict(x_nF, classes)
