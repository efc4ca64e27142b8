"""Latents that stopped firing: noticing them, and the auxiliary loss that revives them (AuxK, arXiv 2406.04093)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from harness.training.active import Active, kth_largest
from harness.training.kernel import Encoder, latent_sums
from harness.training.loop import Moment, Rule


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
        self.steps_F[latent_sums(active, value_E) > 0] = 0

    def dead_K(self, window: float, steps: int) -> Tensor:
        """Return int64 ``[K]``: latents silent for at least the share ``window`` of a run of ``steps``."""
        return torch.nonzero(self.steps_F >= max(window * steps, 1.0)).flatten()


class Weights(Protocol):
    """What the revival reads of a dictionary, and whose gradients it adds to."""

    W_enc: nn.Parameter
    b_enc: nn.Parameter
    W_dec: nn.Parameter

    def encoder(self) -> Encoder:
        """Return the encoder's weights."""


class Revival(Rule):
    """Adds the gradient of the auxiliary term before each step, and remembers how many latents were dead.

    It is a rule and not part of the loss because it concerns a few rows: through the loss, autograd would write two
    more gradients of full size at every step, a tenth of its time.
    """

    def __init__(self, params: AuxK, weights: Weights) -> None:
        self.params = params
        self.weights = weights
        latents, width = weights.W_dec.shape
        self.k = max(round(params.share * width), 1)
        self.silence = Silence(latents, weights.W_dec.device)
        self.dead = 0
        self.worst = 0

    def see(self, active: Active, value_E: Tensor, x_BD: Tensor, xhat_BD: Tensor) -> None:
        """Take a batch's code and reconstruction; to be called from the loss."""
        self.silence.see(active, value_E.detach())
        # batches are shuffled, so the first rows are a random sample
        self.x_RD = x_BD[: self.params.rows]
        self.error_RD = self.x_RD - xhat_BD[: self.params.rows].detach()

    def before(self, moment: Moment) -> None:
        """Add to the gradients of dead rows ``alpha * Var(x)`` times that of the auxiliary term.

        The paper sets ``alpha`` for a reconstruction term divided by the variance of ``x``; ours is not divided, so
        the auxiliary term is multiplied.
        """
        dead_K = self.silence.dead_K(self.params.window, moment.steps)
        self.dead = dead_K.shape[0]
        self.worst = max(self.worst, self.dead)
        if self.dead == 0:
            return
        whole = (self.weights.W_enc, self.weights.b_enc, self.weights.W_dec)
        rows = [parameter.detach()[dead_K].requires_grad_() for parameter in whole]
        inputs_RD = self.weights.encoder().inputs(self.x_RD).detach()
        variance = (self.x_RD - self.x_RD.mean(0)).square().sum() / len(self.x_RD)
        term = auxk_loss(DeadRows(*rows), inputs_RD, self.error_RD, self.k)
        gradients = torch.autograd.grad(self.params.alpha * variance * term, rows)
        for parameter, gradient in zip(whole, gradients, strict=True):
            if parameter.grad is not None:
                parameter.grad[dead_K] += gradient

    def after(self, moment: Moment, adam: torch.optim.Adam) -> None:
        """Nothing is left to do."""

    def summary(self) -> dict[str, float]:
        """Return the number of dead latents at the last step and the largest number at any."""
        return {"dead_at_end": self.dead, "dead_at_worst": self.worst}


class DeadRows(NamedTuple):
    """The weights of the dead latents only."""

    W_enc_KD: Tensor
    b_enc_K: Tensor
    W_dec_KD: Tensor


def auxk_loss(dead: DeadRows, inputs_ND: Tensor, error_ND: Tensor, k: int) -> Tensor:
    """Return ``||e - ehat||^2 / ||e - ebar||^2``, ehat decoded from the ``k`` largest dead latents of each row.

    Scaled by the number of dead latents over ``k`` where they are fewer (sparsify does so).

    Args:
        dead: weights of the dead latents.
        inputs_ND: centred inputs.
        error_ND: what the live latents leave over.
        k: dead latents used per row.
    """
    pre_NK = torch.addmm(dead.b_enc_K, inputs_ND, dead.W_enc_KD.T)
    count = pre_NK.shape[1]
    if count > k:
        pre_NK = torch.where(pre_NK >= kth_largest(pre_NK.detach(), k), pre_NK, 0.0)
    left_ND = error_ND - pre_NK.relu() @ dead.W_dec_KD
    variance = (error_ND - error_ND.mean(0)).square().sum().clamp_min(1e-12)
    return left_ND.square().sum() / variance * min(count / k, 1.0)
