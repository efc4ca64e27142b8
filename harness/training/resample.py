"""Renewing dead latents from inputs that are badly reconstructed (transformer-circuits 2023, "neuron resampling")."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from harness.training.dead import Silence
from harness.training.kernel import Encoder
from harness.training.loop import Moment, Rule

FALLBACK_NORM = 1.0


@dataclass(frozen=True)
class Resample:
    """When dead latents are drawn anew, and how strong they return."""

    every: float
    """share of the run between two draws; there is none at the first step"""
    until: float
    """share of the run after which none is drawn, so that all latents have time to settle"""
    window: float
    """a latent is dead when it was silent for this share of the run"""
    strength: float
    """norm of a new encoder row, as a share of the mean norm of the living ones"""
    batches: int
    """latest batches whose rows may be drawn"""


class Weights(Protocol):
    """What is drawn anew."""

    W_enc: nn.Parameter
    b_enc: nn.Parameter
    W_dec: nn.Parameter

    def encoder(self) -> Encoder:
        """Return the encoder's weights."""


class Resampling(Rule):
    """Gives dead latents the direction of inputs drawn with probability proportional to their squared loss.

    Directions are those of centred inputs, which is what the encoder sees.
    """

    def __init__(self, params: Resample, weights: Weights, seed: int) -> None:
        self.params = params
        self.weights = weights
        self.generator = torch.Generator().manual_seed(seed)
        self.silence = Silence(weights.W_dec.shape[0], weights.W_dec.device)
        self.recent: deque[tuple[Tensor, Tensor]] = deque(maxlen=params.batches)
        self.renewed = 0

    def see(self, sum_F: Tensor, x_BD: Tensor, loss_B: Tensor) -> None:
        """Take each latent's summed values, a batch and the squared error of its rows; to be called from the loss."""
        self.silence.steps_F += 1
        self.silence.steps_F[sum_F.detach() > 0] = 0
        self.recent.append((x_BD, loss_B.detach()))

    def before(self, moment: Moment) -> None:
        """Gradients are left alone."""

    @torch.no_grad()
    def after(self, moment: Moment, adam: torch.optim.Adam) -> None:
        """Where a draw is due, renew what is dead and forget what the optimiser remembers of it."""
        if not self._due(moment):
            return
        dead_K = self.silence.dead_K(self.params.window, moment.steps)
        if len(dead_K):
            self._renew(dead_K)
            for parameter in (self.weights.W_enc, self.weights.b_enc, self.weights.W_dec):
                for name in ("exp_avg", "exp_avg_sq"):
                    adam.state[parameter][name][dead_K] = 0.0

    def _due(self, moment: Moment) -> bool:
        done = moment.step + 1
        period = self.params.every * moment.steps
        return moment.step > 0 and done <= self.params.until * moment.steps and done // period > moment.step // period

    def _renew(self, dead_K: Tensor) -> None:
        row_KD = normalize(self.weights.encoder().inputs(self._draw(len(dead_K))), dim=1)
        self.weights.W_dec[dead_K] = row_KD
        self.weights.W_enc[dead_K] = row_KD * self.params.strength * self._living_norm(dead_K)
        self.weights.b_enc[dead_K] = 0.0
        self.silence.steps_F[dead_K] = 0
        self.renewed += len(dead_K)

    def _draw(self, count: int) -> Tensor:
        """Return ``count`` inputs, ``[count, D]``; each at most once where there are enough."""
        x_RD, loss_R = (torch.cat(parts) for parts in zip(*self.recent, strict=True))
        weight_R = (loss_R.double() / loss_R.mean().clamp_min(1e-30)).square().clamp_min(1e-12).cpu()
        index_K = weight_R.multinomial(count, replacement=count > len(weight_R), generator=self.generator)
        return x_RD[index_K.to(x_RD.device)]

    def _living_norm(self, dead_K: Tensor) -> float:
        living_F = torch.ones(len(self.weights.W_enc), dtype=torch.bool, device=dead_K.device)
        living_F[dead_K] = False
        norms = self.weights.W_enc[living_F].norm(dim=1)
        return float(norms.mean()) if len(norms) else FALLBACK_NORM

    def summary(self) -> dict[str, float]:
        """Return how often a latent was renewed."""
        return {"renewed": self.renewed}
