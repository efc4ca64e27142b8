"""The moment of a run that is kept: the one that did best on what was held out."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.training.loop import Moment, Rule


class BestKept(Rule):
    """Measures a module after every so many steps, and keeps its weights where it did best; the first of equals."""

    def __init__(self, module: nn.Module, measure: Callable[[], float], every: int) -> None:
        self.module, self.measure, self.every = module, measure, every
        self.value, self.step = -math.inf, 0
        self._kept: dict[str, Tensor] = {}

    def before(self, moment: Moment) -> None:
        """Do nothing."""

    def after(self, moment: Moment, adam: torch.optim.Adam) -> None:
        """Measure at the end of a stretch."""
        if (moment.step + 1) % self.every and moment.step + 1 < moment.steps:
            return
        value = self.measure()
        if value > self.value:
            self.value, self.step = value, moment.step + 1
            self._kept = {name: part.detach().clone() for name, part in self.module.state_dict().items()}

    def restore(self) -> None:
        """Give the module back the weights it did best with."""
        self.module.load_state_dict(self._kept)
