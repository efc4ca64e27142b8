"""A decoder over sparse codes, trained by a reward from where distillation left it.

Each token of the train split is a situation by itself (a contextual bandit): its codes are seen, a next token is drawn,
and that token is paid for. PPO: arXiv 1707.06347.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from harness.api import Read, Setting, Train, Unembedding
from harness.training.reinforce import Plan, Ppo
from harness.training.rewarded import RewardedDecoder
from harness.training.rewards import Schedule
from harness.training.sparse_decoder import CodeDecoder


class SparseDecoderRl(RewardedDecoder):
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
        start = setting.uses["start"]
        if not isinstance(start, CodeDecoder):
            raise ValueError(f"it starts from a decoder over codes, got a {type(start).__name__}")
        # A tuple, so that the start is no submodule: it is saved under its own fingerprint.
        self._start = (start,)
        self.decoder = Policy(start, None)

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Accept every task: it has the size of its start, which checks itself."""

    def beginning(self, train: Train) -> nn.Module:
        """Return the start, to be moved."""
        return Policy(self._start[0], train.extra["unembedding"]).to(train.device).requires_grad_(True)

    def states(self, train: Train) -> Callable[[Tensor], Tensor]:
        """Return codes, computed once."""
        return self._start[0].reader(train.x, train.device)

    @property
    def valued(self) -> int:
        """All latents."""
        return int(self._start[0].W_in.shape[0])

    def logp(self, read: Read) -> Tensor:
        """Return log-probabilities of the next token."""
        decoder: CodeDecoder = self.decoder.codes  # type: ignore[assignment]
        return decoder.predict(decoder.given(read), read.unembedding)


class Policy(nn.Module):
    """Codes → log-probabilities, with weights of its own that begin at those of another decoder."""

    def __init__(self, start: CodeDecoder, end: Unembedding | None) -> None:
        super().__init__()
        # What the start is built on is frozen and shared, not copied.
        shared = {id(kept): kept for kept in (start.setting, start.dictionary)}
        self.codes: CodeDecoder = copy.deepcopy(start, shared)
        self._end = end

    def forward(self, z_NF: Tensor) -> Tensor:
        """Return log-probabilities ``[N, V]``; raises ``ValueError`` outside a fit."""
        if self._end is None:
            raise ValueError("a policy is stepped inside 'fit' only")
        return self.codes.predict(z_NF, self._end)
