"""What a method does to the language model: reconstructions in place of activations, or a steerer's intervention."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.api import Change, Dictionary, Intervention, Method, Network, Steerer
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


def intervention_of(method: Network, strength: float = STRENGTH) -> Intervention:
    """Return what a fitted dictionary or steerer does to a language model.

    The error of a reconstruction is not added back: what a dictionary does not keep is lost to the model.
    """
    if isinstance(method, Dictionary):
        # A shared code follows all that was read; any other is of its token alone.
        return Intervention(change=_reconstructed(method), history=method.shared > 0)
    if not isinstance(method, Steerer):
        raise TypeError(f"a {type(method).__name__} changes no language model")
    return method.steer(strength)


def splice_of(found: Intervention, *, first: bool, limit: float, tail: bool = False) -> Splice | None:
    """Return what an intervention does to its block; None where it leaves activations as they are.

    Args:
        found: the intervention.
        first: whether the first token of a text is changed too.
        limit: norm above which a token is left as it is.
        tail: whether of what is read first only the last token is changed.
    """
    if found.change is None:
        return None
    return Splice(checked(found.change), first=first, limit=limit, history=found.history, tail=tail)


def _reconstructed(method: Dictionary) -> Change:
    def change(x_ND: Tensor, doc_N: Tensor) -> Tensor:
        pieces = [method.decode(z_NF) for _, z_NF in codes(method, x_ND, doc_N)]
        xhat_ND = torch.cat(pieces)
        check_output("decode", xhat_ND, tuple(x_ND.shape))
        return xhat_ND

    return change


def checked(change: Change) -> Change:
    """Return a change that raises ``CellError`` where what it returns does not fit."""

    def checked(x_ND: Tensor, doc_N: Tensor) -> Tensor:
        changed_ND = change(x_ND, doc_N)
        check_output("change", changed_ND, tuple(x_ND.shape))
        return changed_ND

    return checked
