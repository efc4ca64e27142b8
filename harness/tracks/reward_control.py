"""Track ``reward_control``: what does a reward do that random rewards in its place do not?

A method is trained anew from one start under every arm, first without a penalty and then with one that keeps the policy
near that start. A penalty that pulls towards the model's own predictions is not offered: it is the reward under another
name, and random rewards seem to work beside it. Every arm is a unit of the measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness.api import ARMS, Arm, Method, NextToken, Rewarded, Taught, Train
from harness.errors import CellError
from harness.metrics.contract import SUBVOCAB, Parts
from harness.metrics.reward import ANCHORED
from harness.specs.identity import digest
from harness.specs.record import DataPart, ModelPart
from harness.specs.rewards import RewardControl as Control
from harness.tracks.contract import Contribution, Group, Measured, Resources, Track
from harness.tracks.foreign import each, rewarded
from harness.tracks.grounds import make_ground
from harness.tracks.predicted import check_sums
from harness.tracks.sums import check_output
from harness.training.policy import divergence

START = "start"


class RewardControl(Track):
    """Trains methods under every arm, and measures each on held-out states."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        self.ground = make_ground(group, resources)

    @property
    def _control(self) -> Control:
        control = self.task.spec.reward
        if control is None:
            raise ValueError("specs let a task without 'reward' through to track 'reward_control'")
        return control

    @property
    def _steps(self) -> tuple[tuple[str, str], ...]:
        """Every unit: an arm and the suffix of its parts; first what all of them start from."""
        return ((START, ""), *((arm, regime) for regime in ("", ANCHORED) for arm in ARMS))

    def prepare(self) -> None:
        """Read what methods learn from."""
        self.train()

    def train(self) -> Train:
        """Return what methods are fitted on."""
        return self.ground.train()

    @property
    def width(self) -> int:
        """``D``."""
        return self.ground.width

    @property
    def vocabulary(self) -> int:
        """``V``."""
        return self.ground.vocabulary

    def units(self) -> tuple[str, ...]:
        """Return the identity of the start and of every arm."""
        return tuple(digest([self.ground.identity, step, self._control.beta]) for step in self._steps)

    def measure(self, unit: int, methods: Mapping[str, Method]) -> dict[str, Contribution | CellError]:
        """Train every method under one arm, and measure what it became."""
        return each(methods, rewarded, self.task.spec.track, lambda _, method: self._one(unit, method))

    def _one(self, unit: int, method: Rewarded) -> Contribution:
        name, regime = self._steps[unit]
        if name == START:
            return {**self._divergences(method.start(self.train()), START), "n": self._counts()}
        arm = Arm(name, self._control.beta if regime else 0.0)
        with torch.enable_grad():
            taught = method.taught(arm, self.train())
        return {**self._divergences(taught.decoder, name + regime), **_working(taught, name + regime)}

    @torch.no_grad()
    def _divergences(self, decoder: NextToken, name: str) -> Contribution:
        """Return the sums per cluster of both divergences."""
        sums = {kind: np.zeros(self.ground.clusters) for kind in ("kl", "klr")}
        for held in self.ground.held_out():
            logq_NV = decoder.logp(held.read)
            check_output("logp", logq_NV, tuple(held.logp_NV.shape))
            check_sums(logq_NV)
            for kind, value_N in (
                ("kl", divergence(held.logp_NV, logq_NV)),
                ("klr", divergence(logq_NV, held.logp_NV)),
            ):
                np.add.at(sums[kind], held.cluster_N.numpy(), value_N.double().cpu().numpy())
        return {f"{kind}_{name}{self._suffix}": total for kind, total in sums.items()}

    def _counts(self) -> NDArray[np.float64]:
        total = np.zeros(self.ground.clusters)
        for held in self.ground.held_out():
            np.add.at(total, held.cluster_N.numpy(), 1.0)
        return total

    @property
    def _suffix(self) -> str:
        """What the names of parts end in, so that predictions over some tokens never pass for those over all."""
        return "" if self.task.fit.spec.vocab is None else SUBVOCAB

    def reduce(self, contributions: Sequence[Contribution]) -> Measured:
        """Put the arms side by side."""
        parts = {name: part for contribution in contributions for name, part in contribution.items()}
        parts["margin"] = np.array(self._control.margin)
        tokens = float(parts["n"].sum())
        levels = {
            f"{label} of {name[len(kind) + 1 :].removesuffix(self._suffix)}": float(part.sum()) / tokens
            for kind, label in (("kl", "KL(p‖π)"), ("klr", "KL(π‖p)"))
            for name, part in parts.items()
            if name.startswith(f"{kind}_")
        }
        working = {name.replace("_", " ", 1): float(part) for name, part in parts.items() if part.ndim == 0}
        return Measured(parts, {"tokens": tokens, "beta": self._control.beta, **levels, **working})

    def warnings(self, parts: Parts, contestant: bool) -> list[str]:
        """Say what fell short of the budget."""
        return self.ground.notes()

    def model_device(self) -> str:
        """Return where decoders run."""
        return self.ground.device

    def model_part(self) -> ModelPart | None:
        """Describe the model and the site; None where no language model runs."""
        return self.ground.model_part()

    def data_part(self) -> DataPart:
        """Describe the data."""
        return self.ground.data_part()


def _working(taught: Taught, name: str) -> Contribution:
    values = {"moved": taught.moved, "gradient": taught.gradient, "spread": taught.spread}
    return {f"{what}_{name}": np.array(value) for what, value in values.items()}


TRACK = RewardControl
