"""Courses: what a token leads to is credited to it, an end is no cut, and arms share what they must."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from bandits import PPO, Table
from torch import Tensor

from harness.api import Arm, Courses, Environment, silent
from harness.training.onpolicy import Field, OnPolicy, Walk
from harness.training.reinforce import Course, Plan, Ppo, Trace
from harness.training.rewards import Goal, Schedule

# A fork: action 0 is likely and leads to a poor state, action 1 is unlikely and leads to a rich one.
FORK, POOR, RICH, OVER = range(4)
NEXT = torch.tensor([[POOR, RICH], [OVER, OVER], [OVER, OVER], [OVER, OVER]])
MODEL = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
# What a step earns for sure in each state: a model's distribution of which the logarithm is shifted.
SHIFT = torch.tensor([0.0, 0.0, 3.0, 0.0])


@dataclass(frozen=True)
class Planted(Environment):
    """States of which the next one follows from the action; states with ``ends`` end the text."""

    next_SA: Tensor
    logp_SA: Tensor
    ends_S: Tensor

    def places(self, steps: int) -> Tensor:
        """Return one row for every state."""
        return torch.zeros(8, dtype=torch.int64)

    def begin(self, row_B: Tensor, seed: int) -> Courses:
        """Begin in the states of the rows."""
        return _Under(self, row_B)


class _Under(Courses):
    def __init__(self, world: Planted, state_B: Tensor) -> None:
        self._world, self._state_B = world, state_B

    @property
    def x_BD(self) -> Tensor:
        """Return unit vectors."""
        return torch.eye(len(self._world.ends_S))[self._state_B]

    def logp(self) -> Tensor:
        """Return the model's predictions."""
        return self._world.logp_SA[self._state_B]

    def write(self, class_B: Tensor) -> Tensor:
        """Go to the next state."""
        self._state_B = self._world.next_SA[self._state_B, class_B]
        return self._world.ends_S[self._state_B]


def fork(over: bool = True) -> Planted:
    return Planted(NEXT, MODEL.log() + SHIFT[:, None], torch.tensor([False, False, False, over]))


SMALL = replace(PPO, updates=50, batch=8, samples=16, value_lr=0.3)


def run(
    world: Planted, walk: Walk, arm: str = "true", beta: float = 0.0, ppo: Ppo = SMALL, faith: float = 1.0, **plan: Any
) -> tuple[OnPolicy, Trace]:
    states, actions = world.logp_SA.shape
    start_SA = torch.zeros(states, actions)
    gold_N = torch.ones(16, dtype=torch.int64)
    course = Course(
        states,
        lambda rows: torch.eye(states)[rows.clamp_max(states - 1)],
        lambda rows: Goal(world.logp_SA[rows.clamp_max(states - 1)], gold_N[rows]),
        states,
        torch.device("cpu"),
    )
    field = Field(walk, world, lambda x_BD: x_BD, gold_N)
    schedule = Schedule((faith,), (plan.get("task", 0.0),))
    pair = (Table(start_SA), Table(start_SA).requires_grad_(False))
    learner = OnPolicy(pair, course, Plan(ppo, schedule), (Arm(arm, beta), plan.get("seed", 0)), field)
    return learner, learner.run(silent)


def policy(learner: OnPolicy) -> Tensor:
    """Return the probability of action 1 in each state."""
    with torch.no_grad():
        found: Tensor = learner.decoder(torch.eye(4)).softmax(1)[:, 1]
    return found


def optimum(gamma: float) -> float:
    """Return the best probability of action 1 at the fork.

    With ``r = ln p + shift − ln π`` the best policy is ``π ∝ p exp(γ V(next))``, ``V = ln Σ p exp(shift)`` of one step.
    """
    value = torch.tensor([0.0, float(SHIFT[RICH])])
    return float((MODEL[FORK].log() + gamma * value).softmax(0)[1])


def test_what_a_token_leads_to_is_credited_to_it_up_to_the_known_optimum() -> None:
    found, _ = run(fork(), Walk(2, 8, 0.99, 0.95))
    assert optimum(0.99) > 0.8
    assert float(policy(found)[FORK]) == pytest.approx(optimum(0.99), abs=0.06)


def test_without_a_future_the_nearer_reward_is_followed_the_wrong_way() -> None:
    found, _ = run(fork(), Walk(2, 8, 0.0, 0.0))
    assert optimum(0.0) == pytest.approx(0.2)
    assert float(policy(found)[FORK]) == pytest.approx(0.2, abs=0.06)


# A state that stays and pays 1 at every step whatever is done: what is worth depends on whether courses end.
PAYS = torch.full((2, 2), 0.5).log() + 1.0
STILL = replace(PPO, lr=0.0, updates=30, batch=4, epochs=8, value_lr=0.2)


@pytest.mark.parametrize(("gamma", "steps"), [(0.5, 1), (0.9, 4)])
def test_a_course_that_is_cut_goes_on_in_the_eyes_of_the_head(gamma: float, steps: int) -> None:
    world = Planted(torch.zeros(2, 2, dtype=torch.int64), PAYS, torch.tensor([False, False]))
    learner, _ = run(world, Walk(steps, 8, gamma, 0.95), ppo=STILL)
    with torch.no_grad():
        assert float(learner.head(torch.eye(2))[0]) == pytest.approx(1 / (1 - gamma), rel=0.05)


def test_a_course_that_ends_is_worth_no_more_than_what_it_earned() -> None:
    """The first step leads to an end: nothing of what is written after it counts, wherever courses are cut."""
    world = Planted(torch.ones(2, 2, dtype=torch.int64), PAYS, torch.tensor([False, True]))
    learner, _ = run(world, Walk(4, 8, 0.9, 0.95), ppo=STILL)
    with torch.no_grad():
        assert float(learner.head(torch.eye(2))[0]) == pytest.approx(1.0, abs=0.02)
    written = learner.write(torch.zeros(8, dtype=torch.int64), learner.schedule.at(0.0))
    assert int(written.live_BT.sum()) == 8
    assert not bool(written.going_B.any())


def test_the_end_is_paid_with_the_last_token_and_by_the_share_that_was_hit() -> None:
    world = fork()
    learner, _ = run(world, Walk(4, 8, 0.99, 0.95), faith=0.0, task=1.0, ppo=replace(SMALL, updates=1, lr=0.0))
    written = learner.write(torch.zeros(64, dtype=torch.int64), learner.schedule.at(0.0))
    # The fork and one more token are written; the text's own is class 1 everywhere, four of them would have counted.
    hits_B = (written.action_BT[:, :2] == 1).sum(1).float()
    assert written.live_BT.sum(1).tolist() == [2] * 64
    assert torch.equal(written.reward_BT[:, 0], torch.zeros(64))
    assert torch.allclose(written.reward_BT[:, 1], hits_B / 4)
    assert {0.0, 1.0, 2.0} == set(hits_B.tolist())


def test_a_hit_is_of_the_token_that_the_text_goes_on_with_at_that_very_place() -> None:
    """Row ``r`` is followed by ``gold[r]``, so what is written ``t`` tokens later is held against ``gold[r + t]``."""
    learner, _ = run(fork(over=False), Walk(4, 8, 0.99, 0.95), faith=0.0, task=1.0, ppo=replace(SMALL, updates=1, lr=0))
    gold_N = torch.tensor([0, 0, 1, 0, 1, 1, 0, 1])
    learner.field = replace(learner.field, gold_N=gold_N)
    for row in range(4):
        written = learner.write(torch.full((64,), row), learner.schedule.at(0.0))
        want = [
            sum(int(a == gold_N[row + t]) for t, a in enumerate(course)) / 4 for course in written.action_BT.tolist()
        ]
        assert written.reward_BT[:, -1].tolist() == want
        assert not bool(written.reward_BT[:, :-1].any())


def test_advantages_are_those_of_the_vector() -> None:
    """The course of the known vector (1, 0, 2) with values (.5, .4, .3), once ended and once going on to a 1."""
    learner, _ = run(fork(), Walk(3, 8, 0.99, 0.95), ppo=replace(SMALL, updates=1, lr=0.0))
    with torch.no_grad():
        learner.head.linear.weight.copy_(torch.tensor([[0.5, 0.4, 0.3, 1.0]]))
        learner.head.linear.bias.zero_()
        learner.head.offset.zero_()
        reward_BT = torch.tensor([[1.0, 0.0, 2.0]]).repeat(2, 1)
        seen = learner.write(torch.zeros(2, dtype=torch.int64), learner.schedule.at(0.0))
        written = replace(
            seen,
            state_BTS=torch.eye(4)[:3][None].repeat(2, 1, 1),
            last_BS=torch.eye(4)[[3, 3]],
            live_BT=torch.ones(2, 3, dtype=torch.bool),
            going_B=torch.tensor([False, True]),
        )
        advantage_N, return_N = learner._credited(written, reward_BT)
    want = torch.tensor([2.302847, 1.49585, 1.7])
    assert torch.allclose(advantage_N[:3], want, atol=1e-5)
    # One more nat behind the cut comes in with γ (γ λ)^k.
    more = 0.99 * torch.tensor([(0.99 * 0.95) ** 2, 0.99 * 0.95, 1.0])
    assert torch.allclose(advantage_N[3:], want + more, atol=1e-5)
    assert torch.allclose(return_N[:3], want + torch.tensor([0.5, 0.4, 0.3]), atol=1e-5)


def test_arms_start_alike_and_random_rewards_move_the_weights() -> None:
    short = replace(SMALL, updates=8)
    zero, still = run(fork(), Walk(2, 8, 0.99, 0.95), "zero", ppo=short)
    assert still.moved == 0
    assert torch.equal(policy(zero), torch.full((4,), 0.5))
    for arm in ("random", "shuffled"):
        _, trace = run(fork(), Walk(2, 8, 0.99, 0.95), arm, ppo=short)
        assert trace.moved > 0
        assert trace.gradient > 0
    for arm in ("sup_cont", "exact_pg"):
        _, trace = run(fork(), Walk(2, 8, 0.99, 0.95), arm, ppo=short)
        assert trace.moved > 0
    again, other = (run(fork(), Walk(2, 8, 0.99, 0.95), ppo=short, seed=seed)[0] for seed in (0, 1))
    assert torch.equal(policy(again), policy(run(fork(), Walk(2, 8, 0.99, 0.95), ppo=short)[0]))
    assert not torch.equal(policy(again), policy(other))


def test_courses_need_a_value_head() -> None:
    with pytest.raises(ValueError, match="courses need a value head, got the baseline 'leave_one_out'"):
        run(fork(), Walk(2, 8, 0.99, 0.95), ppo=replace(SMALL, baseline="leave_one_out"))
