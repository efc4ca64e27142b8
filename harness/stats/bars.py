"""Whether a level that a task sets is met."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """From ``low`` to ``high``, either of which may be open; judged by the value, or by the whole interval."""

    low: float | None = None
    high: float | None = None
    whole: bool = False

    @property
    def given(self) -> bool:
        """Whether there is a level at all."""
        return self.low is not None or self.high is not None

    def met(self, value: float | None, lo: float | None, hi: float | None) -> bool | None:
        """Return whether a value, or its whole interval, lies inside.

        By the interval, a value is inside where all of its interval is, outside where none of it is, and undecided
        (None) where the interval reaches over an end or is missing. With ``high`` the interval inside is
        non-inferiority at that margin.
        """
        if value is None or not self.given:
            return None
        if not self.whole:
            return self._holds(value)
        if lo is None or hi is None:
            return None
        if self._holds(lo) and self._holds(hi):
            return True
        outside = (self.low is not None and hi < self.low) or (self.high is not None and lo > self.high)
        return False if outside else None

    def _holds(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
