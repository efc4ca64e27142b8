"""Steerers: what is done to a language model so that it writes something else."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from harness.api.fitting import Network

Change = Callable[[Tensor, Tensor], Tensor]
"""What is done to a language model at one site of it: of activations ``[N, D]`` and the document of each row, int64
``[N]``, what takes their place, ``[N, D]``. A row may depend on itself and on earlier rows of its document, never on
later."""

Bias = Mapping[tuple[int, ...], float]
"""By token ids, what is added to the logit of the last of them where the others stand right before it (nats). Minus
infinity: they are never written."""


@dataclass(frozen=True)
class Intervention:
    """Everything that is done to a language model at once. None of it: the model as it is, bit for bit.

    Attributes:
        change: of activations.
        history: whether a row of ``change`` depends on earlier rows; they are then kept, and given again with each new
            token.
        prefix: text before every prompt.
        bias: of logits.
    """

    change: Change | None = None
    history: bool = False
    prefix: str = ""
    bias: Bias = field(default_factory=dict)


@dataclass(frozen=True)
class Behaviour:
    """What a steerer is to bring about: words that the model is to write.

    Attributes:
        sequences: token ids of every form of every word.
        in_RN: bool; by word, the rows of the train split that stand in a window around it.
    """

    sequences: tuple[tuple[int, ...], ...]
    in_RN: Tensor

    @property
    def in_N(self) -> Tensor:
        """The rows that stand in a window around any of the words, bool."""
        return self.in_RN.any(0)

    @property
    def first(self) -> tuple[int, ...]:
        """The tokens that a word may begin with, each once."""
        return tuple(sorted({sequence[0] for sequence in self.sequences}))


class Steerer(Network):
    """Changes what a language model writes.

    Constructed as ``Class(params, setting)``, as a ``Dictionary`` is. A dictionary can be used alike: its
    reconstructions take the place of the activations. A fit may look at the words that the task is about through
    ``behaviour`` (a ``Behaviour``), declared under ``needs``.
    """

    kind: ClassVar[str] = "steerer"
    graded: ClassVar[bool] = True
    """Whether more strength does more; else every strength above 0 is the same."""

    @abstractmethod
    def steer(self, strength: float) -> Intervention:
        """Return what is done at a strength, in a unit of the method's own. At 0 no bit changes."""
