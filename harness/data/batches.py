"""Windows of tokens become padded batches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from harness.data.windows import Window

# In place of a document at padding, and of a cluster where there is none.
NONE = -1


@dataclass(frozen=True)
class TokenBatch:
    """Sequences of one tier, padded on the right to the longest. ``B`` sequences, ``T`` positions; CPU tensors.

    Attributes:
        ids_BT: int64 token ids.
        mask_BT: bool, real tokens (all but padding).
        keep_BT: bool, tokens that count: of a document's own text, and not at position 0 unless the task keeps it.
        target_BT: bool, positions whose next token is predicted: they count themselves, and the next token is of the
            same document's text.
        doc_BT: int64, document by its index in the split, -1 at padding.
        cluster_BT: int64, cluster of the document, -1 at padding and where no token of its group is measured.
        tier_B: int64, the tier of each sequence (all of one batch are of one): 0 is spliced, measured and counted for
            density, 1 measured and counted, 2 only counted.
        identity: hash of everything above.
    """

    ids_BT: Tensor
    mask_BT: Tensor
    keep_BT: Tensor
    target_BT: Tensor
    doc_BT: Tensor
    cluster_BT: Tensor
    tier_B: Tensor
    identity: str


class Batches(Sequence[TokenBatch]):
    """Makes batches as they are asked for, so that a large split costs memory once.

    Args:
        taken: the windows, in order.
        tiers: the tier of each.
        cluster_of: int64, cluster of each document of the split.
        batch_tokens: positions per batch at most, padding included; one sequence at least.
        pad: token id to fill rows with.
    """

    def __init__(self, taken: list[Window], tiers: list[int], cluster_of: Tensor, batch_tokens: int, pad: int) -> None:
        self._taken, self._tiers, self._cluster_of, self._pad = taken, tiers, cluster_of, pad
        lengths = [window.ids_T.shape[0] for window in taken]
        self._rows = _bucket(lengths, tiers, batch_tokens)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> TokenBatch: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenBatch]: ...
    def __getitem__(self, index: int | slice) -> TokenBatch | list[TokenBatch]:
        if isinstance(index, slice):
            return [self._make(rows) for rows in self._rows[index]]
        return self._make(self._rows[index])

    def _make(self, rows: list[int]) -> TokenBatch:
        chosen = [self._taken[row] for row in rows]
        doc_BT = _pad([w.doc_T for w in chosen], NONE)
        text_BT, keep_BT = _pad([w.text_T for w in chosen], 0), _pad([w.keep_T for w in chosen], 0)
        target_BT = torch.zeros_like(keep_BT)
        target_BT[:, :-1] = keep_BT[:, :-1] & text_BT[:, 1:] & (doc_BT[:, :-1] == doc_BT[:, 1:])
        tensors = {
            "ids_BT": _pad([w.ids_T for w in chosen], self._pad),
            "mask_BT": doc_BT != NONE,
            "keep_BT": keep_BT,
            "target_BT": target_BT,
            "doc_BT": doc_BT,
            "cluster_BT": torch.where(doc_BT < 0, NONE, self._cluster_of[doc_BT.clamp(min=0)]),
            "tier_B": torch.tensor([self._tiers[row] for row in rows]),
        }
        return TokenBatch(**tensors, identity=_identity(list(tensors.values())))


def _bucket(lengths: list[int], tiers: list[int], batch_tokens: int) -> list[list[int]]:
    """Group sequences of one tier and similar length: rows times longest is at most ``batch_tokens``."""
    # Longest first: what does not fit into memory shows at once. The sort is stable, so batches are always the same.
    order = sorted(range(len(lengths)), key=lambda row: (tiers[row], -lengths[row]))
    batches: list[list[int]] = []
    for row in order:
        first = batches[-1][0] if batches else None
        fits = first is not None and tiers[first] == tiers[row]
        if first is not None and fits and (len(batches[-1]) + 1) * lengths[first] <= batch_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _pad(rows: list[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def _identity(tensors: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode() + tensor.numpy().tobytes())
    return digest.hexdigest()[:24]
