"""A decoder over sparse codes, trained by a reward on texts that it writes itself.

It goes on with texts of the train split; the frozen model reads every token it writes, so that it meets what it brought
about. PPO: arXiv 1707.06347, with generalised advantages: arXiv 1506.02438.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.api import Arm, Setting, Targets, Train
from harness.errors import UserError
from harness.training.code_policy import CodePolicy
from harness.training.onpolicy import Field, OnPolicy, Walk
from harness.training.reinforce import Course, Plan, Ppo
from harness.training.rewards import Goal, Schedule


class SparseDecoderRlOnpolicy(CodePolicy):
    """The decoder ``start`` of its YAML, with its weights moved by PPO along courses of its own."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``sparse_decoder_rl_onpolicy``."""

        ppo: Ppo
        """how the policy is stepped; ``batch`` counts courses"""
        walk: Walk
        """how courses are run"""
        reward: Schedule
        """weights of the reward's components by phase: of following the model at each token, and of the share of a
        course's tokens that are the text's own, paid at its end"""
        beta: float
        """weight of staying near the start"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(params, setting, Plan(params.ppo, params.reward), params.beta)

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Refuse what courses cannot be run with."""
        if params.ppo.baseline != "value":
            raise UserError(
                f"sparse_decoder_rl_onpolicy: params.ppo.baseline={params.ppo.baseline}: what a course is worth takes "
                "a value head; give 'value'."
            )

    def learns(self, train: Train) -> Course:
        """Return the train split as it is: its rows are where courses begin."""
        targets: Targets = train.extra["targets"]
        gold_N = targets.gold_N.to(train.device)

        def goal(row_B: Tensor) -> Goal:
            return Goal(targets.logp(row_B), gold_N[row_B])

        return Course(len(train.x), self.states(train), goal, self.valued, train.device)

    def school(self, pair: tuple[nn.Module, nn.Module], course: Course, arm: Arm, train: Train) -> OnPolicy:
        """Return what trains a decoder by one arm, along courses."""
        field = Field(self.params.walk, train.extra["environment"], self._observe, train.extra["targets"].gold_N)
        return OnPolicy(pair, course, self.plan, (arm, self.setting.seed), field)

    @torch.no_grad()
    def _observe(self, x_BD: Tensor) -> Tensor:
        """Return the codes of tokens that are read one by one: each is a document of its own."""
        dictionary = self.begun.dictionary
        if dictionary.shared:
            raise ValueError("a dictionary with a code for the whole document cannot code single tokens")
        codes_BF: Tensor = dictionary.encode(x_BD, torch.arange(len(x_BD), device=x_BD.device))
        return codes_BF
