"""None: the language model as it is, beside whatever changes it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api import Intervention, Setting, Steerer, Train


class Unchanged(Steerer):
    """Changes nothing."""

    @dataclass(frozen=True)
    class Params:
        """``none`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""

    def steer(self, strength: float) -> Intervention:
        """Return nothing, whatever the strength."""
        return Intervention()

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}
