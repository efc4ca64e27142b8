"""Rules several methods share: unit decoder rows."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import normalize

from harness.training.loop import Moment, Rule


class UnitRows(Rule):
    """Keeps every row of a decoder at norm 1, and takes out of its gradient what only changes norms."""

    def __init__(self, W_FD: nn.Parameter) -> None:
        self.W_FD = W_FD

    def before(self, moment: Moment) -> None:
        """Remove the component of the gradient along each row."""
        row_FD, gradient_FD = self.W_FD.detach(), self.W_FD.grad
        if gradient_FD is not None:
            along_F1 = torch.linalg.vecdot(gradient_FD, row_FD)[:, None]
            gradient_FD.addcmul_(along_F1, row_FD, value=-1.0)

    def after(self, moment: Moment, adam: torch.optim.Adam) -> None:
        """Scale every row back to norm 1."""
        row_FD = self.W_FD.detach()
        normalize(row_FD, dim=1, out=row_FD)
