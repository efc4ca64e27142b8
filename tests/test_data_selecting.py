"""Documents chosen by what they say: exact, reproducible, against brute force and planted truth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from data_tasks import SHARES, folder_task, make_task, write_rows
from hypothesis import given
from hypothesis import strategies as st

from harness.data.rows import Corpus, load_corpus
from harness.data.selecting import GRID, Embedded, Points, diverse, nearest, select
from harness.data.splits import LEVEL, Document
from harness.errors import UserError
from harness.specs.data import Select
from harness.specs.library import Library
from harness.specs.resolve import ResolvedTask

TOPICS = ("trains", "apples", "planets")
ROWS = [{"text": f"{topic} {i}", "topic": topic} for i in range(20) for topic in TOPICS]


class ByTopic:
    """Points of texts whose first word is one of three topics: each topic has an axis, each text a way off it."""

    name, weights, pieces = "by topic", "00ff", 9

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, texts: Sequence[str]) -> Embedded:
        self.asked.append(tuple(texts))
        x_ND = np.zeros((len(texts), 4))
        for row, text in enumerate(texts):
            topic, _, number = text.partition(" ")
            x_ND[row, TOPICS.index(topic)] = 1
            x_ND[row, 3] = (int(number or 0) + 1) / 100
        x_ND /= np.linalg.norm(x_ND, axis=1, keepdims=True)
        return Embedded(np.rint(GRID * x_ND), np.array([text.endswith("19") for text in texts]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows" / "all.jsonl", ROWS)


def chosen(folder: Path, by: ByTopic | None = None, **select: object) -> Corpus:
    return load_corpus(folder_task(folder, select=select), by=by or ByTopic())


def unit(rng: np.random.Generator, rows: int, width: int) -> Points:
    x_ND = rng.normal(size=(rows, width))
    return np.rint(GRID * x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True))


def least_apart(x_ND: Points, rows: Sequence[int]) -> float:
    return min(float(np.square(x_ND[a] - x_ND[b]).sum()) for a, b in itertools.combinations(rows, 2)) ** 0.5


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_no_choice_is_more_than_twice_as_far_apart(seed: int, number: int) -> None:
    x_ND = unit(np.random.default_rng(seed), 9, 3)
    found = diverse(x_ND, number)
    assert len(set(found)) == number
    best = max(least_apart(x_ND, rows) for rows in itertools.combinations(range(9), number))
    assert 2 * least_apart(x_ND, found) >= best
    # A shorter choice is the beginning of a longer one.
    assert diverse(x_ND, number - 1) == found[:-1]


def test_each_is_the_farthest_from_those_before_it() -> None:
    x_ND = unit(np.random.default_rng(3), 40, 384)
    found = diverse(x_ND, 12)
    sum_D = x_ND.sum(0)
    assert found[0] == min(range(40), key=lambda row: float(x_ND[row] @ sum_D))
    for place in range(1, 12):
        apart = [min(float(np.square(x_ND[row] - x_ND[other]).sum()) for other in found[:place]) for row in range(40)]
        assert apart[found[place]] == max(apart)


def test_the_nearest_are_those_of_largest_cosine_and_ties_keep_their_order() -> None:
    x_ND = unit(np.random.default_rng(4), 30, 8)
    query_D = x_ND[7]
    cosine_N = x_ND @ query_D / np.linalg.norm(x_ND, axis=1) / np.linalg.norm(query_D)
    assert nearest(x_ND, query_D, 5) == list(np.argsort(-cosine_N)[:5])
    assert nearest(x_ND, query_D, 1) == [7]
    assert nearest(np.repeat(x_ND[:2], 3, axis=0), x_ND[1], 4) == [3, 4, 5, 0]


def test_rows_that_say_the_same_are_chosen_once_each() -> None:
    assert sorted(diverse(np.repeat(unit(np.random.default_rng(0), 1, 4), 5, axis=0), 4)) == [0, 1, 2, 3]
    assert sorted(diverse(unit(np.random.default_rng(0), 3, 4), 9)) == [0, 1, 2]


@pytest.mark.parametrize("topic", TOPICS)
def test_documents_near_a_query_are_of_its_topic(folder: Path, topic: str) -> None:
    corpus, whole = chosen(folder, nearest=topic, number=5), load_corpus(folder_task(folder))
    for split, documents in corpus.splits.items():
        # Others are taken where a split has too few.
        there = sum(document.text.startswith(topic) for document in whole.splits[split])
        assert sum(document.text.startswith(topic) for document in documents) == min(5, there)
        assert len(documents) == 5
        # What is left keeps its split and its order, so that a prefix is a fair sample of it.
        assert [d for d in whole.splits[split] if d in documents] == list(documents)
        assert corpus.selected is not None
        assert sorted(corpus.selected.ids[split]) == sorted(document.id for document in documents)


def test_diverse_documents_are_of_every_topic(folder: Path) -> None:
    corpus = chosen(folder, diverse=True, number=3)
    for split in ("test", "train"):
        assert {document.text.split()[0] for document in corpus.splits[split]} == set(TOPICS)


def test_the_order_of_the_choice_is_recorded(folder: Path) -> None:
    corpus = chosen(folder, nearest="apples 0", number=4)
    assert corpus.selected is not None
    assert (corpus.selected.by, corpus.selected.weights) == ("by topic", "00ff")
    by_id = {document.id: int(document.text.split()[1]) for document in corpus.splits["test"]}
    numbers = [by_id[name] for name in corpus.selected.ids["test"]]
    assert numbers == sorted(numbers)
    # A limit takes the first of what is left; the choice is what it was.
    limited = load_corpus(folder_task(folder, select={"nearest": "apples 0", "number": 4}), limit=2, by=ByTopic())
    assert limited.selected == corpus.selected
    assert limited.splits["test"] == corpus.splits["test"][:2]


def test_only_the_splits_that_are_named_are_chosen_from(folder: Path) -> None:
    by, whole = ByTopic(), load_corpus(folder_task(folder))
    corpus = chosen(folder, by, nearest="apples", number=2, splits=["test"])
    assert corpus.splits["train"] == whole.splits["train"]
    assert len(corpus.splits["test"]) == 2
    assert corpus.selected is not None
    assert set(corpus.selected.ids) == {"test"}
    assert [len(texts) for texts in by.asked] == [1, len(whole.splits["test"])]


def test_what_a_reader_should_know_is_said(folder: Path) -> None:
    every = chosen(folder, nearest="apples", number=1000)
    assert every.splits == load_corpus(folder_task(folder)).splits
    assert len(every.warnings) == 3
    assert "data.select asks for 1000 documents of 'test', which has" in " ".join(every.warnings)
    some = " ".join(chosen(folder, nearest="apples", number=2).warnings)
    assert "by their first 9 word pieces: by topic reads no more" in some


def test_every_level_of_difficulty_is_chosen_from() -> None:
    """The model's own answers decide which level is measured, long after documents are chosen."""
    documents = [Document(str(i), str(i), None, f"apples {i}", problem={LEVEL: i % 2}) for i in range(16)]
    splits, selected, _ = select({"test": documents}, Select(nearest="apples 3", number=4), ByTopic())
    assert [sum(d.level == level for d in splits["test"]) for level in (0, 1)] == [4, 4]
    assert len(selected.ids["test"]) == 8


def test_the_table_of_a_task_that_uses_all_is_what_it_was(folder: Path) -> None:
    def measured(**data: object) -> object:
        return ResolvedTask(folder_task(folder, **data), (0,), None).measured()["data"]

    assert "select" not in measured()  # type: ignore[operator]
    one, other = ({"nearest": "apples", "number": number} for number in (2, 3))
    assert measured(select=one) != measured(select=other) != measured()


@pytest.mark.parametrize(
    ("select", "says"),
    [
        ({"number": 3}, "exactly one of 'nearest'"),
        ({"nearest": "x", "diverse": True, "number": 3}, "exactly one of 'nearest'"),
        ({"nearest": " ", "number": 3}, "at least one word"),
        ({"diverse": False, "number": 3}, "diverse"),
        ({"diverse": True, "number": 0}, "greater than 0"),
        ({"diverse": True, "number": 3, "splits": ["tests"]}, "'train', 'val' or 'test'"),
        ({"diverse": True, "number": 3, "splits": ["test", "test"]}, "listed twice"),
    ],
)
def test_what_cannot_be_chosen_is_refused(folder: Path, select: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        folder_task(folder, select=select)


def test_a_split_that_is_not_there_is_refused() -> None:
    chosen_from = {"diverse": True, "number": 1, "splits": ["val"]}
    prompts = {"sums": [{"prompt": "1 + 1"}, {"prompt": "2 + 2"}]}
    spec = make_task({"source": "prompts", "prompts": prompts, "select": chosen_from}, "{{ prompt }}")
    with pytest.raises(UserError, match=r"data.select.splits.*'val'"):
        load_corpus(spec, by=ByTopic())


def test_twins_are_not_chosen_one_by_one(folder: Path) -> None:
    data = {"source": "folder", "path": str(folder), "splits": SHARES, "select": {"diverse": True, "number": 2}}
    with pytest.raises(ValueError, match="'twins' go together"):
        make_task(data, twins=["{{ topic }}"])


def test_no_task_of_the_package_chooses() -> None:
    library = Library()
    assert not [name for name in library.names("tasks") if getattr(library.task(name).data, "select", None)]
