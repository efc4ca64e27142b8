"""Rows of token ids of different lengths, put together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def padded_left(rows: Sequence[Sequence[int]], pad: int | None) -> tuple[Tensor, Tensor]:
    """Return ids and mask (1 for real tokens), int64 ``[B, T]``; a model without a token for padding reads id 0 there.

    Padding on the left lets the last tokens of all rows, and whatever follows them, stand in the same columns.
    """
    width = max(len(row) for row in rows)
    ids_BT = torch.tensor([[pad or 0] * (width - len(row)) + list(row) for row in rows])
    mask_BT = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids_BT, mask_BT
