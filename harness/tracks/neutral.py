"""What an intervention does to text that has nothing to do with the task: its side effects, and a dose for what changes
no activation.

The model as it is reads the text once; a bias alone is added to what it said, and runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from harness.api import Bias, Intervention
from harness.data.planted import plain_texts
from harness.lm.continued import Followed
from harness.lm.under import Biased, closed_form_kl
from harness.tracks.place import Place
from harness.tracks.rereading import Rereading

# Tokens that are read before any is measured, and sentences of a text: more tokens than any that are asked for.
_AHEAD, _SENTENCES = 8, 40


@dataclass(frozen=True)
class Side:
    """Sums over tokens of neutral text: KL(as it is ‖ steered) in nats, and favourites that are the text's token."""

    kl: float
    tokens: int
    hits: int
    hits_clean: int

    @property
    def mean_kl(self) -> float:
        """Nats per token."""
        return self.kl / self.tokens


class Neutral:
    """Measures interventions on neutral texts."""

    def __init__(self, place: Place, texts: Sequence[Followed]) -> None:
        self.place = place
        self._read = Rereading(place, lambda prefix: _behind(place.ids(prefix) if prefix else (), texts))

    @cached_property
    def _clean(self) -> list[Tensor]:
        """The model's own log-probabilities of each text, float32 ``[T, V]``."""
        return self._read.each(Intervention(), lambda _, logp_TV: logp_TV)

    def side(self, found: Intervention) -> Side:
        """Return what an intervention does. Its prefix stands before each text."""
        texts, clean = self._read.texts, self._clean  # read before anything is done to the model
        if found.change is None and not found.prefix:
            each = zip(texts, clean, strict=True)
            measured = [_against(text, logp_TV, self._biased(text, logp_TV, found.bias)) for text, logp_TV in each]
        else:
            measured = self._read.each(found, lambda row, logq_TV: _against(texts[row], clean[row], logq_TV))
        kl, hits, hits_clean = (sum(column) for column in zip(*measured, strict=True))
        return Side(max(float(kl), 0.0), sum(len(text.after) for text in texts), int(hits), int(hits_clean))

    def _biased(self, text: Followed, logp_TV: Tensor, bias: Bias) -> Tensor:
        if not bias:
            return logp_TV
        read_1S = torch.tensor([[*text.prompt, *text.after[:-1]]], device=logp_TV.device)
        return Biased(bias, self.place.model.info.vocab).added(logp_TV[None], read_1S)[0].log_softmax(-1)

    def bias_kl(self, first: tuple[int, ...], value: float) -> float:
        """Return the mean divergence that a bias on some tokens comes to, in nats per token."""
        return float(torch.cat([closed_form_kl(logp_TV, first, value) for logp_TV in self._clean]).mean())


def _against(text: Followed, logp_TV: Tensor, logq_TV: Tensor) -> tuple[float, int, int]:
    """Return the divergence summed over a text, and how many favourites are its own tokens, steered and as it is."""
    own_T = torch.tensor(text.after, device=logp_TV.device)
    hits, hits_clean = (int((one.argmax(1) == own_T).sum()) for one in (logq_TV, logp_TV))
    gap_TV = logp_TV - logq_TV
    return float((logp_TV.exp() * gap_TV).double().sum()), hits, hits_clean


def _behind(prefix: tuple[int, ...], texts: Sequence[Followed]) -> list[Followed]:
    return [Followed(prefix + text.prompt, text.after) for text in texts]


def neutral_texts(place: Place, texts: int, tokens: int, seed: int) -> tuple[Followed, ...]:
    """Return generated texts of plain sentences, each with a beginning that is not measured."""
    rows = [place.ids(text) for text in plain_texts(texts, _SENTENCES, seed)]
    return tuple(Followed(ids[:_AHEAD], ids[_AHEAD : _AHEAD + tokens]) for ids in rows)
