"""A level is met by a value, or by all of an interval."""

from __future__ import annotations

import pytest

from harness.stats.bars import Level


@pytest.mark.parametrize(
    ("lo", "hi", "met"),
    [(-0.01, 0.03, True), (0.02, 0.04, None), (0.031, 0.05, False), (0.03, 0.05, None), (None, None, None)],
)
def test_non_inferiority_wants_the_whole_interval(lo: float | None, hi: float | None, met: bool | None) -> None:
    """At a margin of 3 points: not inferior, inferior, or not decided."""
    assert Level(high=0.03, whole=True).met(0.02, lo, hi) is met


def test_a_value_alone_is_met_or_missed_whatever_its_interval() -> None:
    assert Level(high=0.03).met(0.02, -1.0, 1.0) is True
    assert Level(high=0.03).met(0.04, -1.0, 1.0) is False
    assert Level(low=0.5, high=0.6).met(0.55, None, None) is True
    assert Level(low=0.5).met(None, None, None) is None
    assert Level().met(0.4, 0.3, 0.5) is None


def test_both_ends_count() -> None:
    level = Level(0.0, 1.0, whole=True)
    assert [level.met(0.5, *ends) for ends in ((0.1, 0.9), (-0.1, 0.5), (0.5, 1.1), (1.1, 1.2), (-0.2, -0.1))] == [
        True,
        None,
        None,
        False,
        False,
    ]
