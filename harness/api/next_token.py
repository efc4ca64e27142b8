"""Decoders that predict a language model's next token from what can be read at one site of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from harness.api.dictionary import Dictionary
from harness.api.fitting import Network, Setting


class Unembedding(ABC):
    """The end of a language model, frozen: final norm and unembedding, projected onto the task's vocabulary.

    A task's vocabulary holds ``V`` classes: every token, or its most frequent ones and, last, OTHER for all the rest.
    """

    @property
    @abstractmethod
    def classes(self) -> int:
        """``V``."""

    @abstractmethod
    def logp(self, x_ND: Tensor) -> Tensor:
        """Return log-probabilities ``[N, V]`` (nats) had the model's last block returned ``x_ND``.

        Gradients flow into ``x_ND`` alone. The probability of OTHER is the sum over all tokens behind it.
        """


@dataclass(frozen=True)
class Targets:
    """What follows the activations of one split, row by row.

    Attributes:
        id_N: int64; the token each activation belongs to, an id of the model's tokenizer.
        gold_N: int64; class of the text's next token, -1 where no text of the same document follows.
        logp: returns the model's own log-probabilities of the next token, float32 ``[n, V]``, at rows (int64, CPU), on
            the device of the fit.
    """

    id_N: Tensor
    gold_N: Tensor
    logp: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Read:
    """What a decoder may read of ``N`` tokens. Documents come whole.

    Attributes:
        x_ND: activations at the site.
        id_N: int64; the tokens themselves.
        doc_N: int64; the document of each.
        unembedding: the end of the model.
    """

    x_ND: Tensor
    id_N: Tensor
    doc_N: Tensor
    unembedding: Unembedding


class NextToken(Network):
    """Predicts a language model's next-token distribution from what can be read at one site of it.

    Constructed as ``Class(params, setting)``, as a ``Dictionary`` is; ``V`` is ``setting.vocabulary``. ``uses`` are not
    registered as submodules: they are saved under their own fingerprint.
    """

    kind: ClassVar[str] = "next_token"

    @abstractmethod
    def logp(self, read: Read) -> Tensor:
        """Return log-probabilities of the next token, float32 ``[N, V]`` (nats); each row is a distribution."""

    @classmethod
    @abstractmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Raise ``UserError``, naming an alternative, where a fit would be too large.

        Called before anything is fitted; ``uses`` of the setting is empty then.
        """


class OverCodes(NextToken):
    """A decoder that reads the codes of a dictionary and nothing else, so that latents explain what it predicts."""

    @property
    @abstractmethod
    def dictionary(self) -> Dictionary:
        """Whose codes it reads."""

    @abstractmethod
    def predict(self, given_NK: Tensor, unembedding: Unembedding) -> Tensor:
        """Return log-probabilities of the next token, ``[N, V]``, of codes ``[N, K]``; differentiable in the codes."""
