"""Latents ranked by code times slope: attribution patching (Nanda 2023) to no code at all.

With points on the path between, it is integrated gradients (arXiv 1703.01365) of all latents together: what they are
worth adds up to what ``M`` loses without them all.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harness.api import Predictions
from harness.training.ranking import Ranking, by_code


class RankAttribution(Ranking):
    """``I = f dM/df``; a slope alone is no importance, for it says nothing of how far the code is from 0."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``rank_attribution`` and its variants."""

        points: int
        """points of the path from no code that the slope is averaged over; 0: the slope at the codes themselves"""

    def importance(self, asked: Predictions) -> Tensor:
        """Return the first-order effect of each latent, ``[n, F]``, nats."""
        return by_code(asked, asked.slope(self.params.points))
