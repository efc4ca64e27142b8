"""Rows are served by document, in shuffled batches, and with the statistics a method scales by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.api import ArrayActivations


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 25))
def test_reading_by_documents_gives_every_row_in_order_and_cuts_none(lengths: list[int], tokens: int) -> None:
    doc_N = torch.repeat_interleave(torch.arange(len(lengths)) * 7, torch.tensor(lengths))
    x_ND = torch.arange(len(doc_N) * 2, dtype=torch.float32).reshape(-1, 2)
    pieces = list(ArrayActivations(x_ND, doc_N).documents(tokens))
    assert torch.equal(torch.cat([x for x, _ in pieces]), x_ND)
    assert torch.equal(torch.cat([doc for _, doc in pieces]), doc_N)
    held = [set(doc.tolist()) for _, doc in pieces]
    assert sum(len(docs) for docs in held) == len(set().union(*held)), "a document is in two pieces"
    for (x, _), docs in zip(pieces, held, strict=True):
        assert len(x) <= tokens or len(docs) == 1


@given(st.integers(1, 40), st.integers(1, 45), st.integers(1, 3), st.integers(0, 5))
def test_every_pass_gives_each_row_at_most_once_and_drops_less_than_a_batch(
    rows: int, size: int, passes: int, seed: int
) -> None:
    activations = ArrayActivations(torch.arange(rows, dtype=torch.float32)[:, None])
    batches = [batch.flatten().tolist() for batch in activations.batches(size, passes, seed)]
    per_pass = max(rows // size, 1)
    assert len(batches) == passes * per_pass
    assert {len(batch) for batch in batches} == {min(size, rows)}
    for start in range(0, len(batches), per_pass):
        seen = [row for batch in batches[start : start + per_pass] for row in batch]
        assert len(seen) == len(set(seen)) > rows - size


def test_batches_are_the_seed_s_own_and_differ_between_passes() -> None:
    activations = ArrayActivations(torch.arange(64, dtype=torch.float32)[:, None])
    one, again, other = (torch.cat(list(activations.batches(64, 2, seed))) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one[:64], one[64:])


@given(st.integers(1, 50), st.integers(0, 3))
def test_mean_and_scale_are_those_of_numpy(rows: int, seed: int) -> None:
    x_ND = torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed)) * 100 + 3
    activations = ArrayActivations(x_ND, torch.arange(rows) // 4)
    exact = x_ND.numpy().astype(np.float64)
    np.testing.assert_allclose(activations.mean().numpy(), exact.mean(0), rtol=1e-6, atol=1e-5)
    expected_scale = np.sqrt(6) / np.linalg.norm(exact, axis=1).mean()
    assert activations.scale() == pytest.approx(expected_scale, rel=1e-6)
    assert activations.scale() * np.linalg.norm(exact, axis=1).mean() == pytest.approx(np.sqrt(6))


def test_rows_in_memory_are_taken_by_index_as_float32() -> None:
    activations = ArrayActivations(torch.arange(6).reshape(3, 2).to(torch.bfloat16))
    assert activations.take(torch.tensor([2, 0])).tolist() == [[4, 5], [0, 1]]
    assert activations.take(torch.tensor([0])).dtype == torch.float32
    assert (len(activations), activations.width, activations.doc_N.tolist()) == (3, 2, [0, 0, 0])
    with pytest.raises(ValueError, match=r"two dimensions \[tokens, width\], got shape \(3,\)"):
        ArrayActivations(torch.zeros(3))
