"""A small network over the positions of an answer: a GRU, or attention pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from harness.api import Answers, Features, Setting
from harness.training.probe import PerFold, at_shares
from harness.training.sequences import Schedule, SequenceNet, Shape, fit_sequences

Floats = NDArray[np.float64]


class Sequence(PerFold):
    """Reads the positions of an answer in order, each with its activations at all blocks.

    Standardised inside the fold, classes at equal weight, stopped early on groups of the fold; probabilities are those
    at the classes' shares. Where it is given a part of its features (some blocks and positions), every activation
    that is left is a step by itself.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``sequence``; their defaults stand in its YAML."""

        net: Shape
        """the network"""
        schedule: Schedule
        """how it is fitted"""

    def __init__(self, params: Params, setting: Setting) -> None:
        self.params, self._width, self._seed = params, setting.width, setting.seed
        self._blocks, self._positions = 0, 0
        self._fitted: tuple[StandardScaler, SequenceNet, Floats] | None = None

    def features(self, answers: Answers) -> Features:
        """Return the activations, flat; ``fit`` takes them for what they are by their number."""
        self._blocks, self._positions = answers.activation_nLPD.shape[1:3]
        return answers.raw()

    def fit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Fit on some answers."""
        scale, share_K = StandardScaler().fit(x_nF), np.bincount(y_n) / len(y_n)
        net = self.params.net
        fitted = fit_sequences(self._steps(scale, x_nF), y_n, group_n, net, self.params.schedule, self._seed)
        self._fitted = scale, fitted, share_K

    def predict(self, x_nF: NDArray[Any], classes: int) -> Floats:
        """Return the probability of each class, ``[n, K]``; raises ``ValueError`` before ``fit``."""
        if self._fitted is None:
            raise ValueError("fit comes before predict")
        scale, net, share_K = self._fitted
        p_nK = np.zeros((len(x_nF), classes))
        p_nK[:, : len(share_K)] = at_shares(net(self._steps(scale, x_nF)).log_softmax(1).double().numpy(), share_K)
        return p_nK

    def _steps(self, scale: StandardScaler, x_nF: NDArray[Any]) -> Tensor:
        """Return standardised sequences, float32 ``[n, T, W]``."""
        x = torch.from_numpy(scale.transform(x_nF)).float()
        if x.shape[1] == self._blocks * self._positions * self._width:
            return x.view(-1, self._blocks, self._positions, self._width).transpose(1, 2).flatten(2)
        if x.shape[1] % self._width:
            raise ValueError(f"features must be whole activations of {self._width} numbers, got {x.shape[1]} features")
        return x.view(len(x), -1, self._width)
