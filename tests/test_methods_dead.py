"""Dead latents: they are noticed and revived, on constants rescaled to the run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from worlds import build, codes, fit, superposed

from harness.api import Dictionary, Setting
from harness.training.active import top_k
from harness.training.dead import Silence, auxk_loss
from harness.training.kernel import Encoder

SETTING = Setting(width=16, latents=64, l0=4, seed=0)


def test_silence_counts_steps_since_a_positive_value() -> None:
    silence = Silence(4, torch.device("cpu"))
    active = top_k(torch.tensor([[3.0, 2.0, 1.0, 0.0]]), 2)
    for _ in range(3):
        silence.see(active, torch.tensor([1.0, 0.0]))  # the second entry is clipped at 0
    assert silence.steps_F.tolist() == [0, 3, 3, 3]
    assert silence.dead_K(window=0.5, steps=6).tolist() == [1, 2, 3]
    assert silence.dead_K(window=0.5, steps=8).tolist() == []


def toy() -> tuple[SimpleNamespace, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    W_enc, W_dec = (torch.randn(6, 4, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2))
    b_enc = torch.randn(6, generator=generator, dtype=torch.float64).requires_grad_()
    weights = SimpleNamespace(W_dec=W_dec, encoder=lambda: Encoder(W_enc, b_enc, None), all=(W_enc, b_enc, W_dec))
    x_ND, error_ND = (torch.randn(8, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    return weights, x_ND, error_ND


@pytest.mark.parametrize("k", [2, 5])
def test_auxk_gradient_equals_finite_differences_and_reaches_dead_rows_only(k: int) -> None:
    weights, x_ND, error_ND = toy()
    dead_K = torch.tensor([1, 3, 4])

    def value() -> Tensor:
        return auxk_loss(weights, dead_K, x_ND, error_ND, k)

    value().backward()
    for parameter in weights.all:
        flat, gradient = parameter.detach().view(-1), parameter.grad.view(-1)
        for i in range(len(flat)):
            flat[i] += 1e-6
            up = float(value().detach())
            flat[i] -= 2e-6
            down = float(value().detach())
            flat[i] += 1e-6
            assert float(gradient[i]) == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-7)
        assert (parameter.grad[torch.tensor([0, 2, 5])] == 0).all()


def silent_latents(**aux: float) -> tuple[int, Dictionary]:
    """Fit a dictionary half of whose latents start so weak that they are never among the k largest."""
    method = build("topk", SETTING, aux=aux, optim={"batch": 64})
    with torch.no_grad():
        method.W_enc[32:] *= 0.05
    x_ND = superposed(2048, 16)
    fit(method, x_ND, 12)
    return int((codes(method, x_ND) == 0).all(0).sum()), method


def test_auxk_fires_and_revives_in_a_short_run() -> None:
    silent, method = silent_latents()
    assert method.summary()["dead_at_worst"] >= 24
    assert silent < 8


def test_auxk_with_the_papers_window_never_fires_in_a_short_run() -> None:
    silent, method = silent_latents(window=1e7 / (12 * 2048))
    assert method.summary()["dead_at_worst"] == 0
    assert silent >= 24


def test_auxk_of_weight_0_revives_nothing() -> None:
    silent, _ = silent_latents(alpha=0.0)
    assert silent >= 24
