"""Track ``errors``: answers are read as the plain model reads them, and a planted error is found where it is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_tasks import folder_task, write_rows
from running import PLUGINS, values

from harness.api import silent
from harness.data.rows import load_corpus
from harness.data.tables import table, unpivoted
from harness.errors import UserError
from harness.lm.loading import LoadOptions, load_model
from harness.run.engine import Outcome
from harness.run.evaluate import evaluate
from harness.specs.answers import Positions
from harness.specs.identity import Origin
from harness.specs.library import Library
from harness.specs.record import Record
from harness.specs.resolve import Overrides, resolve
from harness.store.records import StoredRecord
from harness.tracks.answers import AnswerReader, places
from harness.tracks.contract import Group, Resources

METRICS = (
    "auroc, bal_acc, accuracy, auprc, precision_wrong, recall_wrong, f1_wrong, brier, ece, selectivity, "
    "train_test_gap, cohens_d_max, n_above_null"
)
TASK = """\
task: sums
version: 1
title: Sums with planted errors
track: errors
model: tiny-random
data:
  source: folder
  path: {path}
  unpivot: {{columns: [ann, bob], name: author}}
  group: problem
  domain: author
  splits: {{test: {{split: test}}}}
text: "What is {{{{ problem }}}}?"
label: "{{{{ 'right' if right else 'wrong' }}}}"
answers: {{given: " {{{{ said }}}}", right: right, positions: {{prompt: true, first: 2, even: 0}}{more}}}
site: {{depths: [0.5, 1.0]}}
budget: {{context: 64, test_tokens: {tokens}}}
controls: {{floor: [majority, surface, confidence], derived: [permuted_label]}}
seeds: [0]
metrics: [{metrics}]
"""


def rows(problems: int) -> list[dict[str, Any]]:
    """Return problems with two answers each; a wrong one begins with another letter, so it can be seen at once."""
    draw = random.Random(4)
    made = []
    for number in range(problems):
        one = {"problem": f"{number} + {draw.randint(1, 99)}"}
        for author in ("ann", "bob"):
            right = draw.random() < 0.5
            one[author] = {"right": right, "said": f"{'is' if right else 'no'} {draw.choice('abcdef')} {number}"}  # type: ignore[assignment]
        made.append(one)
    return made


def content(folder: Path, problems: int = 60, *, tokens: int = 100000, more: str = "", metrics: str = METRICS) -> Path:
    """Return a folder to include that holds the task and its data."""
    data = write_rows(folder / "data" / "test.jsonl", rows(problems))
    (folder / "tasks").mkdir(exist_ok=True)
    text = TASK.format(path=data, tokens=tokens, more=more, metrics=metrics)
    (folder / "tasks" / "sums.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("sums")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        floors = {"controls": "{floor: [majority, surface], derived: [permuted_label]}"}
        return evaluate("raw_lr", "sums", folder / "run", include_path=[content(folder, 30)], set=floors)


def stored(outcome: Outcome, method: str) -> StoredRecord:
    """Return the record of a method; what is not ours has a hash behind its name."""
    (found,) = [one for one in outcome.records if one.record.method.name.partition("-")[0] == method]
    return found


def record(outcome: Outcome, method: str) -> Record:
    return stored(outcome, method).record


def test_a_planted_error_is_found_on_problems_that_were_not_seen(outcome: Outcome) -> None:
    found = values(record(outcome, "raw_lr"))
    assert found["auroc"] == pytest.approx(1.0, abs=0.01)
    assert (found["bal_acc"] or 0) > 0.97
    assert (found["selectivity"] or 0) > 0.3
    assert (found["n_above_null"] or 0) > 0
    assert record(outcome, "raw_lr").margins["auroc"].control == "surface"


def test_the_controls_say_what_they_are_for(outcome: Outcome) -> None:
    majority, permuted = values(record(outcome, "majority")), values(record(outcome, "permuted_label"))
    assert majority["auroc"] == majority["bal_acc"] == 0.5
    assert majority["train_test_gap"] == pytest.approx(0.0, abs=0.05)
    assert 0.1 < (permuted["auroc"] or 0) < 0.9


def test_a_table_holds_every_feature_with_its_block(outcome: Outcome) -> None:
    held = stored(outcome, "raw_lr").latents()
    width = record(outcome, "raw_lr").model.width  # type: ignore[union-attr]
    assert held["cohens_d"].shape == (2 * 3 * width,)
    assert np.bincount(held["block"]).tolist() == [width] * 6
    assert np.nanmax(np.abs(held["cohens_d"])) == pytest.approx(values(record(outcome, "raw_lr"))["cohens_d_max"])
    at = int(np.nanargmax(held["cohens_d"]))
    assert held["auroc"][at] > 0.9
    assert set(held["fire_gap"]) == {0.0}
    # The first token of the answer tells; what stands before it cannot.
    largest = [np.nanmax(np.abs(held["cohens_d"][held["block"] == block])) for block in range(6)]
    assert min(max(largest[1:3]), max(largest[4:])) > 3 * max(largest[0], largest[3])


def test_where_a_probe_reads_is_measured_where_it_is_asked_for(outcome: Outcome, tmp_path: Path, cache: Path) -> None:
    asked = content(tmp_path, 24, more=", least: 10", metrics="auroc, local_auroc, local_drop, local_excess")
    sets = {"site": "{depths: [0.5]}", "controls": "{floor: [majority], derived: [permuted_label]}"}
    found = evaluate("toy_means", "sums", tmp_path / "run", include_path=[asked, PLUGINS], set=sets)
    own, parts = values(record(found, "toy_means")), stored(found, "toy_means").parts()
    answers = len(parts["item_y"])
    assert {name: parts[name].shape for name in ("alone_p", "removed_null_p")} == dict.fromkeys(
        ("alone_p", "removed_null_p"), (answers, 3)
    )
    assert {len(parts[name]) for name in ("item_p_null", "item_y_null")} == {answers}
    assert parts["whole_p"] == pytest.approx(parts["item_p"])
    # The token that differs tells, and at this depth of a random model no other does.
    assert set(parts["place"]) == {2.0}
    assert own["local_auroc"] == pytest.approx(1.0, abs=0.02)
    assert (own["local_drop"] or 0) > 0.3
    for name in ("majority", "permuted_label"):
        assert record(found, name).metrics["local_auroc"].value is None
        assert "not measured" in (record(found, name).metrics["local_auroc"].reason or "")
    # Nobody asked there: the count of features by place costs no fit, and is always kept.
    plain = stored(outcome, "raw_lr").parts()
    assert "alone_p" not in plain
    assert plain["block_above"].shape == plain["top_block_null"].shape == (6,)
    assert plain["block_above"].sum() == values(record(outcome, "raw_lr"))["n_above_null"]
    assert "block_above" not in stored(outcome, "surface").parts()


def test_what_costs_more_fits_is_measured_where_it_is_asked_for(tmp_path: Path, cache: Path) -> None:
    asked = content(tmp_path, 40, metrics="auroc, added_auroc, leak_check")
    found = evaluate("majority", "sums", tmp_path / "run", include_path=[asked], controls=False)
    majority = values(record(found, "majority"))
    assert majority["added_auroc"] == pytest.approx(0.0, abs=0.35)
    assert majority["leak_check"] == 0.5


def test_a_second_call_measures_nothing_again(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stored(outcome, "raw_lr").path.parents[3]
    monkeypatch.setenv("HARNESS_CACHE", str(run.parent / "cache"))
    floors = {"controls": "{floor: [majority, surface], derived: [permuted_label]}"}
    assert evaluate("raw_lr", "sums", run, include_path=[run.parent], set=floors).skipped == len(outcome.records)


def reader(folder: Path, **asked: Any) -> AnswerReader:
    library = Library([content(folder, 12, **asked)])
    task = resolve(library, "sums", Overrides(), None, lambda _: 2)
    corpus = load_corpus(task.spec)
    resources = Resources(folder / "cache", LoadOptions(), 256, silent)
    return AnswerReader(Group(task, corpus, corpus, Origin("m", "float32", "d"), frozenset()), resources)


def test_activations_and_confidence_are_those_of_the_plain_model(tmp_path: Path) -> None:
    one = reader(tmp_path)
    answers, network = one.answers, load_model("tiny-random", LoadOptions(), silent).network
    for row in (0, 7, 23):
        taken = one.taken.sequences[row]
        with torch.no_grad():
            out = network(torch.tensor([taken.ids]), output_hidden_states=True)
        plain = torch.stack([out.hidden_states[1][0, p] for p in taken.at])
        assert torch.allclose(torch.tensor(answers.activation_nLPD[row, 0]), plain, atol=1e-5)
        logp = out.logits[0, taken.start - 1 : -1].log_softmax(-1).double()
        own = logp.gather(1, torch.tensor(taken.ids[taken.start :])[:, None])[:, 0]
        expected = [own.mean(), own.min(), -(logp.exp() * logp).sum(1).mean(), logp.amax(1).exp().mean()]
        assert answers.confidence_nK[row] == pytest.approx([float(x) for x in expected], abs=1e-5)


def test_what_was_read_is_found_again_and_a_torn_file_is_read_anew(tmp_path: Path) -> None:
    first = reader(tmp_path).answers
    files = sorted((tmp_path / "cache" / "answers").rglob("*.safetensors"))
    files[0].write_bytes(files[0].read_bytes()[:40])
    again = reader(tmp_path)
    assert np.array_equal(again.answers.activation_nLPD, first.activation_nLPD)
    assert np.array_equal(again.answers.confidence_nK, first.confidence_nK)


@pytest.mark.parametrize(
    ("positions", "start", "length", "expected"),
    [
        (Positions(prompt=True, first=3), 5, 9, (4, 5, 6, 7)),
        (Positions(prompt=False, first=0, even=2), 5, 9, (6, 8)),
        (Positions(prompt=True, first=0, even=4), 1, 5, (0, 1, 2, 3, 4)),
        (Positions(prompt=True, first=3), 5, 7, None),
        (Positions(prompt=True, first=0, even=0), 5, 5, None),
        (Positions(prompt=True, first=1), 0, 4, None),
    ],
)
def test_places(positions: Positions, start: int, length: int, expected: tuple[int, ...] | None) -> None:
    assert places(start, length, positions) == expected


def test_columns_become_rows() -> None:
    held = table([{"q": 1, "a": {"x": 2}, "b": {"x": 3}}])
    found = unpivoted(held, ("a", "b"), "who")
    assert list(found.rows) == [{"q": 1, "x": 2, "who": "a"}, {"q": 1, "x": 3, "who": "b"}]


@pytest.mark.parametrize(("columns", "says"), [(("c",), "column 'c' is not there"), (("q",), "must hold an object")])
def test_columns_that_cannot_become_rows_are_refused(columns: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError, match=says):
        list(unpivoted(table([{"q": 1, "a": {"x": 2}}]), columns, "who").rows)


def test_an_answer_changes_the_fingerprint_and_not_the_text(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "d" / "test.jsonl", [{"text": f"t{i}", "said": "a"} for i in range(9)])
    plain = folder_task(folder)
    library = Library([content(tmp_path, 3)])
    answers = library.task("sums").answers
    asked = plain.model_copy(update={"answers": answers and answers.model_copy(update={"given": "{{ said }}"})})
    one, two = load_corpus(plain), load_corpus(asked)
    assert one.fingerprint != two.fingerprint
    assert {d.text for d in two.splits["test"]} == {d.text for d in one.splits["test"]}
    assert {d.answer for d in two.splits["test"]} == {"a"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"answers.right": "nonsense"}, "label 'nonsense'"),
        ({"answers.least": "500"}, "need 500 right and 500 wrong"),
        ({"answers.positions": "{prompt: false, first: 0, even: 0}"}, "at least one position"),
        ({"answers.positions": "{first: 60}"}, "positions"),
        ({"site": "{depth: 0.5, depths: [0.5]}"}, "exactly one of"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(
    changes: dict[str, str], says: str, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(UserError, match=says):
        evaluate("majority", "sums", tmp_path / "run", include_path=[content(tmp_path, 20)], set=changes)


@pytest.mark.parametrize(
    ("method", "task", "says"),
    [("raw_lr", "gsm_symbolic", "is an error_probe"), ("topk", "sums", "Methods that fit: .*raw_lr")],
)
def test_kinds_that_do_not_fit_are_refused(method: str, task: str, says: str, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=says):
        evaluate(method, task, tmp_path / "run", include_path=[content(tmp_path, 20)])
