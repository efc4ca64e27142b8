"""What a method does to the language model: reconstructions in place of activations, or the edit of a steerer."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.api import Change, Dictionary, Method, Network, Steerer
from harness.errors import CellError
from harness.lm.spliced import Splice
from harness.tracks.coding import codes
from harness.tracks.sums import check_output

# Of a steerer, where the task asks for no other.
STRENGTH = 1.0


def changing(method: Method, track: str) -> Network:
    """Return the method as something that changes activations; raises ``CellError`` where it is something else."""
    if not isinstance(method, Dictionary | Steerer):
        raise CellError(f"track '{track}' measures dictionaries and steerers, got a {method.kind}")
    return method


def splice_of(method: Network, *, first: bool, limit: float) -> Splice | None:
    """Return what a method does to its block; None where it leaves the model as it is.

    The error of a reconstruction is not added back: what a dictionary does not keep is lost to the model.

    Args:
        method: a fitted dictionary or steerer.
        first: whether the first token of a text is changed too.
        limit: norm above which a token is left as it is.
    """
    if isinstance(method, Dictionary):
        # A shared code follows all that was read; any other is of its token alone.
        return Splice(_reconstructed(method), first=first, limit=limit, history=method.shared > 0)
    change = method.edit(STRENGTH) if isinstance(method, Steerer) else None
    return Splice(_checked(change), first=first, limit=limit, history=True) if change else None


def _reconstructed(method: Dictionary) -> Change:
    def change(x_ND: Tensor, doc_N: Tensor) -> Tensor:
        pieces = [method.decode(z_NF) for _, z_NF in codes(method, x_ND, doc_N)]
        xhat_ND = torch.cat(pieces)
        check_output("decode", xhat_ND, tuple(x_ND.shape))
        return xhat_ND

    return change


def _checked(change: Change) -> Change:
    def checked(x_ND: Tensor, doc_N: Tensor) -> Tensor:
        changed_ND = change(x_ND, doc_N)
        check_output("edit", changed_ND, tuple(x_ND.shape))
        return changed_ND

    return checked
