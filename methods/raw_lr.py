"""Logistic regression on the activations themselves: what any probe of their codes has to beat."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api import Answers, Features, Setting
from harness.training.probe import LogisticProbe


class RawLogistic(LogisticProbe):
    """Reads every dimension at every block and position."""

    @dataclass(frozen=True)
    class Params:
        """``raw_lr`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()

    def features(self, answers: Answers) -> Features:
        """Return the activations, flat."""
        return answers.raw()
