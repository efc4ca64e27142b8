"""Latents ranked by how active they are, whatever they do."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harness.api import Predictions
from harness.training.ranking import Ranking


class RankActivation(Ranking):
    """``I = |f| ||d||``: the norm of what a latent adds to the activation. Nothing is asked of the prediction."""

    @dataclass(frozen=True)
    class Params:
        """``rank_activation`` has no parameters."""

    def importance(self, asked: Predictions) -> Tensor:
        """Return folded codes, ``[n, F]``."""
        folded_nF: Tensor = asked.code_nF.abs() * asked.direction_FD.norm(dim=1)
        return folded_nF
