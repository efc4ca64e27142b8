"""ReLU SAE, L1 penalty on unit decoder rows, dead latents resampled (transformer-circuits 2023)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.api import Setting, Train
from harness.training.control import Control, L0Controller
from harness.training.loop import Moment, Optim, Rule
from harness.training.penalised import Penalised
from harness.training.resample import Resample
from harness.training.threshold import calibrate


class ReLUL1Unit(Penalised):
    """The penalty's coefficient is whatever reaches the task's target L0."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``relu_l1_unit``."""

        optim: Optim
        """optimiser"""
        control: Control
        """how the coefficient is steered to the target L0"""
        resample: Resample
        """renewal of dead latents"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim, params.resample)
        self.params = params

    def begin(self, train: Train) -> Sequence[Rule]:
        """Start the controller."""
        self.control = L0Controller(self.params.control, self.setting.l0, self.spread, self.l0_on(train.val))
        return super().begin(train)

    def coefficient(self, l0: float, moment: Moment) -> float:
        """Return what the controller says."""
        return self.control(l0, moment)

    def finish(self, train: Train) -> None:
        """Shift ``b_enc`` by what little is missing to the target L0 on ``val``; record where the controller ended."""
        reached = self.measure(train.val)["val_l0"]
        shift = calibrate(self.pre_activation_chunks(train.val), self.setting.l0, len(train.val), floor=-math.inf)
        self.b_enc.sub_(shift)
        self.found |= self.control.summary() | self.resampling.summary() | {"l0_before_shift": reached, "shift": shift}
