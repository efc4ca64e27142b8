"""A probe that knows who wrote an answer and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.api import Answers, Features, Setting
from harness.training.probe import LogisticProbe


class ByAuthor(LogisticProbe):
    """Logistic regression on the author."""

    @dataclass(frozen=True)
    class Params:
        """``by_author`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()

    def features(self, answers: Answers) -> Features:
        """Return one column for each author."""
        names = sorted({str(author) for author in answers.author})
        value_nF = np.array([[author == name for name in names] for author in answers.author], dtype=np.float64)
        return Features(value_nF, np.full(len(names), -1, dtype=np.int64))
