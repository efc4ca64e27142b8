"""Half of a BatchTopK SAE trained, the other left random: what training either half is worth (arXiv 2602.14111)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from harness.api import Setting, Train
from harness.training.autoencoder import squared_error
from harness.training.dead import AuxK
from harness.training.loop import Moment, Optim, Rule
from harness.training.thresholded import Thresholded


class HalfTrained(Thresholded):
    """A BatchTopK SAE of which only some weights are trained; the threshold is set on ``val`` in any case.

    ``b_dec`` belongs to both halves (it is the encoder's centre too) and is trained with either. Decoder rows learn
    their norms: behind a frozen encoder nothing else could set the size of what a latent adds.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``frozen_decoder`` and its variants; k is the task's target L0."""

        optim: Optim
        """optimiser"""
        aux: AuxK
        """revival of dead latents, as far as weights that may change allow"""
        encoder: bool
        """whether ``W_enc`` and ``b_enc`` are trained"""
        decoder: bool
        """whether ``W_dec`` is trained"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim, params.aux)
        self.W_enc.requires_grad_(params.encoder)
        self.b_enc.requires_grad_(params.encoder)
        self.W_dec.requires_grad_(params.decoder)
        self.b_dec.requires_grad_(params.encoder or params.decoder)

    def begin(self, train: Train) -> Sequence[Rule]:
        """Revive dead latents; decoder norms are free."""
        return super().begin(train)[:1]

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return squared error."""
        active, value_E, xhat_BD = self.reconstruct(x_BD, self.select)
        self.note(active, value_E, x_BD, xhat_BD, moment)
        return squared_error(x_BD, xhat_BD)
