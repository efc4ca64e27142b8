"""Steerers: what is done to a language model at one site of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from harness.api.fitting import Network

Change = Callable[[Tensor, Tensor], Tensor]
"""What is done to a language model at one site: of activations ``[N, D]`` and the document of each row, int64 ``[N]``,
what takes their place, ``[N, D]``. A row may depend on itself and on earlier rows of its document, never on later."""


class Steerer(Network):
    """Changes what a language model does, at one site of it.

    Constructed as ``Class(params, setting)``, as a ``Dictionary`` is. A dictionary can be used alike: its
    reconstructions take the place of the activations.
    """

    kind: ClassVar[str] = "steerer"

    @abstractmethod
    def edit(self, strength: float) -> Change | None:
        """Return what is done at a strength; None leaves the model as it is. At 0 no bit changes."""
