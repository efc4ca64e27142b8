"""Texts that go on, one token at a time: what the model makes of each new token, from what it keeps of those before."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from harness.lm.model import LanguageModel
from harness.lm.padding import padded_left


@dataclass(frozen=True)
class Texts:
    """``B`` texts as far as they are read.

    Attributes:
        at: by block, its output at the last token of each, ``[B, D]``.
        mask_BS: int64, 1 for real tokens, 0 for padding on the left.
        past: keys and values of all tokens, as the model keeps them.
    """

    at: dict[int, Tensor]
    mask_BS: Tensor
    past: Any

    def copied(self) -> Texts:
        """Return the same texts, to go on another way: the model adds to what it keeps in place."""
        return replace(self, past=copy.deepcopy(self.past))


def begin(model: LanguageModel, ids: Sequence[Sequence[int]], layers: Collection[int]) -> Texts:
    """Read the beginnings of texts, each of at least one token."""
    return _read(model, *padded_left(ids, model.pad_id), layers, None)


def go_on(model: LanguageModel, texts: Texts, id_B: Tensor) -> Texts:
    """Read one more token of each text; ``texts`` itself cannot be gone on with afterwards."""
    mask_BS = torch.cat([texts.mask_BS, torch.ones_like(texts.mask_BS[:, :1])], 1)
    return _read(model, id_B[:, None], mask_BS, list(texts.at), texts.past)


def _read(model: LanguageModel, ids_BT: Tensor, mask_BS: Tensor, layers: Collection[int], past: Any) -> Texts:
    found, past = model.read_on(ids_BT, mask_BS, layers, past)
    return Texts({layer: x_BTD[:, -1].float() for layer, x_BTD in found.items()}, mask_BS, past)
