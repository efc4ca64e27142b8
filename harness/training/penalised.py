"""ReLU dictionaries with an L1 penalty on unit decoder rows and resampling (transformer-circuits 2023)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from harness.api import Setting, Train
from harness.training.autoencoder import Autoencoder
from harness.training.codes import Coder
from harness.training.loop import Moment, Optim, Rule, stream
from harness.training.resample import Resample, Resampling
from harness.training.rules import UnitRows


class Penalised(Autoencoder):
    """``f = ReLU(pre)``; squared error plus ``coefficient * sum_i f_i``."""

    def __init__(self, setting: Setting, optim: Optim, resample: Resample) -> None:
        super().__init__(setting, optim)
        self.resample = resample
        self.coder = Coder()

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
        code = self.coder(self.encoder(), x_BD, 0.0, self._scratch)
        value = code.pre.relu()
        sum_F = code.sums(value)
        loss_B = (x_BD - code.decode(value, self.W_dec, self.b_dec)).square().sum(1)
        self.resampling.see(sum_F, x_BD, loss_B)
        self.train_l0 = self.coder.share * self.setting.latents
        return loss_B.mean() + self.coefficient(self.train_l0, moment) * sum_F.sum() / len(x_BD)
