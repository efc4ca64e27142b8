"""Probes that say of answers whether they are wrong."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from harness.api.fitting import Method


@dataclass(frozen=True)
class Answers:
    """Answers to problems, and what can be read of each: ``n`` answers, ``L`` blocks, ``P`` positions. No labels.

    Attributes:
        prompt: the text before each answer.
        answer: the text of each answer.
        author: who wrote it; None where there is one author.
        activation_nLPD: float32 residual stream of the model under study, read-only.
        confidence_nK: what that model thinks of the answer: ``CONFIDENCE`` names the columns.
        blocks: the blocks, from 0.
        positions: names of the positions.
    """

    prompt: tuple[str, ...]
    answer: tuple[str, ...]
    author: tuple[str | None, ...]
    activation_nLPD: NDArray[np.float32]
    confidence_nK: NDArray[np.float64]
    blocks: tuple[int, ...]
    positions: tuple[str, ...]

    def raw(self) -> Features:
        """Return every activation, block by block and position by position."""
        answers, blocks, positions, width = self.activation_nLPD.shape

        def units(index_k: NDArray[np.int64]) -> NDArray[np.float32]:
            found_kD = np.zeros((len(index_k), width), dtype=np.float32)
            found_kD[np.arange(len(index_k)), index_k % width] = 1.0
            return found_kD

        block_F = np.repeat(np.arange(blocks * positions, dtype=np.int64), width)
        return Features(self.activation_nLPD.reshape(answers, -1), block_F, units)


CONFIDENCE = ("mean log-probability", "least log-probability", "mean entropy", "mean largest probability")
"""Of the tokens of an answer, given what stands before each; nats."""


@dataclass(frozen=True)
class Features:
    """What a probe reads of every answer.

    Attributes:
        value_nF: float64 or float32 ``[n, F]``.
        block_F: int64; block × positions + position that a feature was read at, -1 where at none.
        direction: of feature numbers ``[k]`` the change of the activation at the feature's block and position per unit
            of the feature, float32 ``[k, D]``: a dimension's unit vector, a latent's decoder row in raw model units, a
            component. None where features are not of activations: then they cannot be ablated.
    """

    value_nF: NDArray[Any]
    block_F: NDArray[np.int64]
    direction: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None = None


Labels = Literal["wrong", "kind", "control"]


class ErrorProbe(Method):
    """Says of answers whether they are wrong. It is a recipe: the track fits it anew in every fold.

    Constructed as ``Class(params, setting)``, as a ``Dictionary`` is.
    """

    kind: ClassVar[str] = "error_probe"
    null: ClassVar[bool] = False
    """Whether it is another probe on other labels. It is asked nothing but what it tells: what it reads, and where, the
    other probe is asked."""
    labels: Labels = "wrong"
    """What it is told of the answers it is fitted on: class 0 is right and 1 wrong; or ``kind``, 0 is right and every
    kind of error a class of its own, where a task has several; or ``control``, a label drawn at random for each group,
    on which it is judged too."""

    @abstractmethod
    def features(self, answers: Answers) -> Features:
        """Return what is read of each answer, the same whatever the folds: nothing is fitted here."""

    @abstractmethod
    def fit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Fit in place on the features of some answers.

        Args:
            x_nF: rows of ``features``.
            y_n: class of each, ``0 … K - 1``, of which some may be absent; see ``labels``.
            group_n: answers to one problem share a group; every choice is made across groups.
        """

    def refit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Fit in place on other features of the same answers, keeping what the last ``fit`` chose where it can be kept.

        Whatever cannot be kept is chosen anew, as by ``fit``.
        """
        self.fit(x_nF, y_n, group_n)

    @abstractmethod
    def predict(self, x_nF: NDArray[Any], classes: int) -> NDArray[np.float64]:
        """Return the probability of each class, ``[n, K]``."""
