"""What decoders that are trained by a reward share: everything but what they read and what they start from."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, final

from torch import nn

from harness.api import Arm, NextToken, Rewarded, Setting, Taught, Train
from harness.training.reinforce import Course, Plan, Reinforcement


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
    def course(self, train: Train) -> Course:
        """Return what is learned from."""

    @final
    def fit(self, train: Train) -> None:
        """Train by the reward, with the method's own penalty."""
        taught = self.taught(Arm("true", self.beta), train)
        self.decoder = taught.decoder.decoder  # type: ignore[attr-defined]
        self._found = {"moved": taught.moved, "policy_gradient": taught.gradient, "reward_spread": taught.spread}

    @final
    def start(self, train: Train) -> NextToken:
        """Return the decoder before any reward."""
        return self._holding(self.beginning(train))

    @final
    def taught(self, arm: Arm, train: Train) -> Taught:
        """Return what one arm makes of the start."""
        if self._course is None or self._course[0] is not train:
            self._course = train, self.course(train)
        decoder = self.beginning(train)
        trace = Reinforcement(decoder, self._course[1], self.plan, arm, self.setting.seed).run(train.progress)
        return Taught(self._holding(decoder), trace.moved, trace.gradient, trace.spread)

    def _holding(self, decoder: nn.Module) -> NextToken:
        other = type(self)(self.params, self.setting)  # type: ignore[call-arg,arg-type]
        other.decoder = decoder
        return other.to(next(decoder.parameters()).device).eval().requires_grad_(False)

    @final
    def summary(self) -> dict[str, float]:
        """Return how far the weights went, and whether there was anything to learn from."""
        return dict(self._found)
