"""What an action is worth, and what takes the reward's place in the arms of its control."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Arm
from harness.training.policy import picked

# Largest size of the faithfulness component, nats: beyond it a sample says no more than that the target has no mass.
LARGEST = 10.0


@dataclass(frozen=True)
class Weights:
    """What each component counts."""

    faith: float
    task: float


@dataclass(frozen=True)
class Schedule:
    """Weights by phase: the run is cut into as many equal phases as there are weights."""

    faith: tuple[float, ...]
    """weight of ``clip(ln p(a) − ln π(a), ±10)`` in each phase"""
    task: tuple[float, ...]
    """weight of ``a`` being the token that follows in the text, in each phase"""

    def __post_init__(self) -> None:
        if not self.faith or len(self.faith) != len(self.task):
            raise ValueError(f"every phase needs both weights, got faith {self.faith} and task {self.task}")

    def at(self, share: float) -> Weights:
        """Return the weights when ``share`` of the run, in [0, 1), lies behind."""
        phase = min(int(share * len(self.faith)), len(self.faith) - 1)
        return Weights(self.faith[phase], self.task[phase])


@dataclass(frozen=True)
class Goal:
    """What a reward may look at in each state of a batch.

    Attributes:
        logp_NA: log-probabilities of the model that is to be followed.
        gold_N: int64; the token that follows in the text.
    """

    logp_NA: Tensor
    gold_N: Tensor

    def of(self, action_N: Tensor, old_N: Tensor, weights: Weights) -> Tensor:
        """Return the reward of one action in each state, ``[N]``; ``old_N`` is its log-probability when drawn."""
        faith_N = (picked(self.logp_NA, action_N) - old_N).clamp(-LARGEST, LARGEST)
        return weights.faith * faith_N + weights.task * (action_N == self.gold_N).to(faith_N.dtype)

    def of_all(self, policy_NA: Tensor, weights: Weights) -> Tensor:
        """Return the reward of every action in each state, ``[N, A]``."""
        faith_NA = (self.logp_NA - policy_NA).clamp(-LARGEST, LARGEST)
        gold_NA = torch.zeros_like(faith_NA).scatter_(1, self.gold_N[:, None], 1.0)
        return weights.faith * faith_NA + weights.task * gold_NA


class Substitute:
    """What one arm gives in the place of the rewards of a roll-out.

    ``random`` draws anew from those rewards, ``shuffled`` gives each to another sample: both have the size and spread
    of the reward, which a penalty of fixed weight is held against, and say nothing of the action.
    """

    def __init__(self, arm: Arm, generator: torch.Generator) -> None:
        self.name, self.generator = arm.name, generator

    def __call__(self, reward_N: Tensor) -> Tensor:
        """Return what the samples of a roll-out are given, ``[N]``."""
        n, device = len(reward_N), reward_N.device
        if self.name == "zero":
            return torch.zeros_like(reward_N)
        if self.name == "shuffled":
            return reward_N[torch.randperm(n, generator=self.generator, device=device)]
        if self.name == "random":
            return reward_N[torch.randint(n, (n,), generator=self.generator, device=device)]
        return reward_N
