"""What can be counted of a text that a model wrote: repetition, variety, and marks in place of a judge's.

Token ids are sequences of integers. Marks are 0, 1 or 2, as AxBench gives them (arXiv 2501.17148, section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.contract import Array

Marks = NDArray[np.int64]
# A text is fluent where it is at most so much more surprising than the unsteered one, and repeats at most so much.
_FLUENT = ((1.5, 0.2), (3.0, 0.4))
# The share of unsteered texts that stay below the level from which a behaviour counts as brought about.
_USUAL = 0.95
_TWICE = 2.0


def runs(ids: Sequence[int], length: int) -> tuple[int, int]:
    """Return how many runs of ``length`` tokens a text has, and how many of them are different."""
    found = [tuple(ids[start : start + length]) for start in range(len(ids) - length + 1)]
    return len(found), len(set(found))


@dataclass(frozen=True)
class Written:
    """What is known of the texts of one arm, one number for each of ``n`` problems.

    Attributes:
        rate_n: hits of the vocabulary per token.
        right_n: 1 where the answer is right.
        parsed_n: 1 where there is an answer.
        nll_n: nats per token under the model as it is.
        repeated_n: share of runs of four tokens that occurred before in the text.
    """

    rate_n: Array
    right_n: Array
    parsed_n: Array
    nll_n: Array
    repeated_n: Array


def marks(texts: Written, clean: Written) -> tuple[Marks, Marks, Marks]:
    """Return marks for concept, instruction and fluency, ``[n]`` each, beside the texts of the unsteered model.

    Concept: 0 where the rate is no higher than the 95th percentile of the unsteered texts, 2 where it is at least twice
    their mean, else 1. Instruction: 2 for a right answer, 1 for any answer. Fluency: 2 where perplexity is at most 1.5
    times that of the unsteered text and at most .2 is repeated, 1 at 3 times and .4.
    """
    usual, mean = float(np.quantile(clean.rate_n, _USUAL)), float(clean.rate_n.mean())
    concept = np.where(texts.rate_n <= usual, 0, np.where(texts.rate_n >= _TWICE * mean, 2, 1))
    instruction = np.where(texts.right_n > 0, 2, np.where(texts.parsed_n > 0, 1, 0))
    ratio_n = np.exp(texts.nll_n - clean.nll_n)
    fluent = [(ratio_n <= most) & (texts.repeated_n <= share) for most, share in _FLUENT]
    fluency = np.where(fluent[0], 2, np.where(fluent[1], 1, 0))
    return concept.astype(np.int64), instruction.astype(np.int64), fluency.astype(np.int64)


def harmonic(mark_nK: NDArray[np.int64]) -> Array:
    """Return the harmonic mean of each row's marks, 0 where one of them is 0."""
    none_n1 = (mark_nK == 0).any(1, keepdims=True)
    inverse_n = (1.0 / np.where(none_n1, 1, mark_nK)).sum(1)
    return np.where(none_n1[:, 0], 0.0, mark_nK.shape[1] / inverse_n)


def slopes(dose_S: Array, value_nS: Array) -> Array:
    """Return the least-squares slope of each row on the doses, ``[n]``.

    Raises:
        ValueError: the doses do not differ.
    """
    centred_S = dose_S - dose_S.mean()
    spread = float(centred_S @ centred_S)
    if spread == 0:
        raise ValueError("a slope needs two different doses")
    return np.asarray(value_nS @ centred_S / spread, dtype=np.float64)
