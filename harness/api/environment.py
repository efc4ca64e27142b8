"""Where a policy may write: texts that go on with what it chooses."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Courses(ABC):
    """``B`` texts under way: each goes on with the next tokens that a policy writes. The model reads them, frozen."""

    @property
    @abstractmethod
    def x_BD(self) -> Tensor:
        """Activations at the site, of the last token of each."""

    @abstractmethod
    def logp(self) -> Tensor:
        """Return the model's own log-probabilities of the next token of each, float32 ``[B, V]``."""

    @abstractmethod
    def write(self, class_B: Tensor) -> Tensor:
        """Write one next token of each class (int64, ``[B]``) and read it; returns which texts it ends, bool ``[B]``.

        A text that has ended may be written to, as others of the batch are; nothing of it counts.
        """


class Environment(ABC):
    """The texts of the train split, as places where a policy may go on in their stead."""

    @abstractmethod
    def places(self, steps: int) -> Tensor:
        """Return every row of the train split (int64, CPU) that ``steps`` tokens of its text follow, row after row.

        Raises:
            UserError: there is none.
        """

    @abstractmethod
    def begin(self, row_B: Tensor, seed: int) -> Courses:
        """Return the texts up to and including the tokens of some rows; ``seed`` is of whatever is drawn on the way."""
