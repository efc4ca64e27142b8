"""BatchTopK SAE: the k * B largest pre-activations of a batch (arXiv 2412.06410)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harness.api import Setting
from harness.training.autoencoder import squared_error
from harness.training.dead import AuxK
from harness.training.loop import Moment, Optim
from harness.training.thresholded import Thresholded


class BatchTopK(Thresholded):
    """Training keeps the ``l0 * B`` largest of a batch; inference keeps what exceeds one threshold, set on ``val``."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``batchtopk``; k is the task's target L0."""

        optim: Optim
        """optimiser"""
        aux: AuxK
        """revival of dead latents"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim, params.aux)

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return squared error."""
        active, value_E, xhat_BD = self.reconstruct(x_BD, self.select)
        self.note(active, value_E, x_BD, xhat_BD, moment)
        return squared_error(x_BD, xhat_BD)
