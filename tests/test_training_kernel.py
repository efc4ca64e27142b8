"""Selection and the sparse kernel against dense torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness.errors import CellError
from harness.training import active as selection
from harness.training import kernel
from harness.training.active import Active, above, batch_top_k, positive, top_k
from harness.training.kernel import Encoder, Scratch, decode, encode, latent_sums


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dense(active: Active, pre_NF: Tensor) -> Tensor:
    return active.place(active.pick(pre_NF))


@pytest.mark.parametrize(("n", "latents", "k"), [(7, 12, 3), (33, 576, 8), (16, 4608, 32), (5, 97, 4), (3, 8, 8)])
def test_top_k_is_torchs(n: int, latents: int, k: int) -> None:
    pre_NF = normal(n, latents)
    expected = pre_NF.topk(k, dim=1)
    assert torch.equal(dense(top_k(pre_NF, k), pre_NF), torch.zeros(n, latents).scatter(1, *reversed(expected)))


def test_top_k_of_equal_values_keeps_k_different_latents() -> None:
    active = top_k(torch.zeros(4, 4608), 32)
    rows = active.latent_E.view(4, 32).sort(1).values
    assert (rows[:, 1:] > rows[:, :-1]).all()


def test_top_k_of_correlated_columns_and_of_nan() -> None:
    pre_NF = normal(64, 12).repeat_interleave(384, 1) + 1e-3 * normal(64, 4608, seed=1)  # whole groups are large
    expected = pre_NF.topk(32, dim=1).values.sort(1).values
    assert torch.equal(pre_NF.gather(1, top_k(pre_NF, 32).latent_E.view(64, 32)).sort(1).values, expected)
    assert top_k(torch.full((2, 4608), torch.nan), 32).entries == 64


def test_top_k_of_more_latents_than_there_are_is_refused() -> None:
    with pytest.raises(CellError, match="k = 9 exceeds the 8 latents"):
        top_k(torch.zeros(2, 8), 9)


@pytest.mark.parametrize(("latents", "k"), [(4608, 32), (64, 32), (97, 4), (8, 8)])
def test_groups_hold_at_least_k_and_at_most_the_latents(latents: int, k: int) -> None:
    assert k <= selection._groups(latents, k) <= latents


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_selection_does_not_depend_on_threads_or_type(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pre_NF = normal(37, 120)
    expected = dense(top_k(pre_NF, 5), pre_NF), dense(batch_top_k(pre_NF, 5, 1.0), pre_NF)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for dtype in (torch.float32, torch.float64):
        typed_NF = pre_NF.to(dtype)
        assert torch.equal(dense(top_k(typed_NF, 5), typed_NF).float(), expected[0])
        assert torch.equal(dense(batch_top_k(typed_NF, 5, 1.0), typed_NF).float(), expected[1])


def test_array_operators_select_what_compiled_loops_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pre_NF = normal(37, 120)
    selections = (
        lambda: top_k(pre_NF, 5),
        lambda: batch_top_k(pre_NF, 5, 1.0),
        lambda: batch_top_k(pre_NF, 90, 1.0),
        lambda: above(pre_NF, 0.3),
        lambda: positive(pre_NF),
    )
    compiled = [dense(select(), pre_NF) for select in selections]
    assert selection.count_above(pre_NF, 0.3) == int((pre_NF > 0.3).sum())
    kth_N1 = selection.kth_largest(pre_NF, 7)
    monkeypatch.setattr(selection, "is_compiled", lambda _: False)
    for select, expected in zip(selections, compiled, strict=True):
        assert torch.equal(dense(select(), pre_NF), expected)
    assert torch.equal(selection.kth_largest(pre_NF, 7), kth_N1)
    assert selection.count_above(pre_NF, 0.3) == above(pre_NF, 0.3).entries
    assert torch.equal(kth_N1[:, 0], pre_NF.sort(1, descending=True).values[:, 6])


@pytest.mark.parametrize("guess", [float("nan"), 0.0, 0.5, 2.0, 1e6])
def test_batch_top_k_keeps_the_largest_whatever_the_guess(guess: float) -> None:
    pre_NF = normal(40, 64)
    bound = pre_NF.flatten().kthvalue(40 * 64 - 200).values
    expected = torch.where(pre_NF > bound, pre_NF, 0.0)
    assert torch.equal(dense(batch_top_k(pre_NF, 5, guess), pre_NF), expected)


def test_batch_top_k_keeps_positive_entries_only() -> None:
    pre_NF = torch.tensor([[1.0, -1.0, 0.0, 2.0], [-3.0, -1.0, 0.5, -2.0]])
    assert batch_top_k(pre_NF, 3, 0.0).entries == 3


def test_batch_top_k_of_ties_keeps_exactly_k_a_row() -> None:
    assert batch_top_k(torch.ones(6, 16), 2, 0.5).entries == 12


def test_masks_become_entries_in_row_order() -> None:
    pre_NF = normal(9, 24)
    pre_NF[4] = -1.0  # a row without entries
    for active, expected in ((positive(pre_NF), pre_NF > 0), (above(pre_NF, 0.7), pre_NF > 0.7)):
        assert torch.equal(active.row_E, expected.nonzero()[:, 0])
        assert torch.equal(active.place(torch.ones(active.entries)) > 0, expected)
    assert positive(torch.ones(0, 5)).entries == 0


def test_order_by_latent_covers_every_entry_once() -> None:
    active = positive(normal(20, 16))
    order = active.by_latent
    assert torch.equal(order.order_E.sort().values, torch.arange(active.entries))
    assert (active.latent_E[order.order_E].diff() >= 0).all()
    assert torch.equal(order.row_E, active.row_E[order.order_E])


def plain(x_ND: Tensor, weights: list[Tensor], mask_NF: Tensor) -> Tensor:
    W_enc_FD, b_enc_F, W_dec_FD, b_dec_D = weights
    pre_NF = (x_ND - b_dec_D) @ W_enc_FD.T + b_enc_F
    return (pre_NF * mask_NF).relu() @ W_dec_FD + b_dec_D


def parameters(latents: int, width: int) -> list[Tensor]:
    shapes = [(latents, width), (latents,), (latents, width), (width,)]
    return [normal(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("share", [0.0, 2.0], ids=["dense", "sparse"])
@pytest.mark.parametrize("pick", ["top_k", "positive", "nothing"])
def test_kernel_equals_dense_autograd(share: float, pick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "DENSE_SHARE", share)
    select = {"top_k": lambda p: top_k(p, 6), "positive": positive, "nothing": lambda p: above(p, 1e9)}[pick]
    x_ND, target_ND = normal(24, 12, seed=9), normal(24, 12, seed=10)
    fast, slow = parameters(40, 12), parameters(40, 12)
    active, pre_E = encode(Encoder(fast[0], fast[1], fast[3]), x_ND, select, Scratch())
    xhat_ND = decode(active, pre_E.relu(), fast[2], fast[3])
    expected_ND = plain(x_ND, slow, active.place(torch.ones(active.entries)))
    torch.testing.assert_close(xhat_ND, expected_ND, atol=1e-5, rtol=1e-5)
    (xhat_ND - target_ND).square().mean().backward()
    (expected_ND - target_ND).square().mean().backward()
    for got, want in zip(fast, slow, strict=True):
        torch.testing.assert_close(got.grad, want.grad, atol=1e-5, rtol=1e-5)


def test_encoder_without_centre() -> None:
    W_FD, bias_F, _, _ = parameters(8, 4)
    x_ND = normal(5, 4, seed=3)
    active, pre_E = encode(Encoder(W_FD, bias_F, None), x_ND, positive, Scratch())
    pre_E.sum().backward()
    torch.testing.assert_close(active.place(pre_E.detach()), (x_ND @ W_FD.T + bias_F).relu().detach())
    torch.testing.assert_close(bias_F.grad, latent_sums(active, torch.ones(active.entries)))


def test_scratch_is_used_again_and_grows() -> None:
    scratch, like = Scratch(), torch.zeros(1)
    first = scratch.empty("pre", 4, 10, like)
    assert scratch.empty("pre", 2, 10, like).data_ptr() == first.data_ptr()
    assert scratch.empty("x", 2, 10, like).data_ptr() != first.data_ptr()
    assert scratch.empty("pre", 8, 10, like).shape == (8, 10)
    assert scratch.empty("pre", 8, 10, like.double()).dtype == torch.float64
