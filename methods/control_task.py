"""Any probe on a control task: its pipeline learns labels drawn at random for each group (arXiv 1909.03368)."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api import Labels, Setting
from harness.training.wrapped_probe import WrappedProbe


class ControlTask(WrappedProbe):
    """Fits and judges the probe it controls on the control task: no group tells another's label, so it is at chance.

    Above chance it would say that groups are on both sides of a fold.
    """

    labels: Labels = "control"

    null = True

    @dataclass(frozen=True)
    class Params:
        """``control_task`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, "of")
