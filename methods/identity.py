"""Identity: codes are the activations themselves. The ceiling of every splice metric."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Dictionary, Setting, Train


class Identity(Dictionary):
    """``f = x`` (signed, raw units), so L0 is the width."""

    @dataclass(frozen=True)
    class Params:
        """``identity`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.width = setting.width

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return a copy of ``x_ND``."""
        return x_ND.clone()

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return a copy of ``z_NF``."""
        return z_NF.clone()

    def directions(self) -> Tensor:
        """Return the unit matrix ``[D, D]``."""
        return torch.eye(self.width)

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}
