"""The tests methods.md 2.1 asks of every trained variant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from worlds import build, codes, fit, fitted, fvu, l0, mcc, orthogonal, reconstruction, rrb, superposed

from harness.api import ArrayActivations, Setting, Train
from harness.errors import CellError
from harness.training.autoencoder import Autoencoder
from harness.training.loop import Moment

TRAINED = ["topk", "batchtopk", "relu_l1"]
SETTING = Setting(width=16, latents=48, l0=4, seed=0)
MOMENT = Moment(1, 10**6)  # so long a run that nothing counts as dead


def small(name: str, **optim: Any) -> dict[str, Any]:
    return {"optim": {"batch": 128, **optim}}


def toy(name: str) -> tuple[Autoencoder, Tensor]:
    """A dictionary of 6 latents on 4 dimensions in float64, away from every kink."""
    method = build(name, Setting(4, 6, 2, 0))
    assert isinstance(method, Autoencoder)
    method = method.double()
    generator = torch.Generator().manual_seed(1)
    x_ND = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    method.begin(Train(ArrayActivations(x_ND), ArrayActivations(x_ND), 1, torch.device("cpu")))
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    if hasattr(method, "control"):
        method.control = lambda l0, moment: 0.7
    return method, x_ND


def slope(value: Callable[[], Tensor], entry: Tensor, step: float = 1e-6) -> float:
    """Central difference of ``value`` in one entry of a parameter."""
    with torch.no_grad():
        entry += step
        up = float(value())
        entry -= 2 * step
        down = float(value())
        entry += step
    return (up - down) / (2 * step)


@pytest.mark.parametrize("name", TRAINED)
def test_gradient_equals_finite_differences(name: str) -> None:
    method, x_ND = toy(name)
    method.loss(x_ND, MOMENT).backward()
    for parameter in method.parameters():
        flat, gradient = parameter.detach().view(-1), parameter.grad.view(-1)
        for i in range(len(flat)):
            expected = slope(lambda: method.loss(x_ND, MOMENT).detach(), flat[i])
            assert float(gradient[i]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", TRAINED)
def test_overfits_64_points(name: str) -> None:
    x_ND = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)) + 1
    method = fitted(name, x_ND, replace(SETTING, latents=128, l0=8), 600, optim={"batch": 64})
    assert fvu(method, x_ND) < 0.02


@pytest.mark.parametrize("name", ["topk", "batchtopk"])
def test_finds_orthogonal_directions(name: str) -> None:
    x_ND, truth_GD = orthogonal(8192, features=64, active=4)
    method = fitted(name, x_ND, Setting(64, 64, 4, 0), 20, optim={"batch": 256})
    assert mcc(truth_GD, method.directions()) > 0.9


def test_an_l1_penalty_shrinks() -> None:
    x_ND, _ = orthogonal(8192, features=64, active=4)
    method = fitted("relu_l1", x_ND, Setting(64, 64, 4, 0), 20)
    assert rrb(method, x_ND) < 0.98
    assert l0(method, x_ND) == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("name", TRAINED)
def test_l0_of_inference_is_that_of_training(name: str) -> None:
    """On tokens of the same distribution that no step of the fit has seen."""
    method = build(name, Setting(32, 128, 6, 0))
    fit(method, superposed(6000, 32, seed=1), 8, superposed(2000, 32, seed=2))
    assert l0(method, superposed(4000, 32, seed=3)) == pytest.approx(6, rel=0.05)
    assert method.summary()["val_l0"] == pytest.approx(6, rel=0.05)


@pytest.mark.parametrize("name", TRAINED)
def test_scaling_the_data_changes_nothing_but_units(name: str) -> None:
    x_ND = superposed(1024, 16)
    one = fitted(name, x_ND, SETTING, 4, **small(name))
    many = fitted(name, 64 * x_ND, SETTING, 4, **small(name))  # a power of two: rounding is the same
    assert fvu(many, 64 * x_ND) == pytest.approx(fvu(one, x_ND), abs=1e-5)
    torch.testing.assert_close(codes(many, 64 * x_ND), codes(one, x_ND), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(many.directions(), 64 * one.directions())


@pytest.mark.parametrize("name", TRAINED)
def test_folded_codes_are_in_raw_units(name: str) -> None:
    """A latent's share of the reconstruction is its code times its direction."""
    x_ND = superposed(512, 16)
    method = fitted(name, x_ND, SETTING, 2, **small(name))
    z_NF = codes(method, x_ND)
    bias_D = reconstruction(method, x_ND)[0] - z_NF[0] @ method.directions()
    torch.testing.assert_close(z_NF @ method.directions() + bias_D, reconstruction(method, x_ND), atol=1e-4, rtol=1e-4)


def test_topk_has_exactly_k_active_where_enough_are_positive() -> None:
    method = build("topk", SETTING)
    assert isinstance(method, Autoencoder)
    assert ((method.code(torch.rand(20, 48) + 1) > 0).sum(1) == 4).all()
    assert (method.code(-torch.rand(20, 48)) == 0).all()


def test_batchtopk_refuses_to_encode_without_threshold() -> None:
    with pytest.raises(CellError, match="threshold is not set"):
        codes(build("batchtopk", SETTING), torch.zeros(1, 16))


def test_topk_rows_stay_at_norm_1_and_relu_rows_are_free() -> None:
    x_ND = superposed(512, 16)
    topk, relu = (fitted(name, x_ND, SETTING, 4, **small(name)) for name in ("topk", "relu_l1"))
    torch.testing.assert_close(topk.W_dec.detach().norm(dim=1), torch.ones(48))
    assert float(relu.W_dec.detach().norm(dim=1).std()) > 0.01


def test_a_learning_rate_that_explodes_is_reported() -> None:
    with pytest.raises(CellError, match="the loss is"):
        fitted("topk", superposed(512, 16), SETTING, 4, optim={"lr": 1e30, "batch": 32})
