"""What every method is, and what it is fitted on.

Shapes: ``N`` tokens, ``D`` width of the activations. Tensors are float32 on one device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, final

import torch
from torch import Tensor, nn


class Progress(Protocol):
    """What long work reports to; the command line shows it as a bar, Python callers may ignore it."""

    def __call__(self, label: str, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` units of the work called ``label`` are finished."""


def silent(label: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Setting:
    """What the task fixes for every method that meets it; a method may read it and never choose it.

    Attributes:
        width: ``D`` of the activations.
        latents: ``F`` a dictionary may have at most; 0 where the task fits none.
        l0: active latents per token to aim for (``k`` of TopK; a controller's target for penalised methods), or 0.
        seed: seed of everything random in the method; the data never depend on it.
        uses: methods this one is built on, by the names in its YAML (``of`` for a derived control).
        at_blocks: of those that the task does not measure themselves, the ones fitted at each block of ``Answers``.
        vocabulary: ``V``, the next tokens a task tells apart; 0 where it predicts none.
    """

    width: int
    latents: int
    l0: int
    seed: int
    uses: Mapping[str, Method] = field(default_factory=dict)
    at_blocks: Mapping[str, tuple[Method, ...]] = field(default_factory=dict)
    vocabulary: int = 0


class Activations(ABC):
    """Activations of one split at one site, in reading order, with the document each row came from."""

    @property
    @abstractmethod
    def doc_N(self) -> Tensor:
        """int64 ``[N]``: index of the document of each row; rows of one document are adjacent."""

    @property
    @abstractmethod
    def width(self) -> int:
        """``D``."""

    @abstractmethod
    def take(self, index_N: Tensor) -> Tensor:
        """Return rows ``index_N`` (int64, CPU) as float32 ``[n, D]`` on the CPU."""

    @final
    def __len__(self) -> int:
        return int(self.doc_N.shape[0])

    @final
    def batches(self, size: int, passes: int, seed: int) -> Iterator[Tensor]:
        """Yield shuffled float32 batches ``[size, D]``, ``passes`` times over all rows; the tail of a pass is dropped.

        A set smaller than one batch is yielded whole, once a pass.
        """
        generator = torch.Generator().manual_seed(seed)
        n = len(self)
        for _ in range(passes):
            order_N = torch.randperm(n, generator=generator)
            for start in range(0, max(n - size, 0) + 1, size):
                yield self.take(order_N[start : start + size])

    @final
    def documents(self, tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ``(x_ND, doc_N)`` in reading order, about ``tokens`` rows at a time, never cutting a document."""
        doc_N = self.doc_N
        edge = torch.nonzero(doc_N[1:] != doc_N[:-1]).flatten() + 1
        ends = [*edge.tolist(), len(self)]
        start = 0
        for i, end in enumerate(ends):
            last = i == len(ends) - 1
            if last or ends[i + 1] - start > tokens:
                index_N = torch.arange(start, end)
                yield self.take(index_N), doc_N[start:end]
                start = end

    @final
    def mean(self) -> Tensor:
        """Return the mean row, float32 ``[D]``, accumulated in float64."""
        total_D = torch.zeros(self.width, dtype=torch.float64)
        for x_ND, _ in self.documents(8192):
            total_D += x_ND.sum(0, dtype=torch.float64)
        return (total_D / len(self)).float()

    @final
    def scale(self) -> float:
        """Return ``sqrt(D) / mean ||x||``: times this, the mean norm is ``sqrt(D)``."""
        total = sum(float(x_ND.norm(dim=1).sum(dtype=torch.float64)) for x_ND, _ in self.documents(8192))
        return math.sqrt(self.width) * len(self) / max(total, 1e-30)


@final
class ArrayActivations(Activations):
    """Activations held in memory: ``x_ND`` float32 and ``doc_N`` int64 (one document where it is not given)."""

    def __init__(self, x_ND: Tensor, doc_N: Tensor | None = None) -> None:
        if x_ND.ndim != 2:
            raise ValueError(f"x_ND must have two dimensions [tokens, width], got shape {tuple(x_ND.shape)}")
        self._x_ND = x_ND
        self._doc_N = torch.zeros(x_ND.shape[0], dtype=torch.int64) if doc_N is None else doc_N

    @property
    def doc_N(self) -> Tensor:
        """int64 ``[N]``."""
        return self._doc_N

    @property
    def width(self) -> int:
        """``D``."""
        return int(self._x_ND.shape[1])

    def take(self, index_N: Tensor) -> Tensor:
        """Return rows ``index_N``."""
        return self._x_ND[index_N].float()


@dataclass(frozen=True)
class Truth:
    """What is known of activations that were drawn: ``x = code @ direction + offset + noise``. On the CPU.

    Attributes:
        direction_GD: the true directions, unit vectors.
        offset_D: what every activation has in common.
        parent_G: int64; the direction without which one never fires, its own number where there is none.
        shared_G: whether it fires in every token of a document, with one size.
        x_ND: every activation of the task: train, validation and test.
        code_NG: their true codes.
    """

    direction_GD: Tensor
    offset_D: Tensor
    parent_G: Tensor
    shared_G: Tensor
    x_ND: Tensor
    code_NG: Tensor


@dataclass(frozen=True)
class Train:
    """What ``fit`` receives. ``extra`` holds exactly what the method's YAML declares under ``needs``.

    Attributes:
        x: activations of the train split.
        val: activations of the validation split, for thresholds and every other choice.
        passes: how often the train split may be gone through.
        device: where to fit.
        progress: call it with (label, done, total).
        extra: by name, only what was declared: ``truth`` (a ``Truth``), ``unembedding`` (an ``Unembedding``),
            ``targets`` and ``val_targets`` (``Targets`` of either split), ``environment`` (an ``Environment``),
            ``predictions`` (of a ``Dictionary``, the ``Predictions`` of the train split), ``behaviour`` (a
            ``Behaviour``).
    """

    x: Activations
    val: Activations
    passes: int
    device: torch.device
    progress: Progress = silent
    extra: Mapping[str, Any] = field(default_factory=dict)


class Method(ABC):
    """Anything that is compared. A kind of method is an abstract subclass that adds verbs."""

    kind: ClassVar[str]

    @abstractmethod
    def parameter_count(self) -> int:
        """Return the number of fitted scalars."""

    @abstractmethod
    def summary(self) -> dict[str, float]:
        """Return what is worth recording about the fit (final loss, reached L0, threshold, dead latents, …)."""


class Trained(Method):
    """A method that is fitted once, before anything is measured, and kept."""

    @abstractmethod
    def fit(self, train: Train) -> None:
        """Fit in place, from ``train`` alone; the same seed must give the same weights on the CPU."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return everything ``load`` needs, as tensors."""

    @abstractmethod
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned, bit for bit; raises ``ValueError`` on a missing or misshapen tensor."""


class Network(nn.Module, Trained):
    """A fitted method that is a module: what a fit learns is in its parameters and buffers."""

    @final
    def state(self) -> dict[str, Tensor]:
        """Return the module's state, contiguous and on the CPU."""
        return {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}

    @final
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore ``state``; raises ``ValueError`` on a missing or misshapen tensor."""
        try:
            self.load_state_dict(dict(state), strict=True)
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    @final
    def parameter_count(self) -> int:
        """Return the number of scalars in parameters and floating buffers."""
        return sum(value.numel() for value in self.state_dict().values() if value.is_floating_point())
