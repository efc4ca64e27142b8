"""What a stage costs: seconds, and the peak of resident memory while it ran."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Meter:
    """Measures a ``with`` block. ``peak_mb`` is None where the system does not tell (not Linux)."""

    seconds: float = 0.0
    peak_mb: float | None = None

    def __enter__(self) -> Meter:
        with suppress(OSError):
            # 5 resets the high-water mark of this process, so that the peak is this stage's own.
            _CLEAR.write_text("5")
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        self.peak_mb = _high_water()


def _high_water() -> float | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    marks = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(marks[0]) / 1024 if marks else None
