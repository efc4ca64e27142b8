"""Resampling: when it happens, to which latents, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from worlds import build, codes, fit, superposed

from harness.api import Dictionary, Setting
from harness.training.kernel import Encoder
from harness.training.loop import Moment
from harness.training.resample import Resample, Resampling

PARAMS = Resample(every=0.1, until=0.8, window=0.1, strength=0.2, batches=2)
DEAD = torch.tensor([3, 5])


class Weights(nn.Module):
    """Eight latents on four dimensions."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.W_enc = nn.Parameter(torch.randn(8, 4, generator=generator))
        self.b_enc = nn.Parameter(torch.ones(8))
        self.W_dec = nn.Parameter(normalize(torch.randn(8, 4, generator=generator), dim=1))
        self.centre_D = torch.full((4,), 0.5)

    def encoder(self) -> Encoder:
        return Encoder(self.W_enc, self.b_enc, self.centre_D)


def stepped(weights: Weights) -> torch.optim.Adam:
    """An optimiser that remembers a gradient of every parameter."""
    adam = torch.optim.Adam(weights.parameters(), lr=1e-9)
    for parameter in weights.parameters():
        parameter.grad = torch.ones_like(parameter)
    adam.step()
    return adam


def run(rule: Resampling, adam: torch.optim.Adam, steps: range, x_BD: Tensor, loss_B: Tensor) -> list[int]:
    """Let time pass, ``DEAD`` being silent; return the steps at which something was renewed."""
    sum_F = torch.ones(8).index_fill(0, DEAD, 0.0)
    renewed = []
    for step in steps:
        rule.see(sum_F, x_BD, loss_B)
        before = rule.renewed
        rule.after(Moment(step, 100), adam)
        if rule.renewed > before:
            renewed.append(step)
    return renewed


def test_never_at_the_first_step_nor_in_the_last_fifth() -> None:
    weights = Weights()
    rule = Resampling(PARAMS, weights, seed=0)
    renewed = run(rule, stepped(weights), range(100), torch.randn(6, 4), torch.ones(6))
    assert renewed == [9, 19, 29, 39, 49, 59, 69, 79]
    eager = Resampling(replace(PARAMS, every=1e-9, window=0.0), weights, seed=0)
    assert run(eager, stepped(weights), range(1), torch.randn(6, 4), torch.ones(6)) == []


def test_a_short_silence_is_not_death() -> None:
    weights = Weights()
    rule = Resampling(replace(PARAMS, window=0.35), weights, seed=0)
    # dead at step 39 only after 35 silent steps, and again 40 steps later
    assert run(rule, stepped(weights), range(100), torch.randn(6, 4), torch.ones(6)) == [39, 79]


def test_dead_rows_become_centred_inputs_and_the_rest_stays() -> None:
    weights = Weights()
    before = {name: parameter.detach().clone() for name, parameter in weights.named_parameters()}
    adam = stepped(weights)
    x_BD = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    loss_B = torch.tensor([0.0, 0.0, 5.0, 0.0, 5.0, 0.0])
    run(Resampling(replace(PARAMS, batches=1), weights, seed=0), adam, range(10), x_BD, loss_B)
    drawn_KD = normalize(x_BD[[2, 4]] - weights.centre_D, dim=1)
    found_KD = weights.W_dec.detach()[DEAD]
    torch.testing.assert_close(found_KD.sort(0).values, drawn_KD.sort(0).values)
    living = torch.tensor([0, 1, 2, 4, 6, 7])
    norm = before["W_enc"][living].norm(dim=1).mean()
    torch.testing.assert_close(weights.W_enc.detach()[DEAD], 0.2 * norm * found_KD)
    assert weights.b_enc.detach()[DEAD].tolist() == [0.0, 0.0]
    for name, parameter in weights.named_parameters():
        torch.testing.assert_close(parameter.detach()[living], before[name][living])
        for moment in ("exp_avg", "exp_avg_sq"):
            remembered = adam.state[parameter][moment]
            assert not remembered[DEAD].any()
            assert remembered[living].all()


def test_probability_is_proportional_to_squared_loss() -> None:
    rule = Resampling(PARAMS, Weights(), seed=0)
    rule.recent.append((torch.eye(4), torch.tensor([1.0, 2.0, 3.0, 0.0])))
    share_4 = rule._draw(20_000).mean(0)
    torch.testing.assert_close(share_4, torch.tensor([1.0, 4.0, 9.0, 0.0]) / 14, atol=0.01, rtol=0)


def silent_latents(name: str, **resample: float) -> tuple[int, Dictionary]:
    """Fit a dictionary half of whose latents start where nothing reaches them."""
    method = build(name, Setting(16, 64, 8, 0), resample=resample, optim={"batch": 64})
    with torch.no_grad():
        method.b_enc[32:] = -100.0
    x_ND = superposed(2048, 16)
    fit(method, x_ND, 12)
    return int((codes(method, x_ND) == 0).all(0).sum()), method


@pytest.mark.parametrize("name", ["relu_l1_unit", "relu_l1_sched"])
def test_a_fit_renews_its_dead_latents(name: str) -> None:
    silent, method = silent_latents(name)
    assert method.summary()["renewed"] >= 32
    assert (method.b_enc > -50).all()
    left, method = silent_latents(name, until=0.0)
    assert method.summary()["renewed"] == 0
    assert left >= 32
    assert silent < left  # some that return die again: the penalty that reaches this L0 is strong
