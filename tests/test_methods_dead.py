"""Dead latents: they are noticed and revived, on constants rescaled to the run."""

from __future__ import annotations

import pytest
import torch
from worlds import build, codes, fit, superposed

from harness.api import Dictionary, Setting
from harness.training.active import top_k
from harness.training.dead import DeadRows, Silence, auxk_loss
from harness.training.loop import Moment

SETTING = Setting(width=16, latents=64, l0=4, seed=0)


def test_silence_counts_steps_since_a_positive_value() -> None:
    silence = Silence(4, torch.device("cpu"))
    active = top_k(torch.tensor([[3.0, 2.0, 1.0, 0.0]]), 2)
    for _ in range(3):
        silence.see(active, torch.tensor([1.0, 0.0]))  # the second entry is clipped at 0
    assert silence.steps_F.tolist() == [0, 3, 3, 3]
    assert silence.dead_K(window=0.5, steps=6).tolist() == [1, 2, 3]
    assert silence.dead_K(window=0.5, steps=8).tolist() == []


@pytest.mark.parametrize("k", [2, 5])
def test_auxk_gradient_equals_finite_differences(k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (3,), (3, 4)]
    rows = [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]
    x_ND, error_ND = (torch.randn(8, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(lambda *rows: auxk_loss(DeadRows(*rows), x_ND, error_ND, k), rows)


def test_revival_moves_dead_rows_only() -> None:
    method = build("topk", SETTING)
    (revival, _) = method.begin(None)
    x_ND = superposed(64, 16)
    loss = method.loss(x_ND, Moment(0, 100))
    loss.backward()
    before = [parameter.grad.clone() for parameter in method.parameters()]
    dead_K = torch.tensor([3, 40])
    revival.silence.steps_F[dead_K] = 99
    revival.before(Moment(0, 100))
    for old, parameter in zip(before, method.parameters(), strict=True):
        moved = (parameter.grad != old).reshape(len(old), -1).any(1).nonzero().flatten().tolist()
        assert set(moved) <= set(dead_K.tolist())
        assert bool(moved) == (parameter is not method.b_dec)
    assert revival.summary() == {"dead_at_end": 2, "dead_at_worst": 2}


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
