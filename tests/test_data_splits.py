"""What shares a group is never on two sides of a split, and the split hardly moves when rows are added."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.splits import ORDER, Document, cut, divide, shuffled
from harness.errors import UserError
from harness.specs.data import SplitPart, Splits

WORDS = st.text(st.characters(codec="utf-8"), max_size=6)


def docs(groups: list[str], prefix: str = "d") -> list[Document]:
    return [Document(f"{prefix}{i}", group, None, f"text {i}") for i, group in enumerate(groups)]


def numbered(count: int) -> list[str]:
    return [f"g{i}" for i in range(count)]


@given(st.lists(WORDS, min_size=3, max_size=60), st.tuples(*[st.floats(0.05, 0.33)] * 3))
def test_no_group_is_on_two_sides(groups: list[str], shares: tuple[float, float, float]) -> None:
    splits = Splits(train=shares[0], val=shares[1], test=shares[2])
    if len(set(groups)) < 3:
        with pytest.raises(UserError, match=r"has \d group\(s\) in \d+ documents, too few for test and val and train"):
            divide({"": docs(groups)}, splits, "t")
        return
    parts = divide({"": docs(groups)}, splits, "t").splits
    held = {name: {d.group for d in documents} for name, documents in parts.items()}
    assert all(held.values())
    assert not held["train"] & held["val"]
    assert not held["train"] & held["test"]
    assert not held["val"] & held["test"]


@given(st.lists(WORDS, min_size=1, max_size=40), st.lists(WORDS, min_size=1, max_size=40))
def test_no_group_crosses_the_splits_of_the_source(train: list[str], test: list[str]) -> None:
    splits = Splits(
        train=SplitPart(split="a", share=0.5), val=SplitPart(split="a", share=0.5), test=SplitPart(split="b")
    )
    source = {"a": docs(train, "a"), "b": docs(test, "b")}
    try:
        divided = divide(source, splits, "t")
    except UserError:
        kept = set(train) - set(test)
        assert len(kept) < len(set(train)) or len(kept) < 2
        return
    held = {name: {d.group for d in documents} for name, documents in divided.splits.items()}
    assert held["test"] == set(test)
    assert not held["test"] & (held["train"] | held["val"])
    assert not held["val"] & held["train"]
    lost = divided.shared["train"] + divided.shared["val"]
    assert lost == sum(group in set(test) for group in train)


@given(st.lists(WORDS, min_size=4, max_size=40, unique=True))
def test_the_order_of_the_rows_changes_nothing(groups: list[str]) -> None:
    splits = Splits(train=0.4, val=0.2, test=0.4)
    whole = docs(groups)
    assert divide({"": whole}, splits, "t") == divide({"": whole[::-1]}, splits, "t")


def test_shares_are_of_groups() -> None:
    parts = cut(numbered(100), [0.3, 0.1, 0.6])
    assert [len(part) for part in parts] == [30, 10, 60]
    assert set().union(*parts) == set(numbered(100))


def test_shares_below_one_leave_groups_out() -> None:
    assert [len(part) for part in cut(numbered(100), [0.2, 0.1])] == [20, 10]


def test_every_part_gets_a_group_however_small_its_share() -> None:
    assert [len(part) for part in cut(numbered(3), [0.98, 0.01, 0.01])] == [1, 1, 1]
    assert [len(part) for part in cut(numbered(4), [0.01, 0.01, 0.98])] == [1, 1, 2]


@given(st.integers(30, 200), st.integers(1, 5))
def test_adding_groups_moves_few(count: int, more: int) -> None:
    shares = [0.3, 0.1, 0.6]
    before, after = cut(numbered(count), shares), cut(numbered(count + more), shares)
    moved = sum(len(old - new) for old, new in zip(before, after, strict=True))
    # Each of the two edges moves by at most as many groups as were added, plus one for rounding.
    assert moved <= 2 * (more + 1)


def test_adding_documents_to_known_groups_moves_none() -> None:
    splits = Splits(train=0.5, val=0.2, test=0.3)
    few, many = docs(numbered(20)), docs(numbered(20) * 3)
    before, after = divide({"": few}, splits, "t").splits, divide({"": many}, splits, "t").splits
    assert {n: {d.group for d in ds} for n, ds in before.items()} == {
        n: {d.group for d in ds} for n, ds in after.items()
    }


def test_train_and_val_shares_do_not_move_test() -> None:
    source = {"": docs(numbered(50))}
    one = divide(source, Splits(train=0.6, val=0.1, test=0.3), "t").splits["test"]
    other = divide(source, Splits(train=0.2, val=0.3, test=0.3), "t").splits["test"]
    assert one == other


def test_documents_are_in_a_shuffled_order_that_interleaves_groups() -> None:
    source = docs([f"g{i // 20}" for i in range(200)])
    order = [d.group for d in shuffled(source)]
    assert shuffled(source[::-1]) == shuffled(source)
    # Ten groups of twenty neighbours: in source order 9 changes of group, in a random order about 180.
    assert sum(a != b for a, b in pairwise(order)) > 150
    assert len(set(order[:40])) == 10


def test_a_split_that_others_empty_is_an_error() -> None:
    splits = Splits(val=SplitPart(split="a"), test=SplitPart(split="b"))
    with pytest.raises(UserError, match="split 'val' is empty: each of its 3 documents shares a group"):
        divide({"a": docs(["x", "x", "y"]), "b": docs(["x", "y"])}, splits, "t")


def test_too_few_groups_names_numbers_and_the_split_of_the_source() -> None:
    splits = Splits(
        train=SplitPart(split="a", share=0.5), val=SplitPart(split="a", share=0.5), test=SplitPart(split="b")
    )
    with pytest.raises(UserError, match=r"split 'a' of the source has 1 group\(s\) in 4 documents.*val and train"):
        divide({"a": docs(["x"] * 4), "b": docs(["y"])}, splits, "t")


def test_counts_of_dropped_documents() -> None:
    splits = Splits(train=SplitPart(split="a"), val=SplitPart(split="c"), test=SplitPart(split="b"))
    source = {"a": docs(["x", "x", "y", "z"], "a"), "b": docs(["x"], "b"), "c": docs(["x", "y", "w"], "c")}
    divided = divide(source, splits, "t")
    assert divided.shared == {"test": 0, "val": 1, "train": 3}
    assert list(divided.splits) == list(ORDER)
    assert [d.group for d in divided.splits["train"]] == ["z"]
