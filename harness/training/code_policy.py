"""A decoder over codes as a policy: what decoders share that are trained by a reward from one that was distilled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from harness.api import Dictionary, OverCodes, Read, Setting, Train, Unembedding
from harness.training.reinforce import Plan
from harness.training.rewarded import RewardedDecoder
from harness.training.sparse_decoder import CodeDecoder


class CodePolicy(RewardedDecoder, OverCodes):
    """The decoder ``start`` of its YAML, with its weights moved by PPO."""

    def __init__(self, params: Any, setting: Setting, plan: Plan, beta: float) -> None:
        super().__init__(params, setting, plan, beta)
        start = setting.uses["start"]
        if not isinstance(start, CodeDecoder):
            raise ValueError(f"it starts from a decoder over codes, got a {type(start).__name__}")
        # A tuple, so that the start is no submodule: it is saved under its own fingerprint.
        self._start = (start,)
        self.decoder = Policy(start, None)

    @property
    def begun(self) -> CodeDecoder:
        """The decoder it starts from."""
        return self._start[0]

    def beginning(self, train: Train) -> nn.Module:
        """Return the start, to be moved."""
        return Policy(self.begun, train.extra["unembedding"]).to(train.device).requires_grad_(True)

    def states(self, train: Train) -> Callable[[Tensor], Tensor]:
        """Return codes, computed once."""
        return self.begun.reader(train.x, train.device)

    @property
    def valued(self) -> int:
        """All latents."""
        return int(self.begun.W_in.shape[0])

    @property
    def dictionary(self) -> Dictionary:
        """Whose codes it reads."""
        return self.begun.dictionary

    def predict(self, given_NK: Tensor, unembedding: Unembedding) -> Tensor:
        """Return log-probabilities of the next token of codes."""
        decoder: CodeDecoder = self.decoder.codes  # type: ignore[assignment]
        return decoder.predict(given_NK, unembedding)

    def logp(self, read: Read) -> Tensor:
        """Return log-probabilities of the next token."""
        return self.predict(self.begun.given(read), read.unembedding)


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
