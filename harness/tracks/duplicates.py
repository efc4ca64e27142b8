"""Which latents of a dictionary point where another one points already."""

from __future__ import annotations

import torch
from torch import Tensor

# Above this cosine two directions count as one.
SAME = 0.9
# Cosines held at once, in floats.
COSINES = 2**24


def duplicates(row_FD: Tensor, same: float = SAME) -> Tensor:
    """Return which rows have a cosine above ``same`` with another row, bool ``[F]``; a row of zeros has none.

    Cosines are computed in blocks of rows, so memory does not grow with the square of ``F``.
    """
    unit_FD = torch.nn.functional.normalize(row_FD.float(), dim=1)
    size = max(COSINES // max(len(unit_FD), 1), 1)
    found = []
    for start in range(0, len(unit_FD), size):
        cosine_BF = unit_FD[start : start + size] @ unit_FD.T
        cosine_BF.diagonal(start).fill_(-1.0)
        found.append((cosine_BF > same).any(1))
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.bool)
