"""What the model itself thinks of an answer: the baseline a probe must add to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.api import Answers, Features, Setting
from harness.training.probe import LogisticProbe


class Confidence(LogisticProbe):
    """Logistic regression on log-probability, entropy and largest probability of the answer's tokens."""

    @dataclass(frozen=True)
    class Params:
        """``confidence`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()

    def features(self, answers: Answers) -> Features:
        """Return the columns of ``CONFIDENCE``."""
        return Features(answers.confidence_nK, np.full(answers.confidence_nK.shape[1], -1, dtype=np.int64))
