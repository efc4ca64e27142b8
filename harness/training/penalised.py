"""ReLU dictionaries with an L1 penalty on unit decoder rows and resampling (transformer-circuits 2023)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from harness.api import Setting, Train
from harness.training.active import positive
from harness.training.autoencoder import Autoencoder
from harness.training.loop import Moment, Optim, Rule, stream
from harness.training.resample import Resample, Resampling
from harness.training.rules import UnitRows


class Penalised(Autoencoder):
    """``f = ReLU(pre)``; squared error plus ``coefficient * sum_i f_i``."""

    def __init__(self, setting: Setting, optim: Optim, resample: Resample) -> None:
        super().__init__(setting, optim)
        self.resample = resample

    @abstractmethod
    def coefficient(self, l0: float, moment: Moment) -> float:
        """Return the weight of the penalty at a step whose batch has ``l0`` active latents a token."""

    def begin(self, train: Train) -> Sequence[Rule]:
        """Renew dead latents; keep decoder rows at norm 1."""
        self.resampling = Resampling(self.resample, self, stream(self.setting.seed, "resample"))
        return (UnitRows(self.W_dec), self.resampling)

    def code(self, pre_NF: Tensor) -> Tensor:
        """Return what is positive."""
        return pre_NF.relu()

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return squared error plus penalty."""
        active, value_E, xhat_BD = self.reconstruct(x_BD, positive)
        loss_B = (x_BD - xhat_BD).square().sum(1)
        self.resampling.see(active, value_E, x_BD, loss_B)
        self.train_l0 = active.entries / len(x_BD)
        return loss_B.mean() + self.coefficient(self.train_l0, moment) * value_E.sum() / len(x_BD)
