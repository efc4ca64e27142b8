"""Any probe that is told the kind of each error, and tells it: P(wrong) is the sum over kinds."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api import Labels, Setting
from harness.training.wrapped_probe import WrappedProbe


class ErrorTypes(WrappedProbe):
    """Fits the probe it uses on right answers and every kind of error, in place of right and wrong ones.

    On a task with one kind of error it is that probe.
    """

    labels: Labels = "kind"

    @dataclass(frozen=True)
    class Params:
        """``error_types`` has no parameters."""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, "probe")
