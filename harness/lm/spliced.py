"""A change of activations as an edit of what one block returns, whatever the padding and with a cache or without.

A block sees columns: tokens, padding on either side, and with a key-value cache the new tokens alone. A change sees the
rows of tokens, by document, without the first token of each: it carries the attention sink, and no method is fitted on
it. What is no token, and the first one, stay as they are, bit for bit.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from harness.api import Change


@final
class Splice:
    """The edit that one change is. ``begin`` comes before every call of the model that goes on from no cache.

    Padding on the right that no mask tells of is changed like tokens: nothing that is read depends on it.
    """

    def __init__(
        self,
        change: Change,
        *,
        first: bool = False,
        limit: float = math.inf,
        history: bool = False,
        tail: bool = False,
    ) -> None:
        """Take a change.

        Args:
            change: what takes the place of activations.
            first: whether the first token of a document is changed as well.
            limit: norm above which a token is left as it is.
            history: whether a row depends on earlier rows, which are then kept and given again with each new token.
            tail: whether of the columns that are read first, a prompt padded on the left, only the last is changed. The
                model then runs with a cache.
        """
        self._change, self._first, self._limit, self._history = change, first, limit, history
        self._tail, self._prompt = tail, 0
        self._mask_BT: Tensor | None = None
        self._seen = 0
        self._past_BTD: Tensor | None = None

    def begin(self, mask_BT: Tensor | None) -> None:
        """Say that a text begins: 1 (or True) for its tokens and 0 for padding; None where every column is a token."""
        self._mask_BT, self._seen, self._past_BTD = mask_BT, 0, None

    def __call__(self, x_BTD: Tensor) -> Tensor:
        """Return the hidden states of the new columns, changed."""
        # Without a cache every column comes again and one more, and a text begins at every call.
        start = self._seen
        self._seen = start + x_BTD.shape[1]
        if start == 0:
            self._past_BTD, self._prompt = None, self._seen
        if self._history:
            x_BTD = x_BTD if self._past_BTD is None else torch.cat([self._past_BTD, x_BTD], 1)
            self._past_BTD = x_BTD
        keep_BT = self._kept(x_BTD, self._seen - x_BTD.shape[1])
        result_BTD = x_BTD
        if bool(keep_BT.any()):
            doc_N = torch.nonzero(keep_BT)[:, 0]
            result_BTD = x_BTD.clone()
            result_BTD[keep_BT] = self._change(x_BTD[keep_BT].float(), doc_N).to(x_BTD)
        return result_BTD[:, start - self._seen :]

    def _kept(self, x_BTD: Tensor, start: int) -> Tensor:
        """Return which columns, from ``start`` on, are tokens that are changed: bool ``[B, T]``."""
        rows, columns = x_BTD.shape[:2]
        token_BT = torch.ones(rows, self._seen, dtype=torch.bool, device=x_BTD.device)
        if self._mask_BT is not None:
            given_BT = self._mask_BT[:, : self._seen].to(x_BTD.device, torch.bool)
            # What the mask does not reach is new, and a token.
            token_BT[:, : given_BT.shape[1]] = given_BT
        if not self._first:
            token_BT &= token_BT.cumsum(1) > 1
        if self._tail:
            token_BT[:, : self._prompt - 1] = False
        kept_BT = token_BT[:, start : start + columns]
        return kept_BT if math.isinf(self._limit) else kept_BT & (x_BTD.float().norm(dim=2) <= self._limit)
