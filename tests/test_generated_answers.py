"""The model under study answers problems: their level is chosen on val, twins and samples stay together."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from data_tasks import make_task
from hypothesis import given
from hypothesis import strategies as st
from running import values

from harness.api import silent
from harness.data.rows import Corpus, load_corpus
from harness.errors import UserError
from harness.lm.generation import Continuation, Prompt, Sampling
from harness.lm.loading import LoadOptions, load_model
from harness.run.evaluate import evaluate
from harness.specs.identity import Origin
from harness.specs.library import Library
from harness.specs.resolve import Overrides, resolve
from harness.tracks import generated
from harness.tracks.answer_reader import AnswerReader
from harness.tracks.contract import Group, Resources
from harness.tracks.generated import Answerer, chosen

TASK = """\
task: own_sums
version: 1
title: Sums that the model answers
track: errors
model: tiny-random
data:
  source: reasoning_gym
  name: basic_arithmetic
  size: 30
  options: {{min_digits: 1, max_digits: 1, operators: ["+"], allow_parentheses: false, allow_negation: false}}
  levels: [{{min_terms: 2, max_terms: 2}}, {{min_terms: 3, max_terms: 3}}, {{min_terms: 4, max_terms: 4}}]
  group: id
  splits: {{val: 0.3, test: 0.7}}
text: "{{{{ metadata.expression }}}} ="
twins: ["{{{{ metadata.expression.split() | reverse | join(' ') }}}} ="]
answers:
  generated: {{max_tokens: 4, extract: '^\\s*(-?\\d+)', judge: arithmetic{more}}}
  positions: {{prompt: true, first: 1}}
  least: 3
site: {{depth: 0.5}}
budget: {{context: 32, test_tokens: 10000}}
controls: {{floor: [majority]}}
seeds: [0]
metrics: [auroc, accuracy]
"""
# Share of right answers by the terms of the sum: only three terms are within 40 to 60 %.
PLANTED = {2: 0.9, 3: 0.5, 4: 0.45}


def content(folder: Path, more: str = "") -> Path:
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    (folder / "tasks" / "own_sums.yaml").write_text(TASK.format(more=more), encoding="utf-8")
    return folder


def group_of(folder: Path, limit: int | None = None, more: str = "") -> Group:
    task = resolve(Library([content(folder, more)]), "own_sums", Overrides(), None, lambda _: 2)
    corpus = load_corpus(task.spec, limit=limit)
    return Group(task, corpus, corpus, Origin("m", "float32", "d"), frozenset())


def numbers(text: str) -> tuple[str, ...]:
    """Return the terms of a sum, whatever their order."""
    return tuple(sorted(word for word in text.split() if word.isdigit()))


class Planted:
    """Answers sums as told, in place of a model that cannot add: just the planted share of each call is right."""

    def __init__(self, shares: dict[int, float]) -> None:
        self.shares = shares

    def __call__(
        self, model: Any, prompts: Sequence[Prompt], asked: Sampling, *_: Any
    ) -> list[tuple[Continuation, ...]]:
        count = asked.samples
        texts = [model.tokenizer.decode(prompt.ids) for prompt in prompts for _ in range(count)]
        found = [self._one(model, text, number) for number, text in enumerate(texts)]
        return [tuple(found[first : first + count]) for first in range(0, len(found), count)]

    def _one(self, model: Any, text: str, number: int) -> Continuation:
        terms = numbers(text)
        share, total = self.shares[len(terms)], sum(map(int, terms))
        right = int((number + 1) * share + 1e-9) > int(number * share + 1e-9)
        wrong = random.Random(number).choice([str(total + 10), f"-{total}", "what?", str(total + 1)])
        said = f" {total if right else wrong}"
        return Continuation(tuple(model.tokenizer(said)["input_ids"]), said, "length")


def answerer(folder: Path, monkeypatch: pytest.MonkeyPatch, shares: dict[int, float], **asked: Any) -> Answerer:
    monkeypatch.setattr(generated, "generate", Planted(shares))
    resources = Resources(folder / "cache", LoadOptions(), 256, silent)
    return Answerer(group_of(folder, **asked), resources, load_model("tiny-random"))


def test_the_first_level_within_the_band_is_measured_and_no_later_one_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = answerer(tmp_path, monkeypatch, PLANTED).answered()
    assert {len(numbers(document.text)) for document in found.documents} == {3}
    assert found.details["level"] == 1
    shares = [found.details.get(f"right on val, level {level}") for level in range(3)]
    assert (shares[0] or 0) > 0.6
    assert 0.4 <= (shares[1] or 0) <= 0.6
    assert shares[2] is None
    assert found.notes == ()
    counts = Counter(document.label for document in found.documents)
    assert set(counts) == {"right", "carry", "sign", "unparsable", "other"}
    assert {name: found.details[f"answers {name}"] for name in counts} == counts
    assert found.details["right"] == counts["right"] / len(found.documents)


def test_the_nearest_level_is_taken_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = answerer(tmp_path, monkeypatch, {2: 1.0, 3: 0.0, 4: 0.9}).answered()
    assert found.details["level"] == 2
    assert found.details["right on val, level 0"] == 1
    assert found.details["right on val, level 1"] == 0
    (note,) = found.notes
    assert note.startswith("at no level are 40% to 60% of the answers on val right; level 2 (")


@given(st.dictionaries(st.integers(0, 9), st.floats(0, 1), max_size=6))
def test_chosen(accuracy: dict[int, float]) -> None:
    level = chosen(accuracy, (0.4, 0.6))
    inside = [one for one, share in accuracy.items() if 0.4 <= share <= 0.6]
    if not accuracy:
        assert level is None
    elif inside:
        assert level == inside[0]
    else:
        assert level is not None
        assert abs(accuracy[level] - 0.5) == min(abs(share - 0.5) for share in accuracy.values())


def test_no_problem_of_test_decides_the_level_and_twins_share_a_group(tmp_path: Path) -> None:
    splits = group_of(tmp_path).corpus.splits
    assert Counter(d.level for several in splits.values() for d in several) == {0: 60, 1: 60, 2: 60}
    assert not {d.group for d in splits["val"]} & {d.group for d in splits["test"]}
    assert not {numbers(d.text) for d in splits["val"]} & {numbers(d.text) for d in splits["test"]}
    groups: dict[tuple[str, ...], set[str]] = {}
    for document in (d for several in splits.values() for d in several):
        groups.setdefault(numbers(document.text), set()).add(document.group)
    assert all(len(several) == 1 for several in groups.values())
    # One-digit sums are few: some are drawn twice, in either order.
    assert len(groups) < 90


def test_a_row_that_has_a_text_of_two_groups_makes_them_one() -> None:
    prompts = {"c": [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "a/b"}, {"prompt": "c"}]}
    spec = make_task(
        {"source": "prompts", "prompts": prompts, "group": "id"},
        "{{ prompt.split('/') | first }}",
        twins=["{{ prompt.split('/') | last }}"],
    )
    found: Corpus = load_corpus(spec)
    of = {}
    for document in found.splits["test"]:
        of.setdefault(document.text, set()).add(document.group)
    assert of["a"] == of["b"]
    assert len(of["a"]) == 1
    assert of["c"] != of["a"]
    assert len({document.id for document in found.splits["test"]}) == 8


def test_samples_of_a_problem_share_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = answerer(tmp_path, monkeypatch, PLANTED, more=", temperature: 0.5, samples: 3")
    found = one.answered()
    problems = [d for d in one.group.corpus.splits["test"] if d.level == 1]
    assert len(found.documents) == 3 * len(problems)
    assert len({document.id for document in found.documents}) == len(found.documents)
    for number, problem in enumerate(problems):
        several = found.documents[3 * number : 3 * number + 3]
        assert {(d.group, d.text) for d in several} == {(problem.group, problem.text)}
    assert any(len({d.answer for d in found.documents[i : i + 3]}) > 1 for i in range(0, len(found.documents), 3))


def test_a_limit_counts_the_problems_of_each_level(tmp_path: Path) -> None:
    splits = group_of(tmp_path, limit=5).corpus.splits
    assert {name: set(Counter(d.level for d in held).values()) for name, held in splits.items()} == {
        "val": {5},
        "test": {5},
    }


def test_answers_are_read_like_those_that_come_with_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "generate", Planted(PLANTED))
    reader = AnswerReader(group_of(tmp_path), Resources(tmp_path / "cache", LoadOptions(), 256, silent))
    answers = reader.answers
    assert {len(numbers(prompt)) for prompt in answers.prompt} == {3}
    assert answers.activation_nLPD.shape[:3] == (len(reader.documents), 1, 2)
    key = reader.key
    monkeypatch.setattr(generated, "generate", Planted({**PLANTED, 3: 0.55}))
    assert AnswerReader(reader.group, reader.resources).key != key


def test_a_run_says_what_the_model_answered(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "generate", Planted(PLANTED))
    found = evaluate("majority", "own_sums", tmp_path / "run", include_path=[content(tmp_path)], controls=False)
    (stored,) = found.records
    assert values(stored.record)["auroc"] == 0.5
    assert stored.record.details["level"] == 1
    assert stored.record.details["answers"] == stored.record.details["problems"]
    assert stored.record.details["answers carry"] > 0


def test_a_model_that_never_answers_is_refused_with_counts(tmp_path: Path, cache: Path) -> None:
    """The tiny model writes noise: its own text, not a planted one."""
    with pytest.raises(UserError, match=r"some answers must have the label 'right' .* found: \d+ x 'unparsable'\.$"):
        evaluate("majority", "own_sums", tmp_path / "run", include_path=[content(tmp_path)])
    kept = sorted((cache / "generations").rglob("*.json"))
    assert kept


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data.levels": "[{min_term: 1}]"}, "unknown option .* 'min_term'. Did you mean 'min_terms'"),
        ({"label": "x"}, "judge of 'answers.generated' gives the label"),
        ({"data.splits": "{test: 1.0}"}, "give 'data.splits' a share for val"),
        ({"answers": "{given: x}"}, "'data.levels' are chosen by the model's answers"),
        ({"answers.generated.judge": "oracle"}, "answers.generated.judge"),
        ({"answers.generated.samples": "2"}, "all samples of a problem would be equal"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_model_loads(
    changes: dict[str, str], says: str, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(UserError, match=says):
        evaluate("majority", "own_sums", tmp_path / "run", include_path=[content(tmp_path)], set=changes)
    assert not (cache / "generations").exists()
