"""Numbers as every report writes them."""

from __future__ import annotations

from harness.board import formats
from harness.reporting.contract import Measure


def signed(found: Measure) -> str:
    """Write a difference with its sign and its interval, or a dash."""
    if found.value is None:
        return formats.DASH
    ends = "" if found.lo is None or found.hi is None else f" [{found.lo:+.3f}, {found.hi:+.3f}]"
    return f"{found.value:+.3f}{ends}"
