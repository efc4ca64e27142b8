"""Prompt: the model is asked for what others steer it to, in words before every prompt."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api import Intervention, Setting, Steerer, Train


class Asking(Steerer):
    """Puts an instruction before every prompt; every strength above 0 is the same, and below 0 there is none."""

    graded = False

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``prompt``."""

        text: str
        """what stands before every prompt, as it is"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.params = params

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""

    def steer(self, strength: float) -> Intervention:
        """Return the instruction."""
        return Intervention(prefix=self.params.text) if strength > 0 else Intervention()

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}
