"""Permuted decoder: a fitted dictionary whose decoder rows are shuffled.

Metrics of the encoder do not change, metrics of the reconstruction collapse; one that does not notice is broken.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harness.api import Dictionary, Setting, Train
from harness.training.exchange import derangement
from harness.training.loop import stream


class PermutedDecoder(Dictionary):
    """The dictionary ``of`` with latent ``f`` given the decoder row of another latent; biases stay.

    Permuting codes before ``decode`` permutes rows, so any dictionary will do. No latent keeps its own row.
    """

    @dataclass(frozen=True)
    class Params:
        """``permuted_decoder`` has no parameters."""

    source: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        of = setting.uses.get("of")
        if not isinstance(of, Dictionary):
            raise ValueError(f"permuted_decoder needs a fitted dictionary as 'of', got {type(of).__name__}")
        # held in a tuple, so that its weights are not counted and saved a second time
        self._of = (of,)
        self.shared = of.shared
        self.register_buffer("source", derangement(of.directions().shape[0], stream(setting.seed, "rows")))

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""
        self.to(train.device)

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return the inner codes."""
        return self._of[0].encode(x_ND, doc_N)

    def decode(self, z_NF: Tensor) -> Tensor:
        """Decode with row ``f`` fed by latent ``source[f]``."""
        return self._of[0].decode(z_NF[:, self.source])

    def directions(self) -> Tensor:
        """Return the row each latent feeds, ``[F, D]``."""
        return self._of[0].directions()[self.source.argsort()]

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}
