"""Verdicts on a reward: their order, their intervals, and runs whose verdict is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from bandits import SHORT, Lesson, Stopped
from torch import Tensor

from harness.metrics.contract import all_metrics
from harness.metrics.reward import concluded
from harness.metrics.verdicts import Bounds
from harness.specs.worlds import BanditData
from harness.stats.summary import summarise
from harness.stats.verdicts import verdicts
from harness.training.rewards import Goal, Weights

SIX = BanditData(source="bandit", states=6, actions=8, seed=3)
QUICK = replace(SHORT, updates=10, batch=96)
Interval = tuple[float, float]


def bounds(interval: Interval, seeds: int = 3) -> Bounds:
    return Bounds(sum(interval) / 2, *interval, seeds)


def numbers(true: Interval, random: Interval, apart: Interval, seeds: int = 3, **other: float) -> Mapping[str, Bounds]:
    given = {"reward_spread": 1.0, "control_moved": 1.0, "control_gradient": 1.0, "reward_margin": 0.02} | other
    return {
        "d_true": bounds(true, seeds),
        "d_random": bounds(random, seeds),
        "d_zero": bounds((0.0, 0.0), seeds),
        "d_true_minus_random": bounds(apart, seeds),
        "d_true_minus_sup_cont": bounds((0.01, 0.03), seeds),
        **{name: Bounds(value, None, None, seeds) for name, value in given.items()},
    }


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (numbers((-0.3, -0.2), (0.1, 0.2), (-0.5, -0.3)), "SIGNAL"),
        # Each is also a SIGNAL, or HARMFUL, but for what goes before it.
        (numbers((-0.3, -0.2), (-0.1, -0.08), (-0.2, -0.1)), "CONTROL_IMPROVES"),
        (numbers((-0.3, -0.2), (-0.03, -0.01), (-0.25, -0.15)), "SIGNAL"),
        (numbers((0.1, 0.2), (-0.3, -0.2), (0.3, 0.4)), "HARMFUL"),
        (numbers((0.1, 0.2), (0.1, 0.2), (-0.1, 0.1), control_moved=0.0), "BROKEN_CONTROL"),
        (numbers((0.1, 0.2), (0.1, 0.2), (-0.1, 0.1), control_gradient=0.0), "BROKEN_CONTROL"),
        # A difference that may be 0 is no proof that it is: that takes an interval within the margin.
        (numbers((-0.3, 0.1), (-0.1, 0.1), (-0.2, 0.2)), "INCONCLUSIVE"),
        (numbers((-0.3, 0.1), (-0.1, 0.1), (-0.01, 0.015)), "NO_SIGNAL"),
        (numbers((-0.01, 0.005), (0.5, 0.7), (-0.7, -0.5)), "NO_SIGNAL"),
        (numbers((-0.3, -0.2), (0.1, 0.2), (-0.5, -0.3), seeds=2), "INCONCLUSIVE"),
        (numbers((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), control_moved=0.0, reward_spread=0.0), "NO_SIGNAL"),
    ],
)
def test_the_first_verdict_that_holds_is_given(given: Mapping[str, Bounds], word: str) -> None:
    found, reason = concluded(given, "", "")
    assert found == word
    assert reason


def test_a_signal_says_how_it_stands_beside_as_much_supervision() -> None:
    _, reason = concluded(numbers((-0.3, -0.2), (0.1, 0.2), (-0.5, -0.3)), "", "")
    assert "as many further steps of supervision bring more" in reason
    assert "do not overlap" in reason


@dataclass(frozen=True)
class Constant(Goal):
    """A reward that is the same everywhere."""

    def of(self, action_N: Tensor, old_N: Tensor, weights: Weights) -> Tensor:
        return torch.full_like(old_N, 0.7)


@dataclass(frozen=True)
class OfState(Goal):
    """A reward that knows the state and not the action."""

    def of(self, action_N: Tensor, old_N: Tensor, weights: Weights) -> Tensor:
        return self.gold_N.to(old_N.dtype)


@pytest.mark.parametrize(
    ("lesson", "word"),
    [
        (Lesson(SIX, replace(QUICK, updates=40)), "SIGNAL"),
        (Lesson(SIX, QUICK, goal=Constant), "NO_SIGNAL"),
        (Lesson(SIX, replace(QUICK, baseline="leave_one_out", samples=4), goal=OfState), "NO_SIGNAL"),
        (Lesson(SIX, QUICK, table=Stopped), "BROKEN_CONTROL"),
    ],
    ids=["a reward that works", "a constant", "blind to the action", "a stopped gradient"],
)
def test_runs_whose_verdict_is_known(lesson: Lesson, word: str) -> None:
    (found,) = verdicts([lesson.parts(seed) for seed in (0, 1, 2)])
    assert (found.name, found.word) == ("reward, by KL(p‖π)", word), found.reason


def test_both_divergences_are_judged_each_by_its_own_parts() -> None:
    """What a reward on samples does where a policy cannot follow everywhere: nearer where it goes itself, and there."""
    draw = np.random.default_rng(0)
    n = np.full(40, 50.0)
    parts = []
    for _ in range(3):
        found = {"n": n, "margin": np.array(0.02), "kl_start": n, "klr_start": n}
        arms = {"true": (0.1, -0.3), "random": (0.1, 0.2), "zero": (0, 0), "sup_cont": (0, 0)}
        for arm, (forward, reverse) in arms.items():
            noise = 1 + 0.05 * draw.normal(size=40)
            found |= {f"kl_{arm}": n * (1 + forward * noise), f"klr_{arm}": n * (1 + reverse * noise)}
        found |= {"spread_true": np.array(1.0)}
        found |= {f"{what}_{arm}": np.array(1.0) for what in ("moved", "gradient") for arm in ("random", "shuffled")}
        parts.append(found)
    assert {one.name: one.word for one in verdicts(parts)} == {
        "reward, by KL(p‖π)": "HARMFUL",
        "reward, by KL(π‖p)": "SIGNAL",
    }


def test_changes_are_ratios_of_sums_over_clusters() -> None:
    parts: dict[str, Any] = {
        "n": np.array([1.0, 3.0]), "kl_start": np.array([2.0, 6.0]), "kl_true": np.array([1.0, 3.0]),
        "kl_random": np.array([3.0, 6.0]),
    }  # fmt: skip
    metrics = all_metrics()
    assert summarise(metrics["d_true"], [parts]).value == pytest.approx((4 - 8) / 4)
    assert summarise(metrics["d_true_minus_random"], [parts]).value == pytest.approx((4 - 9) / 4)
    assert summarise(metrics["d_zero"], [parts]).reason == "parts not measured: kl_zero"
    # Of other tracks nothing is concluded.
    assert verdicts([{"n": np.ones(3), "sx": np.ones(3)}]) == ()
