"""Active latents in a random order, each said at random to speak for the prediction or against it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Predictions
from harness.training.loop import stream
from harness.training.ranking import Ranking


class RankRandom(Ranking):
    """Standard normal numbers, drawn anew for every prediction: of its token and its active latents."""

    @dataclass(frozen=True)
    class Params:
        """``rank_random`` has no parameters."""

    def importance(self, asked: Predictions) -> Tensor:
        """Return random numbers where a latent is active, ``[n, F]``."""
        rows = zip(asked.id_n.tolist(), asked.code_nF, strict=True)
        return torch.stack([self._drawn(token, code_F) for token, code_F in rows])

    def _drawn(self, token: int, code_F: Tensor) -> Tensor:
        active_F = code_F != 0
        told = hashlib.sha256(active_F.cpu().numpy().tobytes()).hexdigest()
        generator = torch.Generator().manual_seed(stream(self.setting.seed, f"{token}/{told}"))
        return active_F * torch.randn(len(code_F), generator=generator).to(code_F)
