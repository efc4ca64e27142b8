"""Gemma Scope (arXiv 2408.05147): ``params.npz`` with five arrays of a JumpReLU dictionary, and no config.

``pre = x W_enc + b_enc``; what exceeds ``threshold`` passes; ``b_dec`` is not subtracted first. The published folders
are ``layer_N/width_…/average_l0_…``, so a folder named ``layer_N`` above the file tells the block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.checkpoints.card import Card, Format, OneLayer, Trained, named

if TYPE_CHECKING:
    from torch import Tensor

_NAMES = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")}


def read(folder: Path) -> Card:
    """Return the card; only the path can tell a block."""
    found = [match for part in folder.resolve().parts if (match := re.fullmatch(r"layer_(\d+)", part))]
    trained = Trained(hook=found[-1].group(), layer=int(found[-1].group(1))) if found else Trained()
    return Card(folder, FORMAT.name, "jumprelu", "threshold", centred=False, trained=trained)


def arrange(card: Card, tensors: Mapping[str, Tensor]) -> OneLayer:
    """Turn the encoder round."""
    got = named(tensors, _NAMES, card)
    return card.layer({**got, "W_enc": got["W_enc"].T})


FORMAT = Format("Gemma Scope", None, "params.npz", read, arrange)
