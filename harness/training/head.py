"""What is expected of a state."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """The value of a state, linear in what the decoder reads; it begins at the mean of the first roll-out."""

    offset: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("offset", torch.tensor(float("nan")))

    def begin(self, reward_N: Tensor) -> None:
        """Take the mean of the first roll-out as what is expected everywhere; later calls change nothing."""
        if bool(self.offset.isnan()):
            self.offset.copy_(reward_N.mean())

    def forward(self, state_NS: Tensor) -> Tensor:
        """Return the value of each state, ``[N]``."""
        value_N: Tensor = self.linear(state_NS[:, : self.linear.in_features]).squeeze(1) + self.offset
        return value_N
