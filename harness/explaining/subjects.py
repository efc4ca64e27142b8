"""Whose prediction is explained: the language model's, or that of a decoder over codes.

Either way ``M`` is the log-probability (nats) of the token it predicts, a function of the codes at the last token.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import final

import torch
from torch import Tensor

from harness.api import Dictionary, OverCodes, Predictions
from harness.tracks.importance import BRANCHES, Chosen, Importance
from harness.tracks.next_tokens import Predictions as Decoded


class Subject(ABC):
    """One prediction, as a function of the codes at the token that predicts.

    Attributes:
        asked: the prediction as an explainer meets it: one of one.
        logp_V: log-probabilities of the next token.
    """

    def __init__(self, asked: Predictions, logp_V: Tensor) -> None:
        self.asked, self.logp_V = asked, logp_V

    @property
    @final
    def code_F(self) -> Tensor:
        """The codes."""
        return self.asked.code_nF[0]

    @property
    @final
    def full(self) -> float:
        """``M``."""
        return float(self.asked.value_n[0])

    @abstractmethod
    def without(self, drop_AF: Tensor) -> Tensor:
        """Return ``M`` with some latents set to 0, ``[A]``; ``drop_AF`` (bool) says which."""


@final
class ByModel(Subject):
    """The language model's prediction: it runs on from the activation without some decoder rows."""

    @torch.no_grad()
    def __init__(self, importance: Importance, chosen: Chosen, dictionary: Dictionary) -> None:
        self._importance, self._point = importance, chosen.points[0]
        asked = importance.predictions(chosen, dictionary)
        super().__init__(asked, importance.next_logp(self._point))

    def without(self, drop_AF: Tensor) -> Tensor:
        """Return ``M`` with some latents set to 0, ``[A]``."""
        return self._importance.without(self._point, self.code_F, self.asked.direction_FD, drop_AF)


@final
class ByDecoder(Subject):
    """A decoder's prediction: it is asked again with other codes, and the language model is not run."""

    @torch.no_grad()
    def __init__(self, decoder: OverCodes, chosen: Chosen, decoded: Decoded) -> None:
        self._decoder, self._end = decoder, decoded.unembedding
        code_F = chosen.codes(decoder.dictionary)[0]
        logp_V = self._logp(code_F[None])[0]
        value, target = logp_V.max(0)
        self._target = int(target)
        kept_K = decoded.classes.kept_K
        # The class of all other tokens has no id.
        ids = torch.arange(len(logp_V)) if kept_K is None else torch.cat([kept_K, torch.tensor([-1])])
        slope: Callable[[int], Tensor] = cache(lambda steps: self._slope(code_F, steps)[None])
        ablated: Callable[[], Tensor] = cache(lambda: self._ablated(code_F, float(value))[None])
        direction_FD = decoder.dictionary.directions().detach()
        asked = Predictions(code_F[None], direction_FD, ids[[self._target]], value[None].cpu(), slope, ablated)
        super().__init__(asked, logp_V)

    @torch.no_grad()
    def without(self, drop_AF: Tensor) -> Tensor:
        """Return ``M`` with some latents set to 0, ``[A]``."""
        return self._value(self.code_F * ~drop_AF)

    def _logp(self, code_AF: Tensor) -> Tensor:
        return self._decoder.predict(code_AF, self._end)

    def _value(self, code_AF: Tensor) -> Tensor:
        pieces = [self._logp(some_AF)[:, self._target] for some_AF in torch.split(code_AF, BRANCHES)]
        return torch.cat(pieces)

    @torch.no_grad()
    def _ablated(self, code_F: Tensor, full: float) -> Tensor:
        active_k = torch.nonzero(code_F).flatten()
        code_kF = code_F.repeat(len(active_k), 1)
        code_kF[torch.arange(len(active_k)), active_k] = 0
        return torch.zeros_like(code_F).index_copy(0, active_k, (full - self._value(code_kF)).to(code_F))

    @torch.enable_grad()
    def _slope(self, code_F: Tensor, steps: int) -> Tensor:
        part_A1 = (torch.arange(steps, device=code_F.device)[:, None] + 0.5) / steps if steps else torch.ones(1, 1)
        code_AF = (part_A1.to(code_F) * code_F).detach().requires_grad_(True)
        (gradient_AF,) = torch.autograd.grad(self._value(code_AF).sum(), code_AF)
        mean_F: Tensor = gradient_AF.mean(0)
        return mean_F
