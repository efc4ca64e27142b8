"""Kinds of error: what the labels of answers say beyond right and wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.error_kinds import LEAST_GROUPS

# What kinds too rare to be told apart are called together.
REST = "other"


@dataclass(frozen=True)
class Kinds:
    """Kinds of error, in the order of the alphabet after the label of right answers.

    Attributes:
        names: by number; 0 is right.
        kind_n: int64; the kind of each answer.
    """

    names: tuple[str, ...]
    kind_n: NDArray[np.int64]


def kinds_of(labels: Sequence[str], right: str, group_n: NDArray[np.int64]) -> Kinds | None:
    """Return the kinds of error of answers; None where there are not two of them.

    A kind found in fewer groups than there are outer folds cannot be learned and tested in each: such kinds are one,
    ``other``.

    Args:
        labels: of each answer: ``right``, or the kind of its error.
        right: the label of right answers.
        group_n: answers to one problem share a group.
    """
    label_n = np.array(labels, dtype=object)
    wrong = sorted({label for label in labels if label != right})
    common = [kind for kind in wrong if len(np.unique(group_n[label_n == kind])) >= LEAST_GROUPS]
    errors = sorted({kind if kind in common else REST for kind in wrong})
    if len(errors) < 2:
        return None
    number = {kind: errors.index(kind if kind in common else REST) + 1 for kind in wrong}
    return Kinds((right, *errors), np.array([number.get(label, 0) for label in labels], dtype=np.int64))
