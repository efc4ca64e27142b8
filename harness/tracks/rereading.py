"""Written texts, read again under many interventions.

Up to the block that is changed, nothing is. So the model runs that far once, and from there for every change; what
stands before a text, a bias on logits and changes that look back at earlier tokens take the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from harness.api import ArrayActivations, Change, Intervention
from harness.lm.continued import Followed
from harness.tracks.changes import checked
from harness.tracks.place import Place

T = TypeVar("T")


@dataclass(frozen=True)
class _Batch:
    """Some texts, padded on the right: what the block returns, and which tokens of it are changed."""

    rows: tuple[int, ...]
    ids_BT: Tensor
    mask_BT: Tensor
    x_BTD: Tensor
    changed_BT: Tensor


class Rereading:
    """Reads the same texts under one intervention after the other.

    Args:
        place: where and how the model is steered.
        behind: returns the texts behind a prefix.
    """

    def __init__(self, place: Place, behind: Callable[[str], Sequence[Followed]]) -> None:
        self.place, self._behind, self.texts = place, behind, tuple(behind(""))

    @torch.no_grad()
    def each(self, found: Intervention, take: Callable[[int, Tensor], T]) -> list[T]:
        """Return what ``take`` makes of the number of each text and the log-probabilities ``[T, V]`` of its tokens."""
        if found.prefix or found.bias or found.history:
            return self.place.each(self._behind(found.prefix), found, take)
        read: dict[int, T] = {}
        for batch in self._batches:
            x_BTD = batch.x_BTD if found.change is None else _changed(batch, checked(found.change))
            final_BTD = self.place.model.resume(batch.ids_BT, batch.mask_BT, self.place.block, x_BTD)
            for row, final_TD in zip(batch.rows, final_BTD, strict=True):
                read[row] = take(row, self._logp(row, final_TD))
        return [read[row] for row in range(len(self.texts))]

    @cached_property
    def changed(self) -> ArrayActivations | None:
        """The activations of the tokens that are changed, and the text of each; None where there is no token."""
        if not any(bool(batch.changed_BT.any()) for batch in self._batches):
            return None
        doc_N = [torch.tensor(batch.rows)[torch.nonzero(batch.changed_BT)[:, 0].cpu()] for batch in self._batches]
        rows_ND = [batch.x_BTD[batch.changed_BT].float() for batch in self._batches]
        return ArrayActivations(torch.cat(rows_ND).cpu(), torch.cat(doc_N))

    def _logp(self, row: int, final_TD: Tensor) -> Tensor:
        text = self.texts[row]
        start = len(text.prompt) - 1
        return self.place.model.logits(final_TD[start : start + len(text.after)]).log_softmax(-1)

    @cached_property
    @torch.no_grad()
    def _batches(self) -> list[_Batch]:
        order = sorted(range(len(self.texts)), key=lambda row: -self.texts[row].length)
        batches: list[list[int]] = []
        for row in order:
            widest = self.texts[batches[-1][0]].length if batches else 0
            if batches and (len(batches[-1]) + 1) * widest <= self.place.batch_tokens:
                batches[-1].append(row)
            else:
                batches.append([row])
        return [self._read(rows) for rows in batches]

    def _read(self, rows: Sequence[int]) -> _Batch:
        place, texts = self.place, [self.texts[row] for row in rows]
        width = texts[0].length
        ids_BT = torch.tensor([[*t.prompt, *t.after] + [0] * (width - t.length) for t in texts])
        mask_BT = torch.arange(width)[None] < torch.tensor([t.length for t in texts])[:, None]
        x_BTD = place.model.read(ids_BT, mask_BT, [place.block])[place.block]
        start = torch.tensor([len(t.prompt) - 1 if place.tail else 0 for t in texts])
        changed_BT = mask_BT & (torch.arange(width)[None] >= start[:, None])
        if not place.first:
            changed_BT[:, 0] = False
        changed_BT = changed_BT.to(x_BTD.device) & (x_BTD.float().norm(dim=2) <= place.limit)
        return _Batch(tuple(rows), ids_BT, mask_BT, x_BTD, changed_BT)


def _changed(batch: _Batch, change: Change) -> Tensor:
    x_BTD = batch.x_BTD.clone()
    doc_N = torch.nonzero(batch.changed_BT)[:, 0]
    x_BTD[batch.changed_BT] = change(x_BTD[batch.changed_BT].float(), doc_N).to(x_BTD)
    return x_BTD
