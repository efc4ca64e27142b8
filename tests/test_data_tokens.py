"""Documents become token batches: budgets, tiers, masks, clusters, packing."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
import torch
from data_tasks import Letters, budget, documents, rows
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness.data import tokens as tokens_module
from harness.data.tokens import Sequences, TokenBatch, TokenBudget, tokenize
from harness.errors import UserError

TEXTS = st.lists(st.text("abcdefgh", min_size=1, max_size=30), min_size=1, max_size=12)


def text(ids: list[int]) -> str:
    return "".join(chr(i) for i in ids)


def kept(sequences: Sequences) -> Counter[tuple[int, int]]:
    """Return the multiset of (document, token) that count."""
    pairs: Counter[tuple[int, int]] = Counter()
    for batch in sequences.batches:
        pairs.update(zip(batch.doc_BT[batch.keep_BT].tolist(), batch.ids_BT[batch.keep_BT].tolist(), strict=True))
    return pairs


def test_one_document_is_one_sequence_cut_at_the_context() -> None:
    sequences = tokenize(Letters(), documents(["abcdefghij", "klm"]), budget(), 100)
    assert [(text(ids), docs) for ids, docs, _ in rows(sequences)] == [("abcdefgh", [0] * 8), ("klm", [1] * 3)]
    assert sequences.part.model_dump() == {"documents": 2, "groups": 2, "tokens": 9, "cut": 1, "left_out": 0}


def test_padding_bos_and_position_zero_do_not_count() -> None:
    plain = tokenize(Letters(), documents(["abc", "defgh"]), budget(), 100).batches[0]
    assert plain.keep_BT.tolist() == [[False, True, True, True, True], [False, True, True, False, False]]
    assert plain.ids_BT[1].tolist() == [ord("a"), ord("b"), ord("c"), 0, 0]
    bos = tokenize(Letters(bos=True), documents(["abc"]), budget(), 100).batches[0]
    assert bos.ids_BT[0].tolist() == [1, *map(ord, "abc")]
    assert bos.keep_BT[0].tolist() == [False, True, True, True]


def test_position_zero_counts_where_the_task_keeps_it_but_bos_never_does() -> None:
    plain = tokenize(Letters(), documents(["abc"]), budget(keep_first=True), 100).batches[0]
    assert plain.keep_BT[0].tolist() == [True] * 3
    bos = tokenize(Letters(bos=True), documents(["abc"]), budget(keep_first=True), 100).batches[0]
    assert bos.keep_BT[0].tolist() == [False, True, True, True]


def test_targets_count_where_the_next_token_is_of_the_same_document() -> None:
    batch = tokenize(Letters(), documents(["abc", "defgh"]), budget(), 100).batches[0]
    assert batch.target_BT.tolist() == [[False, True, True, True, False], [False, True, False, False, False]]
    packed = tokenize(Letters(), documents(["abcd", "ef", "gh"]), budget(context=20, packing="pack"), 100).batches[0]
    assert packed.ids_BT[0].tolist() == [*map(ord, "abcd"), 2, *map(ord, "ef"), 2, *map(ord, "gh")]
    assert packed.doc_BT[0].tolist() == [0] * 5 + [1] * 3 + [2] * 2
    assert packed.keep_BT[0].tolist() == [False, True, True, True, False, True, True, False, True, True]
    assert packed.target_BT[0].tolist() == [False, True, True, False, False, True, False, False, True, False]


@pytest.mark.parametrize("packing", ["truncate", "pack"])
def test_a_context_beyond_the_model_is_refused(packing: str) -> None:
    with pytest.raises(UserError, match="context must be at most 6, got 8"):
        tokenize(Letters(longest=6), documents(["abc"]), budget(packing=packing), 100)


@pytest.mark.parametrize("packing", ["truncate", "pack"])
def test_whole_sequences_are_taken_until_the_budget_is_reached(packing: str) -> None:
    docs = documents(["abcdefgh"] * 200)
    sequences = tokenize(Letters(), docs, budget(20, packing=packing), 100)
    assert 20 <= sequences.part.tokens < 28
    assert sequences.part.tokens == sequences.tokens[1] == sum(kept(sequences).values())
    assert sequences.part.documents + sequences.part.left_out == 200
    assert sequences.part.documents <= 4
    assert sequences.notes == ()


def test_only_as_many_texts_are_tokenized_as_are_needed() -> None:
    model = Letters()
    tokenize(model, documents(["abcdefgh"] * 1000), budget(20), 100)
    assert model.texts < 100


def test_falling_short_is_said_and_nothing_at_all_is_an_error() -> None:
    sequences = tokenize(Letters(), documents(["abc"]), TokenBudget((2, 50, 90), 8), 100)
    assert sequences.tokens == (2, 2, 2)
    assert sequences.notes == (
        "the documents gave 2 tokens for measuring, 50 were asked for",
        "the documents gave 2 tokens for density, 90 were asked for",
    )
    assert tokenize(Letters(), documents(["abc"]), budget(9), 100).notes == (
        "the documents gave 2 tokens, 9 were asked for",
    )
    with pytest.raises(UserError, match="no token counts: 2 documents give none"):
        tokenize(Letters(), documents(["a", "b"]), budget(), 100)
    with pytest.raises(UserError, match="no token counts: 0 documents"):
        tokenize(Letters(), [], budget(), 100)


def test_a_document_without_a_counted_token_is_left_out() -> None:
    part = tokenize(Letters(), documents(["a", "bcd"]), budget(), 100).part
    assert (part.documents, part.left_out) == (1, 1)


@given(TEXTS, st.integers(1, 40), st.integers(0, 40), st.integers(0, 40), st.integers(1, 60))
def test_tiers_are_prefixes(texts: list[str], splice: int, more: int, most: int, size: int) -> None:
    docs = documents(["xyz", *texts])
    ends = (splice, splice + more, splice + more + most)
    sequences = tokenize(Letters(), docs, TokenBudget(ends, 8), size)
    tier_of: dict[int, int] = {}
    for batch in sequences.batches:
        assert len(set(batch.tier_B.tolist())) == 1
        for doc, tier in zip(batch.doc_BT[:, 0].tolist(), batch.tier_B.tolist(), strict=True):
            tier_of[doc] = tier
    assert [tier_of[doc] for doc in sorted(tier_of)] == sorted(tier_of.values())
    counts = [
        sum(int(b.keep_BT[b.tier_B <= tier].sum()) for b in sequences.batches) for tier in range(3)
    ]  # what each tier and those before it hold
    assert sequences.tokens == tuple(counts)
    # A smaller tier alone takes the same documents.
    alone = tokenize(Letters(), docs, budget(splice), size)
    assert kept(alone) == kept_of(sequences, 0)


def kept_of(sequences: Sequences, tier: int) -> Counter[tuple[int, int]]:
    pairs: Counter[tuple[int, int]] = Counter()
    for batch in sequences.batches:
        if int(batch.tier_B[0]) <= tier:
            pairs.update(zip(batch.doc_BT[batch.keep_BT].tolist(), batch.ids_BT[batch.keep_BT].tolist(), strict=True))
    return pairs


def test_tiers_must_nest() -> None:
    with pytest.raises(UserError, match=r"splice_tokens \(30\) must be at most test_tokens \(20\)"):
        TokenBudget((30, 20, None), 8)
    with pytest.raises(UserError, match=r"density_tokens \(10\) must be at least test_tokens \(20\)"):
        TokenBudget((None, 20, 10), 8)
    with pytest.raises(ValueError, match="middle tier"):
        TokenBudget((None, None, 10), 8)


def test_a_tier_nobody_asked_for_is_empty() -> None:
    docs = documents(["abcdefgh"] * 20)
    tiers = {int(b.tier_B[0]) for b in tokenize(Letters(), docs, TokenBudget((None, 20, 60), 8), 30).batches}
    assert tiers == {1, 2}
    assert {int(b.tier_B[0]) for b in tokenize(Letters(), docs, TokenBudget((10, 20, None), 8), 30).batches} == {0, 1}


@given(TEXTS, st.integers(1, 200), st.integers(1, 200), st.sampled_from(["truncate", "pack"]))
def test_batch_sizes_change_nothing_but_the_batches(texts: list[str], one: int, other: int, packing: str) -> None:
    docs = documents(["xyz", *texts])
    made = [tokenize(Letters(), docs, budget(40, packing=packing), size) for size in (one, other)]
    assert kept(made[0]) == kept(made[1])
    assert made[0].part == made[1].part
    for sequences, size in zip(made, (one, other), strict=True):
        for batch in sequences.batches:
            assert batch.ids_BT.numel() <= size or batch.ids_BT.shape[0] == 1


def test_batches_hold_sequences_of_similar_length() -> None:
    docs = documents(["a" * (i % 12 + 2) for i in range(120)])
    sequences = tokenize(Letters(), docs, budget(context=16), 64)
    padding = sum(int((~batch.mask_BT).sum()) for batch in sequences.batches)
    assert padding < 0.1 * sum(batch.ids_BT.numel() for batch in sequences.batches)
    longest = [batch.ids_BT.shape[1] for batch in sequences.batches]
    assert longest == sorted(longest, reverse=True)


def test_identities_tell_batches_apart_and_are_the_same_next_time() -> None:
    docs = documents([f"text number {i}" for i in range(40)])
    first, again = (tokenize(Letters(), docs, budget(context=16), 64) for _ in range(2))
    identities = [batch.identity for batch in first.batches]
    assert identities == [batch.identity for batch in again.batches]
    assert len(set(identities)) == len(first.batches) > 3
    assert identities != [b.identity for b in tokenize(Letters(), docs, budget(context=16), 128).batches]
    kept_first = tokenize(Letters(), docs, budget(context=16, keep_first=True), 64)
    assert not set(identities) & {b.identity for b in kept_first.batches}


def test_batches_are_a_sequence() -> None:
    batches = tokenize(Letters(), documents(["abcd"] * 10), budget(), 8).batches
    assert len(batches) == len(list(batches)) == 5
    assert [b.identity for b in batches[1:3]] == [batches[1].identity, batches[2].identity]
    assert batches[-1].identity == batches[4].identity
    with pytest.raises(IndexError):
        batches[5]


def test_types_and_shapes() -> None:
    batch = tokenize(Letters(), documents(["abc", "defg"]), budget(), 100).batches[0]
    for name, value in vars(batch).items():
        if isinstance(value, Tensor):
            boolean = name in ("mask_BT", "keep_BT", "target_BT")
            assert value.dtype == (torch.bool if boolean else torch.int64), name
            assert value.shape == ((2,) if name.endswith("_B") else (2, 4)), name


def clusters_of(batches: list[TokenBatch]) -> set[int]:
    return {c for b in batches for c in b.cluster_BT[b.keep_BT].tolist()}


def test_clusters_are_the_groups_of_the_measured_tokens() -> None:
    groups = [f"g{i // 2}" for i in range(12)]
    docs = documents(["abcde"] * 12, groups)
    sequences = tokenize(Letters(), docs, TokenBudget((8, 24, 48), 8), 20)
    measured = [b for b in sequences.batches if int(b.tier_B[0]) <= 1]
    assert sequences.clusters == sequences.groups == 3
    assert clusters_of(measured) == {0, 1, 2}
    assert clusters_of([b for b in sequences.batches if int(b.tier_B[0]) == 2]) == {-1}
    for batch in sequences.batches:
        assert bool((batch.cluster_BT[~batch.mask_BT] == -1).all())
        pairs = zip(batch.doc_BT[batch.keep_BT].tolist(), batch.cluster_BT[batch.keep_BT].tolist(), strict=True)
        assert all(cluster in (-1, doc // 2) for doc, cluster in pairs)


def test_a_group_that_is_measured_keeps_its_cluster_in_the_density_tier() -> None:
    docs = documents(["abcde"] * 6, ["g", "h", "g", "h", "g", "i"])
    sequences = tokenize(Letters(), docs, TokenBudget((None, 8, 24), 8), 200)
    assert clusters_of([b for b in sequences.batches if int(b.tier_B[0]) == 2]) == {0, 1, -1}


@given(TEXTS, st.integers(1, 60), st.sampled_from(["truncate", "pack"]))
def test_cluster_numbers_are_dense(texts: list[str], tokens: int, packing: str) -> None:
    docs = documents(["xyz", *texts], [f"g{i % 4}" for i in range(len(texts) + 1)])
    sequences = tokenize(Letters(), docs, budget(tokens, packing=packing), 30)
    assert clusters_of(list(sequences.batches)) == set(range(sequences.clusters))


def test_too_many_groups_are_merged_into_neighbouring_blocks() -> None:
    docs = documents(["abc"] * 2500)
    sequences = tokenize(Letters(), docs, budget(), 3000)
    assert (sequences.groups, sequences.clusters) == (2500, tokens_module.MAX_CLUSTERS)
    assert sequences.notes[-1] == "2500 groups were merged into 1000 clusters of neighbours"
    cluster_of: dict[int, int] = {}
    for batch in sequences.batches:
        cluster_of.update(zip(batch.doc_BT[:, 0].tolist(), batch.cluster_BT[:, 0].tolist(), strict=True))
    numbers = [cluster_of[doc] for doc in range(2500)]
    assert set(numbers) == set(range(1000))
    assert all(0 <= after - before <= 1 for before, after in pairwise(numbers))
    assert set(Counter(numbers).values()) == {2, 3}
