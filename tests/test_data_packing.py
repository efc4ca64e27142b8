"""Packing: documents joined end to end, cut into full windows, nothing lost."""

from __future__ import annotations

import pytest
from data_tasks import Letters, budget, documents, rows
from hypothesis import given
from hypothesis import strategies as st

from harness.data.tokens import tokenize
from harness.errors import UserError

TEXTS = st.lists(st.text("abcdefgh", min_size=1, max_size=30), min_size=1, max_size=12)


@given(TEXTS, st.integers(3, 12), st.booleans())
def test_packing_keeps_every_token_once_and_in_order(texts: list[str], context: int, bos: bool) -> None:
    packed = tokenize(Letters(bos=bos), documents(["xx", *texts]), budget(context=context, packing="pack"), 50)
    windows = rows(packed)
    assert all(len(ids) == context for ids, _, _ in windows[:-1])
    assert all((ids[0] == 1) == bos for ids, _, _ in windows)
    stream = [(token, doc) for ids, docs, _ in windows for token, doc in list(zip(ids, docs, strict=True))[bos:]]
    expected = [(token, i) for i, t in enumerate(["xx", *texts]) for token in [*map(ord, t), 2]][:-1]
    # A last window that holds nothing but its first position has no token that counts.
    assert stream == expected[: len(stream)]
    assert len(expected) - len(stream) <= 1


@given(TEXTS, st.integers(3, 12))
def test_packing_counts_the_documents_that_cross_an_edge(texts: list[str], context: int) -> None:
    given_texts = ["xx", *texts]
    packed = tokenize(Letters(), documents(given_texts), budget(context=context, packing="pack"), 50)
    start, crossing = 0, 0
    for t in given_texts:
        crossing += start // context != (start + len(t) - 1) // context
        start += len(t) + 1
    # One whose only token in the last window does not count is cut all the same.
    assert packed.part.cut == crossing


def test_packing_needs_an_end_of_text_token() -> None:
    with pytest.raises(UserError, match="no end-of-text token"):
        tokenize(Letters(eos=None), documents(["abc"]), budget(packing="pack"), 100)
    assert len(tokenize(Letters(eos=None), documents(["abc"]), budget(), 100).batches) == 1


def test_documents_with_no_tokens_are_skipped_by_packing() -> None:
    class Deaf(Letters):
        def tokenizer(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:  # type: ignore[override]
            return super().tokenizer([t.replace("?", "") for t in texts])

    packed = tokenize(Deaf(), documents(["ab", "??", "cd"]), budget(packing="pack"), 100)
    assert rows(packed)[0][:2] == ([*map(ord, "ab"), 2, *map(ord, "cd")], [0, 0, 0, 2, 2])
    assert packed.part.left_out == 1
