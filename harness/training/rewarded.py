"""What decoders that are trained by a reward share: everything but what they read and what they start from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn

from harness.api import Arm, NextToken, Rewarded, Setting, Targets, Taught, Train
from harness.training.reinforce import Course, Plan, Reinforcement
from harness.training.rewards import Goal


class RewardedDecoder(Rewarded):
    """Trains ``decoder``, a module from states to logits, by PPO from where ``beginning`` puts it."""

    decoder: nn.Module

    def __init__(self, params: Any, setting: Setting, plan: Plan, beta: float) -> None:
        super().__init__()
        self.params, self.setting, self.plan, self.beta = params, setting, plan, beta
        self._course: tuple[Train, Course] | None = None
        self._found: dict[str, float] = {}

    @abstractmethod
    def beginning(self, train: Train) -> nn.Module:
        """Return a new module, as it is before any reward, on the device of the fit."""

    @abstractmethod
    def states(self, train: Train) -> Callable[[Tensor], Tensor]:
        """Return the function from rows of the train split (int64, CPU) to what the decoder reads of them."""

    @property
    @abstractmethod
    def valued(self) -> int:
        """How many of the first columns of a state the value head reads."""

    @final
    def fit(self, train: Train) -> None:
        """Train by the reward, with the method's own penalty."""
        taught = self.taught(Arm("true", self.beta), train)
        self.decoder = taught.decoder.decoder  # type: ignore[assignment]
        self._found = {"moved": taught.moved, "policy_gradient": taught.gradient, "reward_spread": taught.spread}

    @final
    def start(self, train: Train) -> NextToken:
        """Return the decoder before any reward."""
        return self._holding(self.beginning(train))

    @final
    def taught(self, arm: Arm, train: Train) -> Taught:
        """Return what one arm makes of the start."""
        if self._course is None or self._course[0] is not train:
            self._course = train, self.learns(train)
        decoder, start = self.beginning(train), self.beginning(train).requires_grad_(False)
        trace = self.school((decoder, start), self._course[1], arm, train).run(train.progress)
        return Taught(self._holding(decoder), trace.moved, trace.gradient, trace.spread)

    def school(self, pair: tuple[nn.Module, nn.Module], course: Course, arm: Arm, train: Train) -> Reinforcement:
        """Return what trains a decoder, beside what it starts from, by one arm: here, every token by itself."""
        return Reinforcement(*pair, course, self.plan, (arm, self.setting.seed))

    def learns(self, train: Train) -> Course:
        """Return the tokens of the train split that text follows: a reward may ask what it is."""
        targets: Targets = train.extra["targets"]
        row_N = torch.nonzero(targets.gold_N >= 0).flatten()
        take = self.states(train)

        def goal(index_B: Tensor) -> Goal:
            own_B = row_N[index_B]
            return Goal(targets.logp(own_B), targets.gold_N[own_B].to(train.device))

        return Course(len(row_N), lambda index_B: take(row_N[index_B]), goal, self.valued, train.device)

    def _holding(self, decoder: nn.Module) -> NextToken:
        other = type(self)(self.params, self.setting)  # type: ignore[call-arg]
        other.decoder = decoder
        return other.eval().requires_grad_(False)

    @final
    def summary(self) -> dict[str, float]:
        """Return how far the weights went, and whether there was anything to learn from."""
        return dict(self._found)
