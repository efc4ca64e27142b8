"""The training loop: one optimiser, one schedule, one place where steps are counted.

It knows nothing of dictionaries. A method gives parameters, batches of any type, a loss and rules; every constant is a
share of the run, because constants stated for 10^8 tokens do nothing in a run of 10^5.
"""

from __future__ import annotations

import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from harness.api import Activations, Progress
from harness.errors import CellError

Batch = TypeVar("Batch", contravariant=True)

REPORT_EVERY_S = 0.25


@dataclass(frozen=True)
class Optim:
    """How the weights are stepped: fused Adam (0.9, 0.999) on a warm-up, plateau, linear-decay schedule."""

    lr: float
    """learning rate on the plateau"""
    batch: int
    """tokens a step"""
    warmup: float
    """share of the steps over which the rate rises linearly from 0"""
    decay: float
    """share of the steps, at the end, over which it falls linearly to 0"""
    clip: float
    """largest norm of the whole gradient; it is scaled down to this"""

    def factor(self, moment: Moment) -> float:
        """Return the multiple of ``lr`` at a moment."""
        rise = (moment.step + 1) / max(self.warmup * moment.steps, 1.0)
        fall = (moment.steps - moment.step) / max(self.decay * moment.steps, 1.0)
        return min(rise, 1.0, fall)


@dataclass(frozen=True)
class Moment:
    """Where a run stands: ``step`` (from 0) of ``steps``."""

    step: int
    steps: int

    @property
    def share(self) -> float:
        """Share of the run that lies behind, in [0, 1)."""
        return self.step / self.steps


class Rule(ABC):
    """Something that happens at every step besides descent: a constraint, a revival, a schedule."""

    @abstractmethod
    def before(self, moment: Moment) -> None:
        """Act on the gradients, before the optimiser reads them."""

    @abstractmethod
    def after(self, moment: Moment, adam: torch.optim.Adam) -> None:
        """Act on the weights (and on the optimiser's moments) after the step."""


def stream(seed: int, name: str) -> int:
    """Return the seed of one named random stream, so that no two uses of ``seed`` draw the same numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:6], "big")


def steps_of(x: Activations, batch: int, passes: int) -> int:
    """Return how many batches ``x.batches(batch, passes, seed)`` yields."""
    return passes * max(len(x) // batch, 1)


class Learner(Protocol[Batch]):
    """What is fitted. ``Batch`` is whatever its ``loss`` reads: rows, rows with their documents, several sources."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return what is stepped."""

    def loss(self, batch: Batch, moment: Moment) -> Tensor:
        """Return the objective, a scalar; its gradient is taken by autograd."""


def descend(
    learner: Learner[Batch],
    rules: Sequence[Rule],
    batches: Iterable[Batch],
    steps: int,
    optim: Optim,
    progress: Progress,
) -> float:
    """Minimise the learner's loss over ``batches``; returns its mean over the last twentieth of the steps.

    Args:
        learner: parameters and loss.
        rules: what else happens at each step, in this order before and after the optimiser's.
        batches: what ``loss`` reads, one a step.
        steps: number of batches, on which the schedule rests.
        optim: rates.
        progress: told about four times a second.

    Raises:
        CellError: the loss stopped being a finite number.
    """
    parameters = list(learner.parameters())
    adam = torch.optim.Adam(parameters, lr=optim.lr, betas=(0.9, 0.999), fused=True)
    report = _Report(steps, progress)
    for step, batch in enumerate(batches):
        moment = Moment(step, steps)
        value = learner.loss(batch, moment)
        value.backward()  # type: ignore[no-untyped-call]
        for rule in rules:
            rule.before(moment)
        _clip(parameters, optim.clip, adam)
        adam.param_groups[0]["lr"] = optim.lr * optim.factor(moment)
        adam.step()
        adam.zero_grad(set_to_none=True)
        for rule in rules:
            rule.after(moment, adam)
        report(moment, value.detach())
    return report.final_loss


def _clip(parameters: Sequence[nn.Parameter], largest: float, adam: torch.optim.Adam) -> None:
    """Have the optimiser divide the gradient by what its norm exceeds ``largest`` by: one pass over memory less."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.stack(torch._foreach_norm(gradients)).norm()
    # read by the fused step, as torch.amp.GradScaler has it
    adam.grad_scale = (norm / largest).clamp_min(1.0)  # type: ignore[attr-defined]


class _Report:
    """Tells progress, checks that the loss is finite, averages it at the end; reads it seldom (a GPU would wait)."""

    def __init__(self, steps: int, progress: Progress) -> None:
        self.steps = steps
        self.progress = progress
        self.last = -math.inf
        self.tail: list[Tensor] = []

    def __call__(self, moment: Moment, value: Tensor) -> None:
        """Take the loss of one step."""
        done = moment.step + 1
        if done > self.steps - max(self.steps // 20, 1):
            self.tail.append(value)
        now = time.monotonic()
        if now - self.last < REPORT_EVERY_S and done < self.steps:
            return
        self.last = now
        if not math.isfinite(float(value)):
            raise CellError(f"the loss is {float(value)} at step {done} of {self.steps}; a lower lr may help")
        self.progress("fit", done, self.steps)

    @property
    def final_loss(self) -> float:
        """Mean of the last twentieth; NaN where there was no step."""
        return float(torch.stack(self.tail).mean()) if self.tail else math.nan
