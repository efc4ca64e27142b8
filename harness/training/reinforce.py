"""Trains a decoder by a reward, or by what takes the reward's place.

Every arm starts from the same weights, sees the same states in the same order, and takes as many steps of the same
optimiser; it differs in what a sampled token is given, or, in two arms, in not sampling at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from harness.api import Arm, Progress
from harness.errors import CellError
from harness.training.head import Head
from harness.training.loop import stream
from harness.training.policy import (
    divergence,
    draw,
    entropy,
    expected,
    gae,
    leave_one_out,
    picked,
    surrogate,
    whitened,
)
from harness.training.rewards import Goal, Schedule, Substitute

# The policy gradient's own norm costs a backward pass: it is looked at in every so many roll-outs.
LOOK_EVERY = 10


@dataclass(frozen=True)
class Ppo:
    """How a policy is stepped."""

    lr: float
    """learning rate of the decoder (Adam)"""
    value_lr: float
    """learning rate of the value head, which has an optimiser of its own"""
    updates: int
    """roll-outs"""
    batch: int
    """states of a roll-out"""
    epochs: int
    """steps on each roll-out"""
    clip: float
    """how far the ratio of a sampled token's probabilities may count"""
    entropy: float
    """weight of the entropy of the policy"""
    grad_clip: float
    """largest norm of the whole gradient"""
    baseline: Literal["value", "leave_one_out"]
    """what is expected of a state: a value head, or the other samples of it"""
    samples: int
    """samples of each state of a roll-out"""


@dataclass(frozen=True)
class Course:
    """What one decoder learns from: ``N`` states.

    Attributes:
        states: the number of states.
        state: rows of states, int64 ``[B]`` on the CPU → what the decoder reads, ``[B, S]``.
        goal: rows of states → what their reward looks at.
        width: how many of the first columns of a state the value head reads.
        device: where all of it is.
    """

    states: int
    state: Callable[[Tensor], Tensor]
    goal: Callable[[Tensor], Goal]
    width: int
    device: torch.device


@dataclass(frozen=True)
class Trace:
    """What a run left behind, besides the weights.

    Attributes:
        moved: norm of all that was added to the weights.
        gradient: mean norm of the gradient by the policy, without entropy, where it was looked at.
        spread: standard deviation of what the samples were given, the mean over roll-outs.
        reward: mean of what they were given in the last tenth of the roll-outs.
    """

    moved: float
    gradient: float
    spread: float
    reward: float


@dataclass(frozen=True)
class Samples:
    """What one roll-out came to: ``N`` samples.

    Attributes:
        state_NS: what the decoder read.
        action_N: int64; what was drawn.
        old_N: its log-probability when it was drawn.
        advantage_N: what it was better by than was expected, whitened.
        return_N: what the value head should have expected.
    """

    state_NS: Tensor
    action_N: Tensor
    old_N: Tensor
    advantage_N: Tensor
    return_N: Tensor


@dataclass(frozen=True)
class Plan:
    """What every arm has in common besides its start and its states."""

    ppo: Ppo
    schedule: Schedule


class Reinforcement:
    """One arm of one seed: ``decoder`` (states → logits) is trained in place; ``start`` stays what it was."""

    def __init__(
        self, decoder: nn.Module, start: nn.Module, course: Course, plan: Plan, which: tuple[Arm, int]
    ) -> None:
        self.decoder, self.start, self.course = decoder, start, course
        self.ppo, self.schedule = plan.ppo, plan.schedule
        self.arm, self.seed = which
        ppo = plan.ppo
        self.head = Head(course.width).to(course.device)
        self.adam = torch.optim.Adam(decoder.parameters(), lr=ppo.lr, fused=True)
        self.head_adam = torch.optim.Adam(self.head.parameters(), lr=ppo.value_lr, fused=True)
        self.actions = self._generator("actions")
        self.substitute = Substitute(self.arm, self._generator("substitute"))
        self._gradients: list[float] = []
        self._spreads: list[float] = []
        self._rewards: list[float] = []

    def _generator(self, name: str) -> torch.Generator:
        return torch.Generator(self.course.device).manual_seed(stream(self.seed, name))

    def run(self, progress: Progress) -> Trace:
        """Take every step; raises ``CellError`` where the weights stop being numbers."""
        for update, rows_B in enumerate(self._rows()):
            self.update(rows_B, update)
            progress(f"arm {self.arm.name}", update + 1, self.ppo.updates)
        tail = max(self.ppo.updates // 10, 1)
        return Trace(self._moved(), _mean(self._gradients), _mean(self._spreads), _mean(self._rewards[-tail:]))

    def update(self, rows_B: Tensor, number: int) -> None:
        """Learn from one batch of states, the ``number``-th of the run, in as many steps as there are epochs."""
        share = number / self.ppo.updates
        if self.arm.sampled:
            self._sampled(rows_B, share, look=number % LOOK_EVERY == 0)
        else:
            self._unsampled(rows_B, share)

    def _rows(self) -> list[Tensor]:
        """Return the states of every roll-out: the same for every arm of a seed, all states before any again."""
        generator = torch.Generator().manual_seed(stream(self.seed, "states"))
        wanted, size = self.ppo.updates * self.ppo.batch, self.course.states
        order = [torch.randperm(size, generator=generator) for _ in range(-(-wanted // size))]
        return list(torch.split(torch.cat(order)[:wanted], self.ppo.batch))

    def _log_probs(self, state_BS: Tensor) -> Tensor:
        logp_BA: Tensor = self.decoder(state_BS).log_softmax(1)
        return logp_BA

    @torch.no_grad()
    def _anchor(self, state_BS: Tensor) -> Tensor:
        logp_BA: Tensor = self.start(state_BS).log_softmax(1)
        return logp_BA

    def _sampled(self, rows_B: Tensor, share: float, *, look: bool) -> None:
        """Draw tokens, see what they are given, and step on them several times (PPO)."""
        with torch.no_grad():
            seen = self.gather(rows_B, share)
        for epoch in range(self.ppo.epochs):
            logp_NA = self._log_probs(seen.state_NS)
            gain = surrogate(picked(logp_NA, seen.action_N), seen.old_N, seen.advantage_N, self.ppo.clip)
            if look and epoch == 0:
                self._look(gain)
            self._step(-gain - self.ppo.entropy * entropy(logp_NA), self._error(seen.state_NS, seen.return_N))

    def gather(self, rows_B: Tensor, share: float) -> Samples:
        """Return one roll-out: each state is a situation by itself."""
        rows_N = rows_B.repeat_interleave(self.ppo.samples)
        state_NS, goal = self.course.state(rows_N), self.course.goal(rows_N)
        action_N, old_N = draw(self._log_probs(state_NS), self.actions)
        given_N = self._given(goal.of(action_N, old_N, self.schedule.at(share)))
        reward_N = self._kept_near(given_N, state_NS, action_N, old_N)
        return Samples(state_NS, action_N, old_N, self._advantage(state_NS, reward_N), reward_N)

    def _given(self, reward_N: Tensor) -> Tensor:
        """Return what the arm gives for the rewards of a roll-out."""
        given_N = self.substitute(reward_N)
        self._spreads.append(_spread(given_N))
        self._rewards.append(float(given_N.mean()))
        return given_N

    def _kept_near(self, given_N: Tensor, state_NS: Tensor, action_N: Tensor, old_N: Tensor) -> Tensor:
        """Return what is given less the penalty on leaving the start."""
        if not self.arm.beta:
            return given_N
        return given_N - self.arm.beta * (old_N - picked(self._anchor(state_NS), action_N))

    def _advantage(self, state_NS: Tensor, reward_N: Tensor) -> Tensor:
        if self.ppo.baseline == "leave_one_out":
            return whitened(leave_one_out(reward_N.view(-1, self.ppo.samples)).flatten())
        self.head.begin(reward_N)
        # A token by itself is a course of one step, which ends there.
        value_N1, ended_N = self.head(state_NS)[:, None], torch.zeros_like(reward_N)
        return whitened(gae(reward_N[:, None], value_N1, ended_N, gamma=0.0, decay=0.0)[:, 0])

    def _unsampled(self, rows_B: Tensor, share: float) -> None:
        """Step as often on the same states, by the whole policy gradient or by supervision."""
        state_BS, goal = self.course.state(rows_B), self.course.goal(rows_B)
        anchor_BA = self._anchor(state_BS) if self.arm.beta else None
        for _ in range(self.ppo.epochs):
            logp_BA = self._log_probs(state_BS)
            if self.arm.name == "sup_cont":
                gain = -divergence(goal.logp_NA, logp_BA).mean()
            else:
                gain = expected(logp_BA, goal.of_all(logp_BA.detach(), self.schedule.at(share)))
            if anchor_BA is not None:
                gain = gain - self.arm.beta * divergence(logp_BA, anchor_BA).mean()
            self._gradients.append(self._step(-gain - self.ppo.entropy * entropy(logp_BA)))

    def _look(self, gain: Tensor) -> None:
        """Keep the norm of the policy gradient: 0 where no reward can ever move the weights."""
        weights = [p for p in self.decoder.parameters() if p.requires_grad]
        found = torch.autograd.grad(gain, weights, retain_graph=True, allow_unused=True)
        self._gradients.append(_norm([g for g in found if g is not None]))

    def _error(self, state_NS: Tensor, reward_N: Tensor) -> Tensor | None:
        """Return what the value head has to lower, where there is one."""
        if self.ppo.baseline != "value":
            return None
        error: Tensor = 0.5 * (self.head(state_NS) - reward_N).square().mean()
        return error

    def _step(self, loss: Tensor, error: Tensor | None = None) -> float:
        """Step the decoder, and the value head by its own optimiser: they share no weight, so one pass serves both."""
        self.adam.zero_grad(set_to_none=True)
        self.head_adam.zero_grad(set_to_none=True)
        (loss if error is None else loss + error).backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(self.decoder.parameters(), self.ppo.grad_clip))
        if not math.isfinite(norm):
            raise CellError(f"arm {self.arm.name}: the gradient is not a number; a lower lr may help")
        self.adam.step()
        if error is not None:
            self.head_adam.step()
        return norm

    @torch.no_grad()
    def _moved(self) -> float:
        pairs = zip(self.decoder.parameters(), self.start.parameters(), strict=True)
        return _norm([now - before for now, before in pairs])


def _spread(given_N: Tensor) -> float:
    """Return the standard deviation; exactly 0 where all are equal, which rounding of their mean would hide."""
    return 0.0 if bool((given_N == given_N[0]).all()) else float(given_N.std())


def _norm(values: list[Tensor]) -> float:
    return float(torch.stack([value.square().sum() for value in values]).sum().sqrt()) if values else 0.0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
