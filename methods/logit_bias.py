"""Logit bias: the words of a task are made likelier, and that is all: lexical by definition."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api import Intervention, Setting
from harness.training.spoken import Spoken


class LogitBias(Spoken):
    """Adds ``strength`` nats to the logit of every token that a word of the task may begin with."""

    @dataclass(frozen=True)
    class Params:
        """``logit_bias`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting)

    def steer(self, strength: float) -> Intervention:
        """Return the bias."""
        return Intervention(bias={(id_,): strength for id_ in self.first}) if strength else Intervention()
