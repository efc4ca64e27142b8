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
from torch.nn.functional import gelu, normalize

from harness.training.effect_sentences import CLAUSE, END, FIRST_SIDE, WORDS, Active, allowed

# In the place of the score of a token that the grammar rules out.
_NEVER = -1e9


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
    """Active latents to guessed effects. Rows of latents are read through the directions in which they differ most."""

    row_FR: Tensor

    def __init__(self, direction_FD: Tensor, shape: Shape) -> None:
        super().__init__()
        unit_FD = normalize(direction_FD.detach().float(), dim=1)
        _, along_RD = torch.linalg.eigh(unit_FD.T @ unit_FD)
        row_FR = unit_FD @ along_RD[:, -shape.rank :]
        self.register_buffer("row_FR", row_FR.contiguous())
        rank = row_FR.shape[1]
        self.own = nn.Embedding(len(direction_FD), shape.width)
        self.own_effect = nn.Embedding(len(direction_FD), 1)
        self.sized = nn.Linear(3, shape.width)
        self.rowed = nn.Linear(rank, shape.width)
        self.summed = nn.Sequential(nn.Linear(2 * shape.width + rank, shape.width), nn.GELU())
        self.slope = nn.Linear(shape.width, rank)
        self.mixed = nn.Sequential(nn.Linear(2 * shape.width, shape.width), nn.GELU())
        self.more = nn.Linear(shape.width, 1)
        self.dropout = nn.Dropout(shape.dropout)
        # Nothing is known of a latent that was never seen, and no effect is guessed before any was.
        for part in (self.own, self.own_effect, self.slope, self.more):
            nn.init.zeros_(part.weight)

    def forward(self, active: Active) -> Heard:
        """Read sets; sizes are in units of a typical size."""
        there_nK1 = active.there_nK[:, :, None]
        row_nKR = self.row_FR[active.latent_nK]
        latent_nKH = self.dropout(gelu(self.own(active.latent_nK) + self.sized(_sizes(active)) + self.rowed(row_nKR)))
        size_nK1 = active.size_nK[:, :, None]
        count_n1 = there_nK1.sum(1).clamp_min(1)
        means = [(part * there_nK1).sum(1) / count_n1 for part in (latent_nKH, latent_nKH * size_nK1)]
        whole_nR = (row_nKR * size_nK1).sum(1) / count_n1**0.5
        set_nH = self.dropout(self.summed(torch.cat([*means, whole_nR], 1)))
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

    def __init__(self, shape: Shape, most: int) -> None:
        super().__init__()
        self.most = most
        self.word = nn.Embedding(len(WORDS), shape.width)
        self.start = nn.Linear(shape.width, shape.width)
        self.memory = nn.GRU(shape.width + 1, shape.width, batch_first=True)
        self.words = nn.Linear(shape.width, len(WORDS))
        self.query = nn.Linear(shape.width, shape.width)
        self.sharpness = nn.Parameter(torch.ones(()))
        self.by_size = nn.Parameter(torch.full((), 2.0))
        self.side = nn.Parameter(torch.ones(()))

    def forward(self, heard: Heard, active: Active, token_nS: Tensor) -> Tensor:
        """Return log-probabilities of the tokens of given sentences, ``[n, S]``; 0 after an end."""
        start_n1H = self._start(heard)[:, None]
        told_nSG, effect_nS = self._told(heard, token_nS)
        state_nSH = torch.cat([start_n1H, self.memory(told_nSG, start_n1H.transpose(0, 1).contiguous())[0][:, :-1]], 1)
        points_nSK = _pointed(token_nS, active)
        before_nSK = (points_nSK.cumsum(1) - points_nSK.long()) > 0
        step_S = torch.arange(token_nS.shape[1], device=token_nS.device)
        # A strength and a side are said of the latent that was pointed at before.
        spoken_nS = effect_nS[:, step_S // CLAUSE * CLAUSE]
        logp_nST = self._logp(_Moment(heard, active, state_nSH, spoken_nS, before_nSK, step_S))
        ends_nS = (token_nS == END).long()
        ended_nS = (ends_nS.cumsum(1) - ends_nS) > 0
        return logp_nST.gather(2, token_nS[:, :, None])[:, :, 0].masked_fill(ended_nS, 0.0)

    def greedy(self, heard: Heard, active: Active) -> Tensor:
        """Return the tokens of sentences, the likeliest at each step, int64 ``[n, S]``; after an end, ends."""
        state_nH = self._start(heard)
        spoken_n = torch.zeros_like(state_nH[:, 0])
        pointed_nK = torch.zeros_like(active.there_nK)
        ended_n = torch.zeros_like(pointed_nK[:, 0])
        found: list[Tensor] = []
        for step in range(CLAUSE * self.most + 1):
            step_S = torch.tensor([step], device=state_nH.device)
            moment = _Moment(heard, active, state_nH[:, None], spoken_n[:, None], pointed_nK[:, None], step_S)
            token_n1 = self._logp(moment).argmax(2) * ~ended_n[:, None]
            told_n1G, effect_n1 = self._told(heard, token_n1)
            spoken_n = effect_n1[:, 0] if step % CLAUSE == 0 else spoken_n
            state_nH = self.memory(told_n1G, state_nH[None].contiguous())[0][:, 0]
            pointed_nK = pointed_nK | _pointed(token_n1, active)[:, 0]
            ended_n = ended_n | (token_n1[:, 0] == END)
            found.append(token_n1)
        return torch.cat(found, 1)

    def _start(self, heard: Heard) -> Tensor:
        return torch.tanh(self.start(heard.set_nH))

    def _told(self, heard: Heard, token_nS: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the memory is told of tokens, ``[n, S, H + 1]``, and the effects of latents, ``[n, S]``."""
        points_nS = token_nS >= len(WORDS)
        column_nS = (token_nS - len(WORDS)).clamp_min(0)
        latent_nSH = heard.latent_nKH.gather(1, column_nS[:, :, None].expand(-1, -1, heard.latent_nKH.shape[2]))
        effect_nS = heard.effect_nK.gather(1, column_nS) * points_nS
        word_nSH = self.word(token_nS.clamp_max(len(WORDS) - 1))
        given_nSH = torch.where(points_nS[:, :, None], latent_nSH, word_nSH)
        return torch.cat([given_nSH, effect_nS[:, :, None]], 2), effect_nS

    def _logp(self, at: _Moment) -> Tensor:
        """Return log-probabilities of the next tokens, ``[n, S, W + K]``."""
        lean_nS = self.side * at.spoken_nS
        # The side of a latent is that of its effect.
        sides_nSW = torch.stack([torch.zeros_like(lean_nS)] * FIRST_SIDE + [lean_nS, -lean_nS], 2)
        words_nSW = self.words(at.state_nSH) + sides_nSW
        asked_nSK = self.query(at.state_nSH) @ at.heard.latent_nKH.transpose(1, 2) / at.state_nSH.shape[2] ** 0.5
        # How much a latent does is easier to guess than to which side, so size counts beside the guessed effect.
        likely_nK = self.sharpness * at.heard.effect_nK.abs() + self.by_size * at.active.size_nK.abs().log1p()
        pointer_nSK = likely_nK[:, None] + asked_nSK
        open_nST = allowed(at.step_S, at.pointed_nSK, at.active.there_nK, self.most)
        return torch.cat([words_nSW, pointer_nSK], 2).masked_fill(~open_nST, _NEVER).log_softmax(2)


@dataclass(frozen=True)
class _Moment:
    """Where sentences stand: what was read, the memory's state, the effect that is spoken of, what was pointed at."""

    heard: Heard
    active: Active
    state_nSH: Tensor
    spoken_nS: Tensor
    pointed_nSK: Tensor
    step_S: Tensor


def _pointed(token_nS: Tensor, active: Active) -> Tensor:
    """Return which column each token points at, bool ``[n, S, K]``."""
    column_K = torch.arange(active.there_nK.shape[1], device=token_nS.device)
    return (token_nS - len(WORDS))[:, :, None] == column_K
