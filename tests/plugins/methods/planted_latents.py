"""Latents whose behaviour on planted traces is known, read off the tiny model's activations.

Latent 0 follows the markers, in documents with many of them only; 1 detects the decoy's initial; 2 the initials of
markers wherever they stand; 3 fires always; the rest fire at random. On the byte tokenizer an initial is a token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Dictionary, Setting, Train
from harness.data.planted import traces
from harness.lm.loading import LoadOptions, load_model

THINKS, DECOY, MARKER, ALWAYS = range(4)
INITIALS, DECOYS = b"WHMPLB", b"Q"


class Planted(Dictionary):
    """Linear readouts of the token at hand, one of them gated by its document."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``planted_latents``."""

        many: int
        """markers a document needs before latent 0 fires"""
        random: int
        """latents that fire at random"""

    readout: Tensor
    noise: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.params, self.setting = params, setting
        self.register_buffer("readout", torch.zeros(2, setting.width + 1))
        self.register_buffer(
            "noise", torch.randn(params.random, setting.width, generator=torch.Generator().manual_seed(1))
        )

    def fit(self, train: Train) -> None:
        """Regress on whether the token is an initial of a marker, or of the decoy, on traces of its own."""
        model = load_model("tiny-random", LoadOptions(device="cpu"))
        texts = [f"{row['deepseek_reasoning']}" for row in traces(30, seed=99)]
        rows = [torch.tensor([ids]) for ids in model.tokenize(texts, 700).ids]
        x_ND = torch.cat([model.read(ids, torch.ones_like(ids), [0])[0][0, 1:] for ids in rows])
        ids_N = torch.cat([ids[0, 1:] for ids in rows])
        target_N2 = torch.stack([torch.isin(ids_N, torch.tensor(list(kind))) for kind in (DECOYS, INITIALS)], dim=1)
        self.readout.copy_(torch.linalg.lstsq(_with_one(x_ND), target_N2.float()).solution.T)

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return codes ``[N, 4 + random]``."""
        decoy_N, marker_N = ((_with_one(x_ND) @ self.readout.T) > 0.5).float().T
        _, place_N = torch.unique(doc_N, return_inverse=True)
        count_N = torch.zeros(int(place_N.max()) + 1).index_add(0, place_N, marker_N)[place_N]
        thinks_N = marker_N * (count_N >= self.params.many)
        # The digits far behind the point know nothing of the token.
        random_NR = (torch.frac((x_ND @ self.noise.T).abs() * 997) < 0.03).float()
        return torch.cat([torch.stack([thinks_N, decoy_N, marker_N, torch.ones_like(decoy_N)], 1), random_NR], 1)

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return sums of the directions."""
        return z_NF @ self.directions()

    def directions(self) -> Tensor:
        """Return unit vectors."""
        return torch.eye(4 + self.params.random, self.setting.width)

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}


def _with_one(x_ND: Tensor) -> Tensor:
    return torch.cat([x_ND, torch.ones(len(x_ND), 1)], dim=1)
