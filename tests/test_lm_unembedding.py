"""Projection onto a task's vocabulary: it stays a distribution, and can only hide a difference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from harness.errors import UserError
from harness.lm.loading import LoadOptions, load_model
from harness.lm.unembedding import Classes, ModelEnd, check_top
from harness.training.distil import divergence

TOKENS = 12
logits = arrays("float64", (3, TOKENS), elements=st.floats(-20, 20))
kept = st.sets(st.integers(0, TOKENS - 1), min_size=1, max_size=TOKENS - 1)


def some(ids: set[int]) -> Classes:
    return Classes(TOKENS, torch.tensor(sorted(ids)))


@given(logits, kept)
def test_a_projection_is_a_distribution_and_other_has_the_rest(logits_NV: object, ids: set[int]) -> None:
    z_NV = torch.as_tensor(logits_NV)
    p_NV, all_NV = some(ids).logp(z_NV).exp(), z_NV.softmax(1)
    assert p_NV.shape == (3, len(ids) + 1)
    torch.testing.assert_close(p_NV[:, :-1], all_NV[:, sorted(ids)])
    rest = sorted(set(range(TOKENS)) - ids)
    torch.testing.assert_close(p_NV[:, -1], all_NV[:, rest].sum(1))


@given(logits, logits, kept)
def test_a_projection_never_raises_a_divergence(p: object, q: object, ids: set[int]) -> None:
    classes, whole = some(ids), Classes(TOKENS, None)
    p_NV, q_NV = torch.as_tensor(p), torch.as_tensor(q)
    projected_N = divergence(classes.logp(p_NV), classes.logp(q_NV))
    full_N = divergence(whole.logp(p_NV), whole.logp(q_NV))
    assert bool((projected_N <= full_N + 1e-9).all())
    assert bool((projected_N >= -1e-9).all())
    assert divergence(classes.logp(p_NV), classes.logp(p_NV)).tolist() == [0.0] * 3


def test_the_most_frequent_are_kept_and_of_equals_the_lowest() -> None:
    classes = Classes.most_frequent(9, 3, torch.tensor([7, 7, 5, 2, 5, 8, 7]))
    assert classes.kept_K is not None
    assert classes.kept_K.tolist() == [2, 5, 7]
    assert classes.count == 4
    assert classes.of(torch.tensor([7, 8, 2, -1, 0])).tolist() == [2, 3, 0, -1, 3]
    assert Classes(9, None).of(torch.tensor([8, -1])).tolist() == [8, -1]


def test_a_vocabulary_of_all_tokens_is_no_vocabulary() -> None:
    with pytest.raises(UserError, match="top is 9, and the vocabulary of model 'm' holds 9 tokens"):
        check_top(9, 9, "m")


def test_the_end_of_a_model_is_its_own_norm_and_head_and_lets_gradients_through() -> None:
    model = load_model("tiny-random", LoadOptions(device="cpu"))
    network = model.network
    x_ND = torch.randn(5, model.info.width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    end = ModelEnd(model, Classes(model.info.vocab, torch.tensor([3, 40, 41])))

    def plain(x_ND: Tensor) -> Tensor:
        p_NV = network.lm_head(network.model.norm(x_ND)).softmax(1)
        return torch.cat([p_NV[:, [3, 40, 41]], 1 - p_NV[:, [3, 40, 41]].sum(1, keepdim=True)], dim=1).log()

    torch.testing.assert_close(end.logp(x_ND), plain(x_ND))
    (ours_ND,) = torch.autograd.grad(end.logp(x_ND)[:, 1].sum(), x_ND)
    (theirs_ND,) = torch.autograd.grad(plain(x_ND)[:, 1].sum(), x_ND)
    torch.testing.assert_close(ours_ND, theirs_ND)
    assert all(weight.grad is None for weight in network.parameters())
