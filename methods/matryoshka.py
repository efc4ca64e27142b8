"""Matryoshka SAE: a BatchTopK code whose leading latents must reconstruct without the rest (arXiv 2503.17547)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Setting
from harness.errors import CellError
from harness.training.active import Active
from harness.training.autoencoder import squared_error
from harness.training.dead import AuxK
from harness.training.kernel import decode, encode
from harness.training.loop import Moment, Optim
from harness.training.thresholded import Thresholded


class Matryoshka(Thresholded):
    """Mean over nested prefixes of the latents of the squared error of what each prefix reconstructs alone."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``matryoshka``; k is the task's target L0."""

        optim: Optim
        """optimiser"""
        aux: AuxK
        """revival of dead latents"""
        groups: tuple[float, ...]
        """sizes of the groups that prefixes are made of, as shares of the latents; they add up to 1"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim, params.aux)
        self.ends = prefixes(params.groups, setting.latents)

    def loss(self, x_BD: Tensor, moment: Moment) -> Tensor:
        """Return the mean over prefixes of the squared error."""
        active, pre_E = encode(self.encoder(), x_BD, self.select, self._scratch)
        value_E = pre_E.relu()
        xhat_BPD = self._by_prefix(active, value_E)
        self.note(active, value_E, x_BD, xhat_BPD[:, -1], moment)
        return squared_error(x_BD[:, None].expand_as(xhat_BPD), xhat_BPD) / len(self.ends)

    def _by_prefix(self, active: Active, value_E: Tensor) -> Tensor:
        """Return what each prefix reconstructs, ``[B, P, D]``: running sums over groups."""
        split, order_E = by_group(active, self.ends)
        part_GD = decode(split, value_E.index_select(0, order_E), self.W_dec, torch.zeros_like(self.b_dec))
        return part_GD.view(active.rows, len(self.ends), -1).cumsum(1) + self.b_dec


def prefixes(shares: tuple[float, ...], latents: int) -> tuple[int, ...]:
    """Return where each prefix ends; prefixes that rounding makes equal count once."""
    if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise CellError(f"groups must be positive shares that add up to 1, got {list(shares)} (sum {sum(shares):g})")
    total, ends = 0.0, []
    for share in shares:
        total += share
        ends.append(max(round(total * latents), 1))
    return tuple(dict.fromkeys(ends))


def by_group(active: Active, ends: tuple[int, ...]) -> tuple[Active, Tensor]:
    """Return a code of ``rows * groups`` rows, each holding one row's entries in one group; and the entries' order."""
    group_E = torch.bucketize(active.latent_E, torch.tensor(ends, device=active.latent_E.device), right=True)
    row_E = active.row_E * len(ends) + group_E
    order_E = row_E.int().sort(stable=True).indices
    count_G = torch.bincount(row_E, minlength=active.rows * len(ends))
    return Active(active.latent_E[order_E], count_G.cumsum(0) - count_G, active.latents), order_E
