"""ReLU SAE whose L1 penalty and learning rate follow fixed schedules; the L0 they lead to is not chosen.

The schedule was designed for a penalty on L0, which has no gradient; L1 stands in for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.api import Setting, Train
from harness.training.loop import Moment, Optim
from harness.training.penalised import Penalised
from harness.training.resample import Resample


@dataclass(frozen=True)
class SteppedOptim(Optim):
    """Adam whose rate drops once."""

    drop_at: float
    """share of the run after which the rate is lower"""
    drop_to: float
    """the lower rate, as a multiple of ``lr``"""

    def factor(self, moment: Moment) -> float:
        """Return the multiple of ``lr`` at a moment."""
        return super().factor(moment) * (self.drop_to if moment.share >= self.drop_at else 1.0)


@dataclass(frozen=True)
class Phase:
    """A part of the run with one coefficient."""

    until: float
    """share of the run at which it ends"""
    penalty: float
    """coefficient of the L1 penalty, for inputs of mean norm 1; at mean norm sqrt(D) it is sqrt(D) times as large"""


class ReLUL1Sched(Penalised):
    """Low penalty, high penalty, low penalty, on unit decoder rows with resampling."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``relu_l1_sched``."""

        optim: SteppedOptim
        """optimiser"""
        phases: tuple[Phase, ...]
        """the penalty's schedule"""
        multiple: float
        """what every phase's penalty is multiplied with"""
        resample: Resample
        """renewal of dead latents"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim, params.resample)
        self.params = params

    def coefficient(self, l0: float, moment: Moment) -> float:
        """Return the penalty of the phase, whatever L0 is."""
        phase = next((phase for phase in self.params.phases if moment.share < phase.until), self.params.phases[-1])
        return phase.penalty * self.params.multiple * math.sqrt(self.setting.width)

    def finish(self, train: Train) -> None:
        """Record the L0 of the last batch; nothing is adjusted to the target."""
        self.found |= self.resampling.summary() | {"train_l0": self.train_l0}
