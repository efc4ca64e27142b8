"""Latents that stopped firing: noticing them, and the auxiliary loss that revives them (AuxK, arXiv 2406.04093)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import embedding

from harness.training.active import Active
from harness.training.kernel import Encoder
from harness.training.loop import Moment


@dataclass(frozen=True)
class AuxK:
    """How dead latents are revived: they learn to reconstruct what the live ones leave over."""

    alpha: float
    """weight of the auxiliary term"""
    share: float
    """dead latents used per token, as a share of the width of the activations"""
    window: float
    """a latent is dead when it was silent for this share of the run"""
    rows: int
    """tokens of a batch, at most, on which the term is estimated"""


class Silence:
    """Counts, for each latent, the steps since it last fired."""

    def __init__(self, latents: int, device: torch.device) -> None:
        self.steps_F = torch.zeros(latents, dtype=torch.int64, device=device)

    def see(self, active: Active, value_E: Tensor) -> None:
        """Take one batch's code; entries of value 0 did not fire."""
        self.steps_F += 1
        self.steps_F[active.latent_E[value_E > 0]] = 0

    def dead_K(self, window: float, steps: int) -> Tensor:
        """Return int64 ``[K]``: latents silent for at least the share ``window`` of a run of ``steps``."""
        return torch.nonzero(self.steps_F >= max(window * steps, 1.0)).flatten()


class Weights(Protocol):
    """What the revival reads of a dictionary."""

    @property
    def W_dec(self) -> Tensor:
        """Decoder rows ``[F, D]``."""

    def encoder(self) -> Encoder:
        """Return the encoder's weights."""


class Revival:
    """The auxiliary term with its memory: which latents are dead, and how many were at the end."""

    def __init__(self, params: AuxK, weights: Weights) -> None:
        self.params = params
        self.weights = weights
        latents, width = weights.W_dec.shape
        self.k = max(round(params.share * width), 1)
        self.silence = Silence(latents, weights.W_dec.device)
        self.dead = 0
        self.worst = 0

    def loss(self, active: Active, value_E: Tensor, x_BD: Tensor, xhat_BD: Tensor, moment: Moment) -> Tensor:
        """Return ``alpha * Var(x)`` times the auxiliary term on this batch, 0 while nothing is dead.

        The paper sets ``alpha`` for a reconstruction term divided by the variance of ``x``; ours is not divided, so
        the auxiliary term is multiplied.
        """
        self.silence.see(active, value_E.detach())
        dead_K = self.silence.dead_K(self.params.window, moment.steps)
        self.dead = dead_K.shape[0]
        self.worst = max(self.worst, self.dead)
        if self.dead == 0:
            return x_BD.new_zeros(())
        # batches are shuffled, so the first rows are a random sample
        x_RD, xhat_RD = x_BD[: self.params.rows], xhat_BD[: self.params.rows].detach()
        variance = (x_RD - x_RD.mean(0)).square().sum() / len(x_RD)
        return self.params.alpha * variance * auxk_loss(self.weights, dead_K, x_RD, x_RD - xhat_RD, self.k)

    def summary(self) -> dict[str, float]:
        """Return the number of dead latents at the last step and the largest number at any."""
        return {"dead_at_end": self.dead, "dead_at_worst": self.worst}


def auxk_loss(weights: Weights, dead_K: Tensor, x_ND: Tensor, error_ND: Tensor, k: int) -> Tensor:
    """Return ``||e - ehat||^2 / ||e - ebar||^2``, ehat decoded from the ``k`` largest dead latents of each row.

    Scaled by the number of dead latents over ``k`` where they are fewer. ``error_ND`` is what the live latents leave
    over, without gradient; gradients reach the rows of dead latents only.
    """
    encoder = weights.encoder()
    pre_NK = torch.addmm(encoder.bias_F[dead_K], encoder.inputs(x_ND).detach(), embedding(dead_K, encoder.W_FD).T)
    if dead_K.shape[0] > k:
        kept = pre_NK.topk(k, dim=1, sorted=False)
        pre_NK = torch.zeros_like(pre_NK).scatter(1, kept.indices, kept.values)
    guess_ND = pre_NK.relu() @ embedding(dead_K, weights.W_dec)
    variance = (error_ND - error_ND.mean(0)).square().sum().clamp_min(1e-12)
    return (error_ND - guess_ND).square().sum() / variance * min(dead_K.shape[0] / k, 1.0)
