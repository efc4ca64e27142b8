"""Random dictionary: what a sparse code of random directions explains at the same L0."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from harness.api import Activations, Dictionary, Setting, Train
from harness.training.loop import stream
from harness.training.threshold import calibrate, checked


class RandomDictionary(Dictionary):
    """``f = ReLU((x - mean) W^T - tau)`` on Gaussian unit rows, ``xhat = mean + c f W``; codes are in raw units.

    ``tau`` gives the target L0 and ``c`` is the least-squares scalar, both on the train split.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``random_dictionary``."""

        rows: int
        """rows of the train split, at most, that set threshold and scalar"""

    mean: Tensor
    rows: Tensor
    tau: Tensor
    gain: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.params = params
        self.setting = setting
        generator = torch.Generator().manual_seed(stream(setting.seed, "weights"))
        rows_FD = normalize(torch.randn(setting.latents, setting.width, generator=generator), dim=1)
        self.register_buffer("rows", rows_FD)
        self.register_buffer("mean", torch.zeros(setting.width))
        self.register_buffer("tau", torch.tensor(torch.nan))
        self.register_buffer("gain", torch.ones(()))

    def fit(self, train: Train) -> None:
        """Set mean, threshold and scalar."""
        self.to(train.device)
        self.mean.copy_(train.x.mean())
        chunks = [x_ND.to(train.device) for x_ND in torch.split(self._sample(train.x), 2048)]
        self.tau.fill_(calibrate(map(self._project, chunks), self.setting.l0, sum(map(len, chunks))))
        hit = power = 0.0
        for x_ND in chunks:
            guess_ND = self._code(x_ND) @ self.rows
            hit += float((guess_ND * (x_ND - self.mean)).sum(dtype=torch.float64))
            power += float(guess_ND.square().sum(dtype=torch.float64))
        self.gain.fill_(hit / max(power, 1e-30))

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return codes ``[N, F]``, non-negative."""
        return self._code(x_ND)

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return reconstructions ``[N, D]``."""
        return torch.addmm(self.mean, z_NF, self.rows * self.gain)

    def directions(self) -> Tensor:
        """Return rows times the scalar, ``[F, D]``."""
        return self.rows * self.gain

    def summary(self) -> dict[str, float]:
        """Return threshold and scalar."""
        return {"tau": float(self.tau), "gain": float(self.gain)}

    def _project(self, x_ND: Tensor) -> Tensor:
        return (x_ND - self.mean) @ self.rows.T

    def _code(self, x_ND: Tensor) -> Tensor:
        return (self._project(x_ND) - checked(self.tau)).relu()

    def _sample(self, x: Activations) -> Tensor:
        generator = torch.Generator().manual_seed(stream(self.setting.seed, "sample"))
        return x.take(torch.randperm(len(x), generator=generator)[: self.params.rows])
