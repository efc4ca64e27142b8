"""The logit lens with a linear correction that a reward trains: the plainest decoder whose reward can be controlled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.api import Read, Setting, Train, Unembedding
from harness.errors import UserError
from harness.training.reinforce import Plan, Ppo
from harness.training.rewarded import RewardedDecoder
from harness.training.rewards import Schedule

# Numbers of the lens's own predictions that are kept: beyond it a task should tell fewer tokens apart.
LARGEST = 2**28


class LensRl(RewardedDecoder):
    """Logits are the lens's plus ``x W``; ``W`` begins at 0. Where states are unit vectors it is a table."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``lens_rl``."""

        ppo: Ppo
        """how the policy is stepped"""
        reward: Schedule
        """weights of the reward's components by phase"""
        beta: float
        """weight of staying near the start"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(params, setting, Plan(params.ppo, params.reward), params.beta)
        self.decoder = Corrected(setting.width, setting.vocabulary)

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Refuse a correction for more than ``LARGEST`` pairs of an activation's coordinate and a token."""
        if setting.width * setting.vocabulary > LARGEST:
            raise UserError(
                f"lens_rl: a correction of {setting.width} × {setting.vocabulary} weights is too large; give the task "
                "'vocab: {top: 1000}'."
            )

    def beginning(self, train: Train) -> nn.Module:
        """Return the lens, uncorrected."""
        return Corrected(self.setting.width, self.setting.vocabulary).to(train.device)

    def states(self, train: Train) -> Callable[[Tensor], Tensor]:
        """Return activations beside what the lens says of them."""
        end: Unembedding = train.extra["unembedding"]
        return lambda index_N: seen(train.x.take(index_N).to(train.device), end)

    @property
    def valued(self) -> int:
        """The activations."""
        return self.setting.width

    def logp(self, read: Read) -> Tensor:
        """Return log-probabilities of the next token."""
        return torch.log_softmax(self.decoder(seen(read.x_ND, read.unembedding)), dim=1)


class Corrected(nn.Module):
    """``[x, lens]`` → logits."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.width = width
        self.W_DV = nn.Parameter(torch.zeros(width, classes))

    def forward(self, state_NS: Tensor) -> Tensor:
        """Return logits ``[N, V]``."""
        return state_NS[:, self.width :] + state_NS[:, : self.width] @ self.W_DV


@torch.no_grad()
def seen(x_ND: Tensor, end: Unembedding) -> Tensor:
    """Return activations beside what the lens says of them, ``[N, D + V]``."""
    return torch.cat([x_ND, end.logp(x_ND)], dim=1)
