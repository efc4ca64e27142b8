"""Mean-subtracted SAE: the document's mean is given back for free, and tokens code the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Setting
from harness.training.document import Coding, DocumentAutoencoder
from harness.training.loop import Rule


class MeanSubtracted(DocumentAutoencoder):
    """``z_s = xbar``, ``z_u = BatchTopK(E (x - xbar - b))``, ``xhat = xbar + z_u D + b``.

    The limit of a shared code as wide as the activations. Its unique code has all of the task's latents, so whatever
    beats it at equal unique L0 does so from behind.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``mean_subtracted``."""

        coding: Coding
        """what all dictionaries with a code per document have in common"""

    eye: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.coding, setting.width, setting.latents)
        self.register_buffer("eye", torch.eye(setting.width), persistent=False)

    def begin(self, mean_KD: Tensor) -> Sequence[Rule]:
        """Nothing is fitted."""
        return ()

    def share(self, mean_ND: Tensor) -> Tensor:
        """Return the means."""
        return mean_ND

    def shared_rows(self) -> Tensor:
        """Return the axes."""
        return self.eye

    def inputs(self, x_ND: Tensor, part_ND: Tensor) -> Tensor:
        """Return what the mean leaves over."""
        return x_ND - part_ND

    def penalty(self, z_BR: Tensor) -> Tensor:
        """Return 0."""
        return z_BR.new_zeros(())
