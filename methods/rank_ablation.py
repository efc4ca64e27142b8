"""Latents ranked by what the prediction loses where each alone is set to 0."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harness.api import Predictions
from harness.training.ranking import Ranking


class RankAblation(Ranking):
    """``I = M(x) - M(x - f d)`` for each latent, ``f`` its code and ``d`` its decoder row: one run for each."""

    @dataclass(frozen=True)
    class Params:
        """``rank_ablation`` has no parameters."""

    def importance(self, asked: Predictions) -> Tensor:
        """Return what ``M`` loses, ``[n, F]``, nats."""
        return asked.ablated()
