"""The network of an explanation decoder: a set of active latents in, a sentence out.

It reads what is in the active latents and nothing else: their codes, their decoder rows, their numbers. The encoder
sums the set up, and says of each latent what its effect should be: its size times a learned weight of its own, plus its
row along a direction that depends on the whole set (a gradient that is guessed and never taken). The decoder is a GRU
that points at latents by these effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from harness.training.effect_sentences import END, WORDS, Active, allowed


@dataclass(frozen=True)
class Shape:
    """How large the network is."""

    width: int
    """numbers that describe a latent, a set, and the state of the decoder"""
    rank: int
    """dimensions that decoder rows are read through"""
    dropout: float
    """share of what describes a latent that is left out at random while it is fitted"""


@dataclass(frozen=True)
class Heard:
    """What the encoder makes of ``n`` sets of ``K`` latents.

    Attributes:
        latent_nKH: each latent in its set.
        set_nH: each set.
        effect_nK: what each latent should do to the prediction, in units of a typical effect; above 0: for it.
    """

    latent_nKH: Tensor
    set_nH: Tensor
    effect_nK: Tensor


class SetEncoder(nn.Module):
    """Active latents to guessed effects."""

    def __init__(self, latents: int, width: int, shape: Shape) -> None:
        super().__init__()
        self.own = nn.Embedding(latents, shape.width)
        self.own_effect = nn.Embedding(latents, 1)
        self.row = nn.Linear(width, shape.rank, bias=False)
        self.sized = nn.Linear(3, shape.width)
        self.rowed = nn.Linear(shape.rank, shape.width)
        self.summed = nn.Sequential(nn.Linear(2 * shape.width + shape.rank, shape.width), nn.GELU())
        self.slope = nn.Linear(shape.width, shape.rank)
        self.mixed = nn.Sequential(nn.Linear(2 * shape.width, shape.width), nn.GELU())
        self.more = nn.Linear(shape.width, 1)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, active: Active, unit_FD: Tensor) -> Heard:
        """Read sets; sizes are in units of a typical size. ``unit_FD``: decoder rows of norm 1."""
        there_nK1 = active.there_nK[:, :, None]
        row_nKR = self.row(unit_FD)[active.latent_nK]
        latent_nKH = self.dropout(gelu(self.own(active.latent_nK) + self.sized(_sizes(active)) + self.rowed(row_nKR)))
        weighed_nKH = latent_nKH * active.size_nK[:, :, None]
        whole_nR = (row_nKR * active.size_nK[:, :, None]).sum(1)
        count_n1 = there_nK1.sum(1).clamp_min(1)
        set_nH = self.summed(
            torch.cat([(latent_nKH * there_nK1).sum(1) / count_n1, weighed_nKH.sum(1) / count_n1, whole_nR / 8], 1)
        )
        along_nK = torch.einsum("nkr,nr->nk", row_nKR, self.slope(set_nH))
        mixed_nKH = self.mixed(torch.cat([latent_nKH, set_nH[:, None].expand_as(latent_nKH)], 2))
        weight_nK = self.own_effect(active.latent_nK)[:, :, 0] + along_nK + self.more(mixed_nKH)[:, :, 0]
        return Heard(mixed_nKH, set_nH, weight_nK * active.size_nK)


def _sizes(active: Active) -> Tensor:
    """Return size, its root and its rank in the set from 0 (largest) to 1, ``[n, K, 3]``."""
    rank_nK = active.size_nK.abs().argsort(dim=1, descending=True, stable=True).argsort(1)
    share_nK = rank_nK / active.there_nK.sum(1, keepdim=True).clamp_min(1)
    return torch.stack([active.size_nK, active.size_nK.abs().sqrt(), share_nK], 2)


class Writer(nn.Module):
    """Guessed effects to sentences, token by token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word = nn.Embedding(len(WORDS), shape.width)
        self.start = nn.Linear(shape.width, shape.width)
        self.cell = nn.GRUCell(shape.width + 1, shape.width)
        self.words = nn.Linear(shape.width, len(WORDS))
        self.query = nn.Linear(shape.width, shape.width)
        self.sharpness = nn.Parameter(torch.ones(()))
        self.side = nn.Parameter(torch.ones(()))

    def forward(self, heard: Heard, active: Active, token_nS: Tensor, most: int) -> Tensor:
        """Return log-probabilities of the tokens of given sentences, ``[n, S]``; 0 after an end."""
        said = _Said(self, heard, active, most)
        found = []
        for token_n in token_nS.T:
            ended_n = said.ended_n
            logp_n = said.logp().gather(1, token_n[:, None])[:, 0]
            found.append(torch.where(ended_n, 0.0, logp_n))
            said.say(token_n)
        return torch.stack(found, 1)

    def greedy(self, heard: Heard, active: Active, most: int, steps: int) -> Tensor:
        """Return the tokens of sentences, the likeliest at each step, int64 ``[n, S]``; after an end, ends."""
        said = _Said(self, heard, active, most)
        found = []
        for _ in range(steps):
            token_n = said.logp().argmax(1) * ~said.ended_n
            found.append(token_n)
            said.say(token_n)
        return torch.stack(found, 1)


class _Said:
    """What was written of ``n`` sentences so far."""

    def __init__(self, writer: Writer, heard: Heard, active: Active, most: int) -> None:
        self.writer, self.heard, self.there_nK, self.most = writer, heard, active.there_nK, most
        self.state_nH = torch.tanh(writer.start(heard.set_nH))
        count = len(heard.set_nH)
        self.pointed_nK = torch.zeros_like(self.there_nK)
        self.ended_n = torch.zeros(count, dtype=torch.bool, device=self.there_nK.device)
        self.effect_n = heard.effect_nK.new_zeros(count)
        self.step = 0

    def logp(self) -> Tensor:
        """Return log-probabilities of the next token, ``[n, W + K]``."""
        writer, heard = self.writer, self.heard
        words_nW = writer.words(self.state_nH)
        # The side of a latent is that of its effect; what was pointed at last is what is spoken of.
        lean_n = writer.side * self.effect_n
        words_nW = words_nW + torch.stack([0 * lean_n] * (len(WORDS) - 2) + [lean_n, -lean_n], 1)
        asked_nK = torch.einsum("nkh,nh->nk", heard.latent_nKH, writer.query(self.state_nH))
        pointer_nK = writer.sharpness * heard.effect_nK.abs() + asked_nK / heard.latent_nKH.shape[2] ** 0.5
        open_nT = allowed(self.step, self.pointed_nK, self.there_nK, self.most)
        return torch.cat([words_nW, pointer_nK], 1).masked_fill(~open_nT, -1e9).log_softmax(1)

    def say(self, token_n: Tensor) -> None:
        """Take the next token of each sentence."""
        column_n1 = (token_n[:, None] - len(WORDS)).clamp_min(0)
        points_n1 = token_n[:, None] >= len(WORDS)
        latent_nH = self.heard.latent_nKH.gather(
            1, column_n1[:, :, None].expand(-1, -1, self.heard.latent_nKH.shape[2])
        )[:, 0]
        effect_n = self.heard.effect_nK.gather(1, column_n1)[:, 0]
        word_nH = self.writer.word(token_n.clamp_max(len(WORDS) - 1))
        given_nH = torch.where(points_n1, latent_nH, word_nH)
        self.effect_n = torch.where(points_n1[:, 0], effect_n, self.effect_n)
        self.state_nH = self.writer.cell(torch.cat([given_nH, self.effect_n[:, None]], 1), self.state_nH)
        self.pointed_nK = self.pointed_nK | torch.zeros_like(self.pointed_nK).scatter(1, column_n1, points_n1)
        # Before the first token of a sentence is written there is no end to be taken for one.
        self.ended_n = self.ended_n | (token_n == END)
        self.step += 1
