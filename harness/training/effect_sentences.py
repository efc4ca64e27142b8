"""Pairs that an explanation decoder learns from: the active latents of a prediction, and a sentence on their effects.

A sentence is generated from measured effects by a fixed rule. It is a list of clauses, the largest effect first: which
latent, how strongly (by its share of all effects), and whether it speaks for the prediction or against it. A decoder
writes it token by token: a latent is a pointer to one of those that are active, all else is a word.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Named, Predictions, Sentence

STRENGTHS = ("mainly", "also", "slightly")
SIDES = ("for", "against")
WORDS = (".", *STRENGTHS, *SIDES)
"""What a decoder writes besides pointers; the first ends a sentence."""
END, FIRST_STRENGTH, FIRST_SIDE = 0, 1, 1 + len(STRENGTHS)
CLAUSE = 3
"""Tokens of a clause: a pointer, a strength, a side."""
NOTHING: Sentence = ("No latent speaks for it or against it.",)


@dataclass(frozen=True)
class Rule:
    """What sentence is right for measured effects."""

    share: float
    """latents are named, the largest effect first, until they hold this share of the sum of all |effects|"""
    most: int
    """latents that are named at most"""
    mainly: float
    """share of the sum of all |effects| from which one latent speaks ``mainly``"""
    also: float
    """the same of ``also``; what is less speaks ``slightly``"""


@dataclass(frozen=True)
class Active:
    """The active latents of ``n`` predictions, in columns ``K``; what is past their number is not ``there``.

    Attributes:
        latent_nK: int64; their numbers, rising; 0 where there is none.
        size_nK: float32; code times the norm of the decoder row.
        there_nK: bool.
    """

    latent_nK: Tensor
    size_nK: Tensor
    there_nK: Tensor

    @classmethod
    def of(cls, asked: Predictions) -> Active:
        """Return those of some predictions; one column at least."""
        folded_nF = asked.code_nF * asked.direction_FD.norm(dim=1)
        active_nF = asked.code_nF != 0
        columns = max(int(active_nF.sum(1).max()), 1) if len(asked) else 1
        # Stable: the active ones first, their numbers rising.
        latent_nK = (~active_nF).to(torch.int8).sort(dim=1, stable=True).indices[:, :columns]
        there_nK = active_nF.gather(1, latent_nK)
        return cls(latent_nK * there_nK, folded_nF.gather(1, latent_nK) * there_nK, there_nK)

    def gather(self, value_nF: Tensor) -> Tensor:
        """Return values by latent as columns, ``[n, K]``; 0 where there is none."""
        return value_nF.to(self.size_nK).gather(1, self.latent_nK) * self.there_nK

    def scatter(self, value_nK: Tensor, latents: int) -> Tensor:
        """Return columns as values by latent, ``[n, F]``; 0 where a latent is silent."""
        found_nF = torch.zeros(len(value_nK), latents, device=value_nK.device)
        return found_nF.scatter_add(1, self.latent_nK, value_nK * self.there_nK)

    def rows(self, index_b: Tensor) -> Active:
        """Return some of the predictions."""
        return Active(self.latent_nK[index_b], self.size_nK[index_b], self.there_nK[index_b])


def written(active: Active, effect_nK: Tensor, rule: Rule) -> Tensor:
    """Return the right sentence of each prediction as tokens, int64 ``[n, S]``; after its end, ends.

    Words are ``0 … len(WORDS) - 1``; a pointer to column ``k`` is ``len(WORDS) + k``.
    """
    size_nK = effect_nK.abs() * active.there_nK
    total_n1 = size_nK.sum(1, keepdim=True).clamp_min(1e-30)
    share_nM, column_nM = (size_nK / total_n1).sort(dim=1, descending=True, stable=True)
    share_nM, column_nM = share_nM[:, : rule.most], column_nM[:, : rule.most]
    before_nM = share_nM.cumsum(1) - share_nM
    said_nM = (before_nM < rule.share) & (share_nM > 0)
    strength_nM = FIRST_STRENGTH + (share_nM < rule.mainly).long() + (share_nM < rule.also).long()
    side_nM = FIRST_SIDE + (effect_nK.gather(1, column_nM) < 0).long()
    clause_nMC = torch.stack([len(WORDS) + column_nM, strength_nM, side_nM], 2) * said_nM[:, :, None]
    ends_n1 = torch.zeros(len(size_nK), 1, dtype=torch.int64, device=size_nK.device)
    return torch.cat([clause_nMC.flatten(1), ends_n1], 1)


def allowed(step_S: Tensor, pointed_nSK: Tensor, there_nK: Tensor, most: int) -> Tensor:
    """Return which tokens the grammar allows at steps of sentences that have not ended, bool ``[n, S, W + K]``.

    Args:
        step_S: int64; tokens written before.
        pointed_nSK: columns that were pointed at before.
        there_nK: columns that can be.
        most: clauses of a sentence at most.
    """
    place_S1 = (step_S % CLAUSE)[:, None]
    open_S1 = (place_S1 == 0) & (step_S[:, None] // CLAUSE < most)
    left_nSK = there_nK[:, None] & ~pointed_nSK & open_S1
    # A sentence names one latent at least, where one is active.
    end_nS1 = (place_S1 == 0) & (~left_nSK.any(2, keepdim=True) | (step_S[:, None] > 0))
    strength_nSs = (place_S1 == 1).expand(*end_nS1.shape[:2], len(STRENGTHS))
    side_nSs = (place_S1 == 2).expand(*end_nS1.shape[:2], len(SIDES))
    return torch.cat([end_nS1, strength_nSs, side_nSs, left_nSK], 2)


def read_out(token_S: list[int], latent_K: list[int]) -> Sentence:
    """Return the tokens of a sentence as words and named latents."""
    if not token_S or token_S[0] == END:
        return NOTHING
    found: list[str | Named] = []
    for start in range(0, token_S.index(END), CLAUSE):
        pointer, strength, side = token_S[start : start + CLAUSE]
        found += ["; " if found else "", Named(latent_K[pointer - len(WORDS)], side == FIRST_SIDE)]
        found.append(f" speaks {WORDS[strength]} {WORDS[side]} it")
    return (*found[1:], ".")


def exchanged(active: Active, effect_nK: Tensor) -> Tensor:
    """Return effects after the active latents of each prediction have exchanged them at random."""
    drawn_nK = torch.rand(effect_nK.shape).to(effect_nK.device).masked_fill(~active.there_nK, 2.0)
    return effect_nK.gather(1, drawn_nK.argsort(1)) * active.there_nK


def named_effect(active: Active, effect_nK: Tensor, token_nS: Tensor) -> float:
    """Return the share of the largest effects, as many as can be named, that sentences name with the right side.

    0 where no latent has an effect.
    """
    clause_nMC = token_nS[:, :-1].reshape(len(token_nS), -1, CLAUSE)
    column_nM = clause_nMC[:, :, 0] - len(WORDS)
    sign_nM = torch.where(clause_nMC[:, :, 2] == FIRST_SIDE, 1.0, -1.0) * (column_nM >= 0)
    named = (effect_nK.gather(1, column_nM.clamp_min(0)) * sign_nM).sum()
    largest = (effect_nK.abs() * active.there_nK).sort(dim=1, descending=True).values[:, : clause_nMC.shape[1]].sum()
    return float(named / largest.clamp_min(1e-30))
