"""Decoders that a reward trains, and the arms of its control."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from harness.api.fitting import Train
from harness.api.next_token import NextToken

ARMS = ("true", "random", "shuffled", "zero", "sup_cont", "exact_pg")
"""Of a reward's control: the reward itself; rewards drawn at random from those of all samples; the rewards of other
samples; none; as many further steps of supervision; the policy gradient without sampling."""


@dataclass(frozen=True)
class Arm:
    """One arm of a reward's control, as a method is asked to train it.

    Attributes:
        name: one of ``ARMS``.
        beta: weight of ``ln π(a) − ln π₀(a)``, which keeps the policy near the decoder it starts from.
    """

    name: str
    beta: float

    @property
    def sampled(self) -> bool:
        """Whether it learns from sampled tokens."""
        return self.name not in ("sup_cont", "exact_pg")


@dataclass(frozen=True)
class Taught:
    """What one arm came to.

    Attributes:
        decoder: the trained decoder; the method itself stays as it was.
        moved: norm of all that was added to the weights.
        gradient: mean norm of the gradient by the policy's own term.
        spread: standard deviation of what the samples were given.
    """

    decoder: NextToken
    moved: float
    gradient: float
    spread: float


class Rewarded(NextToken):
    """A decoder that is trained by a reward, from a decoder that was not. Its YAML says ``reward: true``.

    Whether the reward did anything is asked by training it again with something else in the reward's place: ``taught``
    must give every arm of a seed the same start, states, order, steps and optimiser.
    """

    @abstractmethod
    def start(self, train: Train) -> NextToken:
        """Return the decoder that every arm starts from."""

    @abstractmethod
    def taught(self, arm: Arm, train: Train) -> Taught:
        """Return what one arm makes of the start; ``train`` holds all that the track offers."""
