"""The logit lens with a linear correction that a reward trains: the plainest decoder whose reward can be controlled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.api import Read, Setting, Targets, Train, Unembedding
from harness.errors import UserError
from harness.training.reinforce import Course, Plan, Ppo
from harness.training.rewarded import RewardedDecoder
from harness.training.rewards import Goal, Schedule

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

    def course(self, train: Train) -> Course:
        """Return every token of the train split."""
        targets: Targets = train.extra["targets"]
        end: Unembedding = train.extra["unembedding"]
        rows_N = torch.arange(len(train.x)) if int(targets.gold_N.min()) >= 0 else torch.nonzero(targets.gold_N >= 0)[:, 0]

        def state(rows: Tensor) -> Tensor:
            x_ND = train.x.take(rows_N[rows.cpu()]).to(train.device)
            return seen(x_ND, end)

        def goal(rows: Tensor) -> Goal:
            own = rows_N[rows.cpu()]
            return Goal(targets.logp(own), targets.gold_N[own].to(train.device))

        return Course(len(rows_N), state, goal, train.x.width, train.device)

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
