"""Doses: how strong an arm is, in units that arms of different kinds share.

Arms that change activations are compared at one relative edit norm, ``E‖x′ − x‖ / E‖x‖``; arms that change none at one
divergence on neutral text.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.optimize import brentq

from harness.api import Activations, Change
from harness.errors import CellError

# Doublings of the strength after which a dose counts as out of reach.
_DOUBLINGS = 40
_ROWS = 8192
_CPU = torch.device("cpu")


def edit_norm(change: Change, x: Activations, device: torch.device = _CPU) -> float:
    """Return the relative edit norm of a change over all rows, which it meets on a device."""
    moved = whole = 0.0
    for kept_ND, doc_n in x.documents(_ROWS):
        x_ND, doc_N = kept_ND.to(device), doc_n.to(device)
        moved += float((change(x_ND.clone(), doc_N) - x_ND).norm(dim=1).double().sum())
        whole += float(x_ND.norm(dim=1).double().sum())
    return moved / whole


def matched(dose: Callable[[float], float], target: float) -> float:
    """Return the strength above 0 at which a dose is as large as ``target``, to about 1e-4 of it.

    Args:
        dose: of a strength; 0 at 0, continuous, and rising at least until ``target``.
        target: above 0.

    Raises:
        CellError: the dose stays below ``target`` however strong.
    """
    high = 1.0
    for _ in range(_DOUBLINGS):
        if dose(high) >= target:
            break
        high *= 2
    else:
        raise CellError(f"no strength up to {high:g} gives a dose of {target:g}")
    low = high
    while dose(low) >= target:
        low /= 2
        if low < 1e-12:
            raise CellError(f"the dose is above {target:g} at any strength above 0")
    return float(brentq(lambda strength: dose(strength) - target, low, high, xtol=1e-12, rtol=1e-4))
