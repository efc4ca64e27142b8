"""The mean of what a linear probe and trees say, each calibrated on groups it did not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import Answers, ErrorProbe, Features, Setting
from harness.training.calibration import Calibrated
from harness.training.probe import Floats, Ints, PerFold


class Ensemble(PerFold):
    """Averages the calibrated probabilities of the probes it uses, which all read the same features."""

    @dataclass(frozen=True)
    class Params:
        """``ensemble`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        self._probes = [one for one in setting.uses.values() if isinstance(one, ErrorProbe)]
        if not self._probes:
            raise ValueError("ensemble averages error probes: its YAML names none under 'uses'")
        self._members = [Calibrated(one) for one in self._probes]

    def features(self, answers: Answers) -> Features:
        """Return what the probes read; raises ``ValueError`` where they do not read the same."""
        first, *others = (one.features(answers) for one in self._probes)
        if not all(np.array_equal(first.value_nF, other.value_nF) for other in others):
            raise ValueError("the probes of an ensemble must read the same features")
        return first

    def fit(self, x_nF: NDArray[Any], y_n: Ints, group_n: Ints) -> None:
        """Fit every probe and its calibration."""
        for member in self._members:
            member.fit(x_nF, y_n, group_n)

    def predict(self, x_nF: NDArray[Any], classes: int) -> Floats:
        """Return the mean probability of each class, ``[n, K]``."""
        return np.asarray(np.mean([member.predict(x_nF, classes) for member in self._members], axis=0))
