"""Reaching a target L0 with a penalty: its coefficient is steered while training.

Methods are compared at equal L0, and no coefficient gives the same L0 on two models. So the coefficient is the output
of a controller (integral plus proportional, on the logarithm of L0) and the target is the input. L0 on unseen tokens
is some 10 % above that on tokens trained on, and tasks measure unseen ones: the controller aims at L0 on ``val``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from harness.training.loop import Moment

MEMORY = 0.9
LARGEST_ERROR = 1.0
RATIO_STEP = 0.3


@dataclass(frozen=True)
class Control:
    """How a coefficient is steered to a target L0."""

    start: float
    """coefficient at the first step, in units of the spread of the scaled activations about their centre"""
    reach: float
    """share of the run over which the set point falls, geometrically, from the first batch's L0 to the target"""
    gain: float
    """e-folds by which the coefficient changes each step while L0 is one e-fold off; per step and not per run, because
    L0 answers a change within some tens of the optimiser's steps however long the run is"""
    prompt: float
    """e-folds that are added while L0 is one e-fold off"""
    check: float
    """share of the run between two measurements of L0 on ``val``"""


class L0Controller:
    """Gives the coefficient of each step. ``spread`` is what an L1 coefficient scales with."""

    def __init__(self, params: Control, target: float, spread: float, val_l0: Callable[[], float]) -> None:
        self.params = params
        self.start = params.start * spread
        self.target = target
        self.val_l0 = val_l0
        self.ratio = 1.0  # L0 on val over L0 in training
        self.coefficient = self.start
        self._first = math.nan
        self._smooth_l0 = math.nan
        self._smooth_error = 0.0
        self._integral = 0.0
        self._next_check = params.reach

    def __call__(self, l0: float, moment: Moment) -> float:
        """Return the coefficient for a batch on which ``l0`` latents a token are active."""
        if moment.step == 0:
            self._first = self._smooth_l0 = l0
        self._smooth_l0 = MEMORY * self._smooth_l0 + (1 - MEMORY) * l0
        if moment.share >= self._next_check:
            self._next_check += self.params.check
            # val against this very batch: against an average that lags behind, the loop would excite itself
            self.ratio += RATIO_STEP * (self.val_l0() / max(l0, 1e-3) - self.ratio)
        error = math.log(max(l0 * self.ratio, 1e-3) / self._set_point(moment))
        error = min(max(error, -LARGEST_ERROR), LARGEST_ERROR)
        self._smooth_error = MEMORY * self._smooth_error + (1 - MEMORY) * error
        self._integral += self.params.gain * error
        self.coefficient = self.start * math.exp(self._integral + self.params.prompt * self._smooth_error)
        return self.coefficient

    def _set_point(self, moment: Moment) -> float:
        way = min(moment.share / self.params.reach, 1.0)
        return float(self._first ** (1 - way) * self.target**way)

    def summary(self) -> dict[str, float]:
        """Return the last coefficient and the last L0 in training."""
        return {"coefficient": self.coefficient, "train_l0": self._smooth_l0}
