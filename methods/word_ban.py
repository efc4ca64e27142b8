"""Word ban: the words of a task are never written (arXiv 2503.18878, appendix A.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.api import Intervention, Setting
from harness.training.spoken import Spoken


class WordBan(Spoken):
    """Bans the last token of every form right behind its others; every strength above 0 is the same."""

    graded = False

    @dataclass(frozen=True)
    class Params:
        """``word_ban`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting)

    def steer(self, strength: float) -> Intervention:
        """Return the ban."""
        return Intervention(bias=dict.fromkeys(self.sequences, -math.inf)) if strength > 0 else Intervention()
