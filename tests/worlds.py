"""Small worlds whose truth is known, and what it takes to fit a method of the methods folder to one."""

from __future__ import annotations

from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from harness.api import ArrayActivations, Dictionary, Method, Setting, Train
from harness.registry import build_method
from harness.specs.library import Library, merge_params

LIBRARY = Library()
CPU = torch.device("cpu")


def build(name: str, setting: Setting, **change: Any) -> Dictionary:
    """Return an unfitted method with some of its parameters changed."""
    found = LIBRARY.method(name)
    method: Dictionary = build_method(found, merge_params(found.spec.params, change, "test", name), setting)
    return method


def fit(method: Dictionary, x_ND: Tensor, passes: int, val_ND: Tensor | None = None) -> Dictionary:
    """Fit on rows in memory; validation is the train split where none is given."""
    val = ArrayActivations(x_ND if val_ND is None else val_ND)
    method.fit(Train(ArrayActivations(x_ND), val, passes, CPU))
    return method


def fitted(name: str, x_ND: Tensor, setting: Setting, passes: int, **change: Any) -> Dictionary:
    """Build and fit."""
    return fit(build(name, setting, **change), x_ND, passes)


def codes(method: Dictionary, x_ND: Tensor) -> Tensor:
    """Return codes of rows of one document, without gradient."""
    with torch.no_grad():
        return method.encode(x_ND, torch.zeros(len(x_ND), dtype=torch.int64))


def reconstruction(method: Dictionary, x_ND: Tensor) -> Tensor:
    """Return reconstructions, without gradient."""
    with torch.no_grad():
        return method.decode(codes(method, x_ND))


def fvu(method: Dictionary, x_ND: Tensor) -> float:
    """Return the fraction of variance unexplained."""
    x_ND, xhat_ND = x_ND.double(), reconstruction(method, x_ND).double()
    return float((x_ND - xhat_ND).square().sum() / (x_ND - x_ND.mean(0)).square().sum())


def rrb(method: Dictionary, x_ND: Tensor) -> float:
    """Return the relative reconstruction bias about the mean."""
    xhat_ND = reconstruction(method, x_ND)
    return float(xhat_ND.square().sum() / (x_ND * xhat_ND).sum())


def l0(method: Dictionary, x_ND: Tensor) -> float:
    """Return mean active latents a row."""
    return float((codes(method, x_ND) != 0).sum()) / len(x_ND)


def orthogonal(rows: int, features: int, active: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return rows with exactly ``active`` of ``features`` orthogonal directions on, and the directions ``[G, D]``."""
    generator = torch.Generator().manual_seed(seed)
    direction_GD = torch.linalg.qr(torch.randn(features, features, generator=generator)).Q
    on_NG = torch.rand(rows, features, generator=generator).topk(active, dim=1).indices
    size_NG = (1 + 0.25 * torch.randn(rows, active, generator=generator)).abs()
    return torch.zeros(rows, features).scatter(1, on_NG, size_NG) @ direction_GD, direction_GD


def superposed(rows: int, width: int, seed: int = 0) -> Tensor:
    """Return sparse sums of four times as many directions as there is width, about a mean, with a little noise."""
    world = torch.Generator().manual_seed(0)
    direction_GD = torch.nn.functional.normalize(torch.randn(4 * width, width, generator=world), dim=1)
    mean_D = torch.randn(width, generator=world)
    generator = torch.Generator().manual_seed(seed)
    rate_G = torch.logspace(-0.7, -2.3, 4 * width)
    on_NG = torch.rand(rows, 4 * width, generator=generator) < rate_G
    size_NG = (1 + 0.25 * torch.randn(rows, 4 * width, generator=generator)).abs()
    return (on_NG * size_NG) @ direction_GD + mean_D + 0.05 * torch.randn(rows, width, generator=generator)


def mcc(truth_GD: Tensor, rows_FD: Tensor) -> float:
    """Return the mean |cos| over the best one-to-one matching."""
    truth_GD, rows_FD = (torch.nn.functional.normalize(t, dim=1) for t in (truth_GD, rows_FD))
    cosine_GF = (truth_GD @ rows_FD.T).abs().numpy()
    return float(cosine_GF[linear_sum_assignment(-cosine_GF)].mean())


def uses(of: Method) -> dict[str, Method]:
    """Return what a derived control is built on."""
    return {"of": of}
