"""Logistic regression on the codes of a dictionary: do they tell more than the activations they are made of?"""

from __future__ import annotations

from dataclasses import dataclass

from harness.api import Answers, Features, Setting
from harness.training.coded import codes_of
from harness.training.probe import LogisticProbe


class CodeLogistic(LogisticProbe):
    """Reads every latent of the dictionary fitted at each block, at every position."""

    @dataclass(frozen=True)
    class Params:
        """``sae_lr`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self._dictionaries = setting.at_blocks["dictionary"]

    def features(self, answers: Answers) -> Features:
        """Return the codes, flat."""
        return codes_of(answers, self._dictionaries)
