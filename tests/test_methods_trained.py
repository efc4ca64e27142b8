"""What every trained variant has to hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from harness.methods.jumprelu import jump
from harness.methods.matryoshka import nested_error
from torch import Tensor
from worlds import LIBRARY, build, codes, fit, fitted, fvu, l0, mcc, orthogonal, reconstruction, rrb, superposed

from harness.api import ArrayActivations, Setting, Train
from harness.errors import CellError
from harness.methods import gated
from harness.training.autoencoder import Autoencoder
from harness.training.loop import Moment
from harness.training.threshold import calibrate

SETTING = Setting(width=16, latents=48, l0=4, seed=0)
MOMENT = Moment(1, 10**6)  # so long a run that nothing counts as dead


def trained(name: str) -> bool:
    method = build(name, SETTING)
    return isinstance(method, Autoencoder) and all(parameter.requires_grad for parameter in method.parameters())


SPECS = {name: LIBRARY.method(name).spec for name in LIBRARY.names("methods")}
DICTIONARIES = [name for name, spec in SPECS.items() if spec.kind == "dictionary" and not spec.derived]
TRAINED = [name for name in DICTIONARIES if trained(name)]
STEERED = [name for name in TRAINED if "phases" not in LIBRARY.method(name).spec.params]
# what its schedule asks for is a slow fit at an L0 that nobody chose; here it has to fit
HURRIED: dict[str, dict[str, Any]] = {
    "relu_l1_sched": {"multiple": 0.1, "optim": {"batch": 64, "lr": 3e-3, "drop_to": 1.0, "decay": 0.2}}
}


def test_all_trained_dictionaries_are_tested() -> None:
    assert {"topk", "batchtopk", "matryoshka", "gated", "jumprelu"} < set(STEERED)
    assert {"relu_l1", "relu_l1_unit", "relu_l1_sched"} < set(TRAINED)


def small(name: str, **optim: Any) -> dict[str, Any]:
    return {"optim": {"batch": 128, **optim}}


def toy(name: str) -> tuple[Autoencoder, Tensor]:
    """A dictionary of 6 latents on 4 dimensions in float64, away from every kink."""
    method = build(name, Setting(4, 6, 2, 0))
    assert isinstance(method, Autoencoder)
    method.spread = 1.0
    generator = torch.Generator().manual_seed(1)
    x_ND = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    method.begin(Train(ArrayActivations(x_ND), ArrayActivations(x_ND), 1, torch.device("cpu")))
    method = method.double()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    if hasattr(method, "bandwidth"):
        method.bandwidth *= 5  # else hardly a value would lie in the kernel
    if hasattr(method, "control"):
        method.control = lambda l0, moment: 0.7
    return method, x_ND


Weights = dict[str, Tensor]


def gated_objective(x_ND: Tensor, live: Weights, held: Weights) -> Tensor:
    """The objective of arXiv 2404.16014, row by row; ``held`` stands for what is cut from the gradient."""
    total = torch.zeros((), dtype=x_ND.dtype)
    for x_D in x_ND:
        project_F = live["W_enc"] @ (x_D - live["b_dec"])
        gate_F = project_F + live["b_enc"]
        code_F = (gate_F > 0) * (live["log_gain"].exp() * project_F + live["b_mag"]).relu()
        total += (x_D - code_F @ live["W_dec"] - live["b_dec"]).square().sum() + 0.7 * gate_F.relu().sum()
        total += (x_D - gate_F.relu() @ held["W_dec"] - held["b_dec"]).square().sum()
    return total / len(x_ND)


def theta_gradient(method: Any, x_ND: Tensor) -> Tensor:
    """The pseudo-derivative of arXiv 2407.14435 in ``log_theta``, entry by entry."""
    gradient_F = torch.zeros(6, dtype=torch.float64)
    theta_F, width = method.theta_F().detach(), method.bandwidth
    with torch.no_grad():
        pre_NF = (x_ND - method.b_dec) @ method.W_enc.T + method.b_enc
        error_ND = (pre_NF * (pre_NF > theta_F)) @ method.W_dec + method.b_dec - x_ND
        for n, f in ((n, f) for n in range(len(x_ND)) for f in range(6)):
            if abs(pre_NF[n, f] - theta_F[f]) < width / 2:
                dvalue = 2 * error_ND[n] @ method.W_dec[f] / len(x_ND)
                dtheta = -theta_F[f] / width * dvalue - (0.7 - method.free) / len(x_ND) / width
                gradient_F[f] += dtheta * theta_F[f] * method.params.speed
    return gradient_F


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
    live = {key: parameter.detach() for key, parameter in method.named_parameters()}
    held = {key: value.clone() for key, value in live.items()}
    for key, parameter in method.named_parameters():
        flat, gradient = live[key].view(-1), parameter.grad.view(-1)
        if key == "log_theta":  # a step has no slope
            assert gradient.count_nonzero() >= 3
            torch.testing.assert_close(gradient, theta_gradient(method, x_ND))
            continue
        for i in range(len(flat)):
            if name == "gated":
                expected = slope(lambda: gated_objective(x_ND, live, held), flat[i])
            else:
                expected = slope(lambda: method.loss(x_ND, MOMENT).detach(), flat[i])
            assert float(gradient[i]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in TRAINED if hasattr(build(name, SETTING), "coder")])
def test_whole_and_listed_codes_have_one_gradient(name: str) -> None:
    gradients = []
    for share in (1.0, 0.0):
        method, x_ND = toy(name)
        method.coder.share = share
        method.loss(x_ND, MOMENT).backward()
        gradients.append([parameter.grad for parameter in method.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=1e-10)


def test_the_kernel_reaches_both_sides_of_the_threshold() -> None:
    """Fed the value after the jump, the step would not see what lies below."""
    theta_E = torch.full((4,), 1.0, requires_grad=True)
    excess_E = torch.tensor([-0.3, -0.2, 0.2, 0.3], requires_grad=True)
    value_E, on_E = jump(excess_E, theta_E, 0.5)
    torch.testing.assert_close(value_E, torch.tensor([0.0, 0.0, 1.2, 1.3]))
    on_E.sum().backward(retain_graph=True)
    torch.testing.assert_close(theta_E.grad, torch.tensor([0.0, -2.0, -2.0, 0.0]))
    assert excess_E.grad is not None
    assert not excess_E.grad.any()
    value_E.sum().backward()
    torch.testing.assert_close(excess_E.grad, torch.tensor([0.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(theta_E.grad, torch.tensor([0.0, -4.0, -4.0, 0.0]))


@pytest.mark.parametrize("shape", [(7, 12), (12,), (0,)], ids=["whole", "listed", "no entry"])
@pytest.mark.parametrize("looped", [True, False], ids=["compiled", "array operators"])
def test_gates_are_the_plain_expression(shape: tuple[int, ...], looped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gated, "is_compiled", lambda _: looped)
    generator = torch.Generator().manual_seed(0)
    given = [
        torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_()
        for s in (shape, shape[-1:], shape[-1:])
    ]

    def plain(pre: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return pre.relu(), (pre > 0) * (gain * pre + shift).relu(), pre.relu().sum_to_size(gain.shape)

    found, expected = gated.gates(*given), plain(*given)
    assert found.on == int(expected[1].count_nonzero())
    weights = [torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in expected]
    torch.testing.assert_close(tuple(found[:3]), expected)
    torch.testing.assert_close(
        torch.autograd.grad(found[:3], given, weights), torch.autograd.grad(expected, given, weights)
    )


def test_matryoshka_is_the_mean_over_prefixes() -> None:
    method, x_ND = toy("matryoshka")
    with torch.no_grad():
        pre_NF = (x_ND - method.b_dec) @ method.W_enc.T + method.b_enc
        kept_NF = pre_NF * (pre_NF >= pre_NF.flatten().topk(16).values[-1])
        ends = [1, 3, 6]  # of 6 latents: shares 1/32, 3/32, 7/32, 15/32, 1, the first three rounded to one
        expected = [
            (x_ND - method.b_dec - kept_NF[:, :end] @ method.W_dec[:end]).square().sum() / len(x_ND) for end in ends
        ]
    assert list(method.ends) == ends
    torch.testing.assert_close(method.loss(x_ND, MOMENT).detach(), sum(expected) / 3)


@pytest.mark.parametrize("looped", [True, False], ids=["compiled", "array operators"])
def test_gates_let_through_what_is_not_a_number(looped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gated, "is_compiled", lambda _: looped)
    found = gated.gates(torch.tensor([torch.nan, 1.0]), torch.ones(2), torch.zeros(2))
    assert found.gate.isnan().tolist() == found.value.isnan().tolist() == [True, False]


def test_nested_error_has_autograds_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    part_PBD = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    start_BD = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    plain_PBD = start_BD + part_PBD.cumsum(0)
    error, left_BD = nested_error(part_PBD.clone(), start_BD)  # it works in the memory it is given
    torch.testing.assert_close(error, plain_PBD.square().sum() / 5)
    torch.testing.assert_close(left_BD, plain_PBD[-1].detach())
    found, expected = (
        torch.autograd.grad(value, (part_PBD, start_BD)) for value in (error, plain_PBD.square().sum() / 5)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shares", [(), (0.5, 0.4), (1.2, -0.2)])
def test_matryoshka_refuses_groups_that_are_no_shares(shares: tuple[float, ...]) -> None:
    with pytest.raises(CellError, match="groups must be positive shares that add up to 1"):
        build("matryoshka", SETTING, groups=shares)


@pytest.mark.parametrize("name", TRAINED)
def test_overfits_64_points(name: str) -> None:
    x_ND = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)) + 1
    change = HURRIED.get(name, {"optim": {"batch": 64}})
    method = fitted(name, x_ND, replace(SETTING, latents=128, l0=8), 600, **change)
    assert fvu(method, x_ND) < 0.02


@pytest.mark.parametrize("name", ["topk", "batchtopk", "matryoshka"])
def test_finds_orthogonal_directions(name: str) -> None:
    x_ND, truth_GD = orthogonal(8192, features=64, active=4)
    method = fitted(name, x_ND, Setting(64, 64, 4, 0), 20, optim={"batch": 256})
    assert mcc(truth_GD, method.directions()) > 0.9


@pytest.mark.parametrize("name", ["relu_l1", "relu_l1_unit"])
def test_an_l1_penalty_shrinks(name: str) -> None:
    x_ND, _ = orthogonal(8192, features=64, active=4)
    method = fitted(name, x_ND, Setting(64, 64, 4, 0), 20)
    assert rrb(method, x_ND) < 0.98
    assert l0(method, x_ND) == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("name", ["gated", "jumprelu"])
def test_a_gate_does_not_shrink(name: str) -> None:
    x_ND, _ = orthogonal(8192, features=64, active=4)
    method = fitted(name, x_ND, Setting(64, 64, 4, 0), 20)
    assert rrb(method, x_ND) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("name", STEERED)
def test_l0_of_inference_is_that_of_training(name: str) -> None:
    """On tokens of the same distribution that no step of the fit has seen."""
    method = build(name, Setting(32, 128, 6, 0))
    fit(method, superposed(6000, 32, seed=1), 8, superposed(2000, 32, seed=2))
    assert l0(method, superposed(4000, 32, seed=3)) == pytest.approx(6, rel=0.05)
    assert method.summary()["val_l0"] == pytest.approx(6, rel=0.05)


def test_a_fixed_schedule_says_which_l0_it_led_to() -> None:
    method = build("relu_l1_sched", Setting(32, 128, 6, 0))
    fit(method, superposed(6000, 32, seed=1), 8, superposed(2000, 32, seed=2))
    reached = l0(method, superposed(4000, 32, seed=3))
    assert reached > 2 * 6
    assert method.summary()["train_l0"] == pytest.approx(reached, rel=0.05)


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


@pytest.mark.parametrize("name", ["batchtopk", "matryoshka", "jumprelu"])
def test_refuses_to_encode_without_threshold(name: str) -> None:
    with pytest.raises(CellError, match="threshold is not set"):
        codes(build(name, SETTING), torch.zeros(1, 16))


@pytest.mark.parametrize("share", [0.25, 0.9, 1.5])
def test_jumprelu_does_not_force_an_l0_far_above_what_was_reached(share: float) -> None:
    """It ends a fit as if training had reached ``share`` of the target."""
    method, x_ND = build("jumprelu", replace(SETTING, l0=12)), superposed(1000, 16)
    rows = ArrayActivations(x_ND)
    assert isinstance(method, Autoencoder)
    method.begin(Train(rows, rows, 1, torch.device("cpu")))
    with torch.no_grad():
        theta = calibrate(method.pre_activation_chunks(rows), round(12 * share), 1000)
        method.log_theta.fill_(math.log(theta) / method.params.speed)
        method.finish(Train(rows, rows, 1, torch.device("cpu")))
    assert l0(method, x_ND) == pytest.approx(min(12, math.ceil(1.25 * 12 * share)), rel=0.01)


def test_topk_rows_stay_at_norm_1_and_relu_rows_are_free() -> None:
    x_ND = superposed(512, 16)
    topk, relu = (fitted(name, x_ND, SETTING, 4, **small(name)) for name in ("topk", "relu_l1"))
    torch.testing.assert_close(topk.W_dec.detach().norm(dim=1), torch.ones(48))
    assert float(relu.W_dec.detach().norm(dim=1).std()) > 0.01


def test_a_learning_rate_that_explodes_is_reported() -> None:
    with pytest.raises(CellError, match="the loss is"):
        fitted("topk", superposed(512, 16), SETTING, 4, optim={"lr": 1e30, "batch": 32})
