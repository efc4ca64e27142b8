"""A decoder over sparse codes, trained by a reward from where distillation left it.

Each token of the train split is a situation by itself (a contextual bandit): its codes are seen, a next token is drawn,
and that token is paid for. PPO: arXiv 1707.06347.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.api import Setting
from harness.training.code_policy import CodePolicy
from harness.training.reinforce import Plan, Ppo
from harness.training.rewards import Schedule


class SparseDecoderRl(CodePolicy):
    """The decoder ``start`` of its YAML, with its weights moved by PPO."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``sparse_decoder_rl``."""

        ppo: Ppo
        """how the policy is stepped"""
        reward: Schedule
        """weights of the reward's components by phase"""
        beta: float
        """weight of staying near the start"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(params, setting, Plan(params.ppo, params.reward), params.beta)

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Accept every task: it has the size of its start, which checks itself."""
