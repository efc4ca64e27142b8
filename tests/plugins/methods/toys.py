"""Methods whose behaviour the tests know exactly; ``behaviour`` chooses what goes wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from harness.api import Dictionary, Setting, Train


@dataclass(frozen=True)
class Params:
    """Parameters of the toys."""

    factor: float
    """what the reconstruction is multiplied with"""
    behaviour: Literal["good", "nan", "shape", "raise", "raise_in_fit", "by_document"]
    """what goes wrong"""


class Toy(Dictionary):
    """``f = ReLU([x, -x])`` and ``xhat = factor x``: its metrics have closed forms."""

    Params = Params

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.params, self.width = params, setting.width
        self.register_buffer("gain", torch.zeros(()))

    def fit(self, train: Train) -> None:
        """Note the call, for tests that count fits."""
        log = os.environ.get("TOY_LOG")
        if log:
            with Path(log).open("a") as stream:
                stream.write("fit\n")
        if self.params.behaviour == "raise_in_fit":
            raise RuntimeError("the toy will not fit")
        self.gain.fill_(self.params.factor)

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return the positive and negative parts."""
        log = os.environ.get("TOY_LOG")
        if log:
            with Path(log).open("a") as stream:
                stream.write("encode\n")
        if self.params.behaviour == "raise":
            raise ValueError("the toy will not encode")
        if self.params.behaviour == "shape":
            return x_ND
        if self.params.behaviour == "by_document":
            last_N = torch.cat([doc_N[1:] != doc_N[:-1], torch.tensor([True])])
            x_ND = x_ND * last_N[:, None]
        z_NF = torch.cat([x_ND, -x_ND], dim=1).relu()
        return z_NF / 0.0 if self.params.behaviour == "nan" else z_NF

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return ``factor x``."""
        return self.gain * (z_NF[:, : self.width] - z_NF[:, self.width :])

    def directions(self) -> Tensor:
        """Return plus and minus the unit vectors, scaled."""
        eye_DD = self.gain * torch.eye(self.width)
        return torch.cat([eye_DD, -eye_DD])

    def summary(self) -> dict[str, float]:
        """Return the gain."""
        return {"gain": float(self.gain)}
