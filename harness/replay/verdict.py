"""What comes of verifying a record. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["agree", "disagree", "cannot"]
_ORDER: tuple[Verdict, ...] = ("agree", "cannot", "disagree")


@dataclass(frozen=True)
class MetricCheck:
    """One metric of one record, three times over.

    Attributes:
        metric: its name.
        stored: the value the record says.
        parts: the value its own parts give; None where they cannot be read.
        again: the value of the re-run; None where there was none.
        difference: ``again - parts`` (``again - stored`` where there are no parts).
        relative: that over ``max(|value|, width of the interval)``.
        allowed: how large ``|difference|`` may be.
        verdict: on this metric alone.
        reason: why not ``agree``.
    """

    metric: str
    stored: float | None
    parts: float | None
    again: float | None
    difference: float | None
    relative: float | None
    allowed: float | None
    verdict: Verdict
    reason: str | None = None


@dataclass(frozen=True)
class Verification:
    """What comes of one record.

    Attributes:
        path: file of the record.
        name: task, method, what a derived control is built from, and seed, in words.
        verdict: ``disagree`` where anything does, ``cannot`` where it could not be run again.
        reasons: what disagrees, or why it cannot be said.
        changed: what is otherwise here than when the record was made.
        exact: whether everything that moves the last digits is as it was (threads, batch, dtype, device, platform,
            libraries), so that the narrow tolerance holds.
        metrics: one by one.
    """

    path: Path
    name: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    exact: bool = False
    metrics: tuple[MetricCheck, ...] = ()


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return ``disagree`` before ``cannot`` before ``agree``."""
    return max(verdicts, key=_ORDER.index, default="agree")
