"""From sparse codes to next tokens: a linear map, one of low rank, or one back into the model's own end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from harness.api import Activations, Dictionary, OverCodes, Read, Setting, Targets, Train, Unembedding
from harness.errors import CellError, UserError
from harness.training.distil import CHUNK_ROWS, Distilled, Rows, Target
from harness.training.loop import Optim, stream
from harness.training.stored_codes import StoredCodes

Shape = Literal["tied", "lowrank", "linear"]
# Numbers held for each weight while it is fitted: itself, its gradient and both moments of Adam; float32.
_BYTES = 4 * 4
SAMPLE_ROWS = 4096


@dataclass(frozen=True)
class Map:
    """What leads from codes to predictions."""

    kind: Shape
    """tied: to the width of the model, then its own end, from the dictionary's decoder on; lowrank: through ``rank``
    numbers to the vocabulary; linear: straight to the vocabulary"""
    rank: int
    """numbers between codes and vocabulary, of ``lowrank``"""
    memory_mb: int
    """largest size of weights, gradient and moments; more is refused before anything is fitted"""

    def weights(self, setting: Setting, latents: int) -> int:
        """Return how many weights a fit holds."""
        vocabulary = setting.vocabulary
        if self.kind == "tied":
            return latents * setting.width + setting.width
        if self.kind == "lowrank":
            return latents * self.rank + self.rank * vocabulary + vocabulary
        return latents * vocabulary + vocabulary

    def check(self, setting: Setting) -> None:
        """Raise ``UserError`` where a fit would take more than ``memory_mb``."""
        if self._mb(setting) <= self.memory_mb:
            return
        others = {name: Map(name, self.rank, self.memory_mb)._mb(setting) for name in ("lowrank", "tied")}
        smaller = [f"params.map.kind={name} ({mb} MB)" for name, mb in others.items() if mb <= self.memory_mb]
        raise UserError(
            f"a decoder of kind '{self.kind}' from {setting.latents} latents to {setting.vocabulary} next tokens takes "
            f"{self._mb(setting)} MB to fit, more than params.map.memory_mb={self.memory_mb}; take "
            f"{' or '.join([*smaller, 'a task with a smaller vocab'])}, or raise the limit."
        )

    def _mb(self, setting: Setting) -> int:
        return round(self.weights(setting, setting.latents) * _BYTES / 1e6)


class CodeDecoder(Distilled, OverCodes):
    """Predicts next tokens from the codes of a fitted dictionary, which stays as it is.

    ``lowrank`` and ``linear`` start from the model's mean prediction; ``tied`` starts from the dictionary's
    reconstruction, so it begins as the logit lens of it.
    """

    scale: Tensor

    def __init__(self, setting: Setting, optim: Optim, target: Target, shape: Map) -> None:
        super().__init__(setting, optim, target)
        dictionary = setting.uses["dictionary"]
        if not isinstance(dictionary, Dictionary):
            raise CellError(f"codes come from a dictionary, got a {dictionary.kind}")
        # A tuple, so that the dictionary is no submodule: it is saved under its own fingerprint.
        self._dictionary = (dictionary,)
        self.shape = shape
        latents = dictionary.directions().shape[0]
        out = setting.width if shape.kind == "tied" else setting.vocabulary
        inner = shape.rank if shape.kind == "lowrank" else out
        self.W_in = nn.Parameter(torch.zeros(latents, inner))
        self.W_out = nn.Parameter(torch.zeros(inner, out)) if shape.kind == "lowrank" else None
        self.b_out = nn.Parameter(torch.zeros(out))
        self.register_buffer("scale", torch.ones(()))

    @property
    def dictionary(self) -> Dictionary:
        """Where codes come from."""
        return self._dictionary[0]

    def begin(self, train: Train) -> None:
        """Start from the dictionary's decoder (tied), or from the mean prediction and a random inner map."""
        self.scale.fill_(train.x.scale())
        dictionary = self.dictionary
        if self.shape.kind == "tied":
            rows_FD = dictionary.directions()
            nothing_1F = torch.zeros(1, len(rows_FD), device=rows_FD.device)
            self.W_in.copy_(rows_FD * self.scale)
            self.b_out.copy_(dictionary.decode(nothing_1F)[0] * self.scale)
            return
        self.b_out.copy_(mean_prediction(train.extra["targets"], self.setting.vocabulary, self.setting.seed))
        if self.W_out is not None:
            generator = torch.Generator().manual_seed(stream(self.setting.seed, "weights"))
            inner_FR = torch.randn(self.W_in.shape, generator=generator) / self.setting.l0**0.5
            self.W_in.copy_(inner_FR)

    def reader(self, x: Activations, device: torch.device) -> Rows:
        """Return codes by row; they are computed once."""
        return StoredCodes.of(self.dictionary, x, device).take

    def given(self, read: Read) -> Tensor:
        """Return codes ``[N, F]``."""
        return self.dictionary.encode(read.x_ND, read.doc_N)

    def predict(self, given_NK: Tensor, unembedding: Unembedding) -> Tensor:
        """Return log-probabilities ``[N, V]`` of codes ``[N, F]``."""
        if self.shape.kind == "tied":
            return unembedding.logp(torch.addmm(self.b_out, given_NK, self.W_in) / self.scale)
        return torch.log_softmax(self.logits(given_NK), dim=1)

    def logits(self, z_NF: Tensor) -> Tensor:
        """Return logits ``[N, V]`` of codes; of a decoder with a map of its own to the vocabulary."""
        if self.W_out is None:
            return torch.addmm(self.b_out, z_NF, self.W_in)
        return torch.addmm(self.b_out, z_NF @ self.W_in, self.W_out)


def mean_prediction(targets: Targets, vocabulary: int, seed: int) -> Tensor:
    """Return the log of the model's mean prediction over a sample of rows, ``[V]``: the best constant prediction."""
    generator = torch.Generator().manual_seed(stream(seed, "sample"))
    index_N = torch.randperm(len(targets.id_N), generator=generator)[:SAMPLE_ROWS]
    total_V = torch.zeros(vocabulary, dtype=torch.float64)
    for index_n in torch.split(index_N, CHUNK_ROWS):
        total_V += targets.logp(index_n).exp().sum(0, dtype=torch.float64).cpu()
    # A class that has no probability anywhere would be ruled out for good.
    return (total_V / len(index_N)).clamp_min(1e-12).log().float()
