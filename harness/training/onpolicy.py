"""Trains a decoder by a reward on texts that it writes itself: what it writes decides what it meets next.

A course is a text of the train split that the policy goes on with for some tokens. Each token is paid for following the
model (``Schedule.faith``); the course, at its end, for the share of its tokens that are the text's own at their places
(``Schedule.task``). Advantages: arXiv 1506.02438; steps: PPO, arXiv 1707.06347.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from harness.api import Arm, Environment
from harness.training.loop import stream
from harness.training.policy import draw, gae, whitened
from harness.training.reinforce import Course, Plan, Reinforcement, Samples
from harness.training.rewards import Goal, Weights


@dataclass(frozen=True)
class Walk:
    """How courses are run."""

    steps: int
    """tokens of a course at most; one that is cut there goes on in the eyes of the value head"""
    prompts: int
    """places of the train split that courses start from, the same for every seed and arm"""
    gamma: float
    """discount of a token"""
    decay: float
    """``λ`` of generalised advantages"""


@dataclass(frozen=True)
class Field:
    """Where courses are run.

    Attributes:
        walk: how.
        environment: begins texts and reads what is written.
        observe: activations ``[B, D]`` → what the decoder reads, ``[B, S]``.
        gold_N: class of the text's next token at each row of the train split.
    """

    walk: Walk
    environment: Environment
    observe: Callable[[Tensor], Tensor]
    gold_N: Tensor


@dataclass(frozen=True)
class Written:
    """What ``B`` courses of ``T`` steps came to.

    Attributes:
        state_BTS: what the decoder read before each step.
        last_BS: what it would read after the last one.
        action_BT: int64; what was drawn.
        old_BT: its log-probability when it was drawn.
        reward_BT: what it earns.
        live_BT: whether the course had not ended before the step.
        going_B: whether it had not ended after the last.
    """

    state_BTS: Tensor
    last_BS: Tensor
    action_BT: Tensor
    old_BT: Tensor
    reward_BT: Tensor
    live_BT: Tensor
    going_B: Tensor


class OnPolicy(Reinforcement):
    """One arm of one seed. Arms that draw nothing are stepped on the texts themselves: as many states, as often.

    ``exact_pg`` is then the whole gradient of what a single token earns, and not of what it leads to.
    """

    def __init__(
        self, pair: tuple[nn.Module, nn.Module], course: Course, plan: Plan, which: tuple[Arm, int], field: Field
    ) -> None:
        if plan.ppo.baseline != "value":
            raise ValueError(f"courses need a value head, got the baseline '{plan.ppo.baseline}'")
        # Outside of courses a token earns its own share of what a course earns at its end.
        own = tuple(weight / field.walk.steps for weight in plan.schedule.task)
        plan = plan if which[0].sampled else replace(plan, schedule=replace(plan.schedule, task=own))
        super().__init__(*pair, course, plan, which)
        self.field = field

    def _rows(self) -> list[Tensor]:
        """Return the places that each roll-out starts from: always the same together, in another order every time."""
        place_N = self.field.environment.places(self.field.walk.steps)
        first = torch.Generator().manual_seed(stream(0, "prompts"))
        chosen_P = place_N[torch.randperm(len(place_N), generator=first)[: self.field.walk.prompts]]
        groups = torch.split(chosen_P, self.ppo.batch)
        generator = torch.Generator().manual_seed(stream(self.seed, "states"))
        rounds = -(-self.ppo.updates // len(groups))
        order = torch.cat([torch.randperm(len(groups), generator=generator) for _ in range(rounds)])
        return [groups[index] for index in order[: self.ppo.updates].tolist()]

    def gather(self, rows_B: Tensor, share: float) -> Samples:
        """Return one roll-out: what is earned on the way is credited to what led there."""
        written = self.write(rows_B.repeat_interleave(self.ppo.samples), self.schedule.at(share))
        live_BT = written.live_BT
        state_NS, action_N, old_N = (part[live_BT] for part in (written.state_BTS, written.action_BT, written.old_BT))
        given_N = self._kept_near(self._given(written.reward_BT[live_BT]), state_NS, action_N, old_N)
        given_BT = torch.zeros_like(written.reward_BT).masked_scatter(live_BT, given_N)
        advantage_N, return_N = self._credited(written, given_BT)
        return Samples(state_NS, action_N, old_N, whitened(advantage_N), return_N)

    def write(self, row_B: Tensor, weights: Weights) -> Written:
        """Let the policy go on from some rows of the train split, every step read by the model."""
        field, device = self.field, self.course.device
        courses = field.environment.begin(row_B, int(torch.randint(2**31, (1,), generator=self.actions, device=device)))
        going_B = torch.ones(len(row_B), dtype=torch.bool, device=device)
        steps: list[tuple[Tensor, ...]] = []
        for t in range(field.walk.steps):
            state_BS, gold_B = field.observe(courses.x_BD), field.gold_N[row_B + t].to(device)
            action_B, old_B = draw(self._log_probs(state_BS), self.actions)
            reward_B = Goal(courses.logp(), gold_B).of(action_B, old_B, Weights(weights.faith, 0.0))
            steps.append((state_BS, action_B, old_B, reward_B, going_B, going_B & (action_B == gold_B)))
            going_B = going_B & ~courses.write(action_B)
        state, action, old, reward, live, hit = (torch.stack(part, 1) for part in zip(*steps, strict=True))
        # Paid with the last token that the course wrote; what an ended course did not write it did not hit.
        end_B1 = live.sum(1, keepdim=True) - 1
        paid = reward.scatter_add(1, end_B1, weights.task * hit.to(reward.dtype).mean(1, keepdim=True))
        return Written(state, field.observe(courses.x_BD), action, old, paid, live, going_B)

    def _credited(self, written: Written, given_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return advantages and returns of live steps: nothing follows an end, what is expected follows a cut."""
        walk, live_BT = self.field.walk, written.live_BT
        nothing_B = torch.zeros_like(given_BT[:, 0])
        sums_BT = gae(given_BT, torch.zeros_like(given_BT), nothing_B, walk.gamma, 1.0)
        self.head.begin(sums_BT[live_BT])
        batch, steps, width = written.state_BTS.shape
        value_BT = self.head(written.state_BTS.reshape(-1, width)).view(batch, steps) * live_BT
        last_B = self.head(written.last_BS) * written.going_B
        advantage_BT = gae(given_BT, value_BT, last_B, walk.gamma, walk.decay)
        return advantage_BT[live_BT], (advantage_BT + value_BT)[live_BT]

    def _unsampled(self, rows_B: Tensor, share: float) -> None:
        """Step on the tokens that the texts themselves go on with."""
        super()._unsampled((rows_B[:, None] + torch.arange(self.field.walk.steps)).flatten(), share)
