"""DiffMean: the mean around the words of a task minus the mean elsewhere (arXiv 2501.17148, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harness.api import Setting, Train
from harness.training.directions import Direction, behaviour_of, mean_of


class DiffMean(Direction):
    """Adds the difference of two means; strength 1 is its largest projection."""

    @dataclass(frozen=True)
    class Params:
        """``diffmean`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting)

    def choose(self, train: Train) -> Tensor:
        """Return the difference of the means of the train split."""
        in_N = behaviour_of(train).in_N
        return (mean_of(train.x, in_N) - mean_of(train.x, ~in_N)).float()
