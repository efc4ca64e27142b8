"""Track ``answers``: the numbers of lm-eval without an edit, and what an edit changes; killed, split, refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.models.huggingface import HFLM

import harness
import harness.api
from harness.api import Intervention
from harness.data.rows import load_corpus
from harness.errors import UserError
from harness.lm.answering import Answering
from harness.lm.loading import LoadOptions, load_model
from harness.registry import check_params, method_class
from harness.run.engine import Outcome
from harness.run.evaluate import evaluate, prepare
from harness.run.tracks import make_track
from harness.specs.library import Library
from harness.specs.record import Record
from harness.store.records import StoredRecord
from harness.testing import check_steerer

TASK = """\
task: {name}
version: 1
title: Small sums
track: answers
model: tiny-random
data: {{source: reasoning_gym, name: chain_sum, size: 40, seed: 1, group: question, splits: {splits}}}
text: "Question: {{{{ question[-28:] }}}}\\nAnswer:"
label: "{label}"
ask: {ask}
site: {{layer: 0}}
budget: {{{fit}context: 96, test_tokens: 5000}}
metrics: [{metrics}]
{more}
seeds: [0]
"""
FIT = "train_tokens: 600, val_tokens: 200, passes: 1, latents: 96, l0: 6, "
SPLITS = "{train: 0.5, val: 0.2, test: 0.3}"
PARITY = "{{ 'even' if answer|int % 2 == 0 else 'odd' }}"
CHOICES = "{choices: [even, odd]}"
# The tiny model writes no numbers: whatever letter comes last is its answer.
WRITTEN = '{gold: " {{ answer }}", written: {max_tokens: 6, extract: "[^0-9]$", until: ["Q"], judge: exact}}'
SQUAD = '{gold: " {{ answer }}", written: {max_tokens: 6, judge: words}}'
COMMON = "gold_loglik, d_gold_loglik"


def content(folder: Path) -> Path:
    """Return a folder to include with a task that weighs choices, and two whose answers are written."""
    (folder / "tasks").mkdir()
    kinds = {
        "parity": (PARITY, CHOICES, f"answer_acc, d_acc, choice_loglik, d_choice_loglik, {COMMON}"),
        "sums": ("{{ answer }}", WRITTEN, f"answer_acc, d_acc, {COMMON}"),
        "words": ("{{ answer }}\\nanother", SQUAD, f"answer_em, answer_f1, d_f1, {COMMON}"),
    }
    for name, (label, ask, metrics) in kinds.items():
        more = "controls: {ceiling: [none]}"
        text = TASK.format(name=name, splits=SPLITS, label=label, ask=ask, fit=FIT, metrics=metrics, more=more)
        (folder / "tasks" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def included(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return content(tmp_path_factory.mktemp("asked"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(included: Path, folder: Path) -> Callable[..., Outcome]:
    """Return a function that evaluates methods on one of the tasks, under one cache."""

    def call(method: str, task: str, name: str, cache: str = "cache", **options: Any) -> Outcome:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HARNESS_CACHE", str(folder / cache))
            return evaluate(method, task, folder / name, include_path=[included], **options)

    return call


@pytest.fixture(scope="module")
def first(run: Callable[..., Outcome]) -> Outcome:
    return run("none,identity,mean_only,shared_unique_causal", "parity,sums,words", "first")


def stored(outcome: Outcome, method: str, task: str) -> StoredRecord:
    (found,) = [s for s in outcome.records if (s.record.method.name, s.record.task.name) == (method, task)]
    assert found.record.status == "ok", found.record.reason
    return found


def values(outcome: Outcome, method: str, task: str) -> dict[str, float | None]:
    record: Record = stored(outcome, method, task).record
    return {name: metric.value for name, metric in record.metrics.items()}


class _Request:
    """What lm-eval's model reads of a request."""

    def __init__(self, *args: Any) -> None:
        self.args, self.task_name = args, "mine"


def theirs(included: Path) -> tuple[list[Any], list[str], HFLM]:
    """Return the documents, their right answers, and lm-eval's own model, in batches of another size."""
    model = load_model("tiny-random", LoadOptions(device="cpu"))
    documents = load_corpus(Library([included]).task("parity")).splits["test"]
    answers = [d.answer or "" for d in load_corpus(Library([included]).task("sums")).splits["test"]]
    return list(documents), answers, HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=3)


def test_the_model_as_it_is_scores_what_lm_evals_own_model_gives(first: Outcome, included: Path) -> None:
    """Requests put by hand to their HFLM, and scored by hand."""
    documents, answers, lm = theirs(included)
    asked = [(d.text, f" {choice}") for d in documents for choice in ("even", "odd")]
    pairs = np.array([nats for nats, _ in lm.loglikelihood([_Request(*one) for one in asked])]).reshape(-1, 2)
    gold = np.array([("even", "odd").index(str(d.label)) for d in documents])
    tokens = [len(lm._encode_pair(d.text, f" {d.label}")[1]) for d in documents]
    found = values(first, "none", "parity")
    assert found["answer_acc"] == np.mean(pairs.argmax(1) == gold)
    assert found["gold_loglik"] == pytest.approx(pairs[np.arange(len(gold)), gold].sum() / sum(tokens), rel=1e-5)
    own = pairs - np.log(np.exp(pairs).sum(1, keepdims=True))
    assert found["choice_loglik"] == pytest.approx(own[np.arange(len(gold)), gold].mean(), rel=1e-5)
    texts = lm.generate_until(
        [_Request(d.text, {"until": ["Q"], "do_sample": False, "max_gen_toks": 6}) for d in documents]
    )
    items = stored(first, "none", "sums").items()
    assert items is not None
    assert [one.answer for one in items] == texts
    assert [one.id for one in items] == [d.id for d in documents]
    read = lm.loglikelihood([_Request(d.text, answer) for d, answer in zip(documents, answers, strict=True)])
    for one, (nats, _) in zip(items, read, strict=True):
        assert one.numbers["gold_logp"] == pytest.approx(nats, rel=1e-5)


@pytest.mark.parametrize("task", ["parity", "sums", "words"])
def test_what_returns_its_activations_changes_no_bit_and_the_mean_does(task: str, first: Outcome) -> None:
    plain, same, mean = (values(first, method, task) for method in ("none", "identity", "mean_only"))
    assert plain == same
    assert {value for name, value in plain.items() if name.startswith("d_")} == {0.0}
    parts = [stored(first, method, task).parts() for method in ("none", "identity")]
    assert all(np.array_equal(parts[0][name], parts[1][name]) for name in parts[0])
    assert mean["gold_loglik"] is not None
    assert plain["gold_loglik"] is not None
    assert mean["gold_loglik"] != plain["gold_loglik"]
    assert mean["d_gold_loglik"] == pytest.approx(mean["gold_loglik"] - plain["gold_loglik"], abs=1e-9)
    if "d_acc" in mean:
        assert mean["d_acc"] == pytest.approx((mean["answer_acc"] or 0) - (plain["answer_acc"] or 0))


def test_a_share_of_questions_has_the_interval_of_a_share_even_at_the_floor(first: Outcome) -> None:
    record = stored(first, "none", "sums").record
    accuracy, questions = record.metrics["answer_acc"], int(record.details["questions"])
    assert (accuracy.value, accuracy.interval) == (0.0, "wilson")
    z = 1.959963984540054
    assert accuracy.lo == pytest.approx(0, abs=1e-12)
    assert accuracy.hi == pytest.approx(z**2 / questions / (1 + z**2 / questions), rel=1e-9)


def test_what_changes_nothing_keeps_the_contract_of_steerers() -> None:
    found = Library().method("none")
    steerer = check_steerer(method_class(found), check_params(found, method_class(found), {}), seeded=False)
    assert steerer.steer(1.0) == Intervention()


def test_a_comparison_pairs_two_methods_over_questions(first: Outcome, folder: Path) -> None:
    compared = harness.compare("none", "mean_only", str(folder / "first"))
    rows = {row.metric: row for table in compared.tables if table.task == "parity" for row in table.metrics}
    own = stored(first, "mean_only", "parity").record.metrics["d_gold_loglik"]
    assert own.value is not None
    assert own.lo is not None
    assert rows["gold_loglik"].difference.value == pytest.approx(-own.value)
    assert rows["gold_loglik"].difference.lo is not None
    assert {table.track for table in harness.load_board(folder / "first").tables} == {"answers"}
    assert harness.gate(str(folder / "first"), str(folder / "first")).verdict == "pass"


def test_where_little_is_right_a_bar_on_what_is_lost_says_that_it_cannot_be_missed(run: Callable[..., Outcome]) -> None:
    """No sum is right without an edit, so what ruins the model loses nothing."""
    bars = {"bars": "{d_acc: {min: -0.03, by: interval}}"}
    said = "answers 0 of 12 questions rightly, and no edit can lose more: the bar on d_acc cannot be missed"
    notes = stored(run("mean_only", "sums", "floor", set=bars), "mean_only", "sums").record.warnings
    assert any(said in note for note in notes), notes
    notes = stored(run("mean_only", "parity", "room", set=bars), "mean_only", "parity").record.warnings
    assert not any("cannot be missed" in note for note in notes), notes


def test_what_is_kept_of_one_device_is_not_taken_on_another(
    included: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums are added in another order there, so the change of an edit would hold a change of device."""
    given: Any = {"include_path": [included], "controls": False}
    call = prepare(["identity"], "parity", tmp_path, given)
    track = make_track(call.groups[-1], call.resources(harness.api.silent))
    here = track.units()
    monkeypatch.setattr(type(track), "model_device", lambda self: "cuda:0")
    assert len(set(here) | set(track.units())) == 2 * len(here)


def test_batches_of_another_size_give_the_same_totals(first: Outcome, run: Callable[..., Outcome]) -> None:
    other = run("mean_only", "parity,words", "others", "elsewhere", batch_size=1)
    for task in ("parity", "words"):
        parts, again = stored(first, "mean_only", task).parts(), stored(other, "mean_only", task).parts()
        assert parts.keys() == again.keys()
        for name, value in parts.items():
            assert again[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name


def test_a_run_killed_between_batches_goes_on_and_ends_alike(
    first: Outcome, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ask = Answering.ask

    def killed(self: Answering, task: Any, rows: Any, *rest: Any) -> Any:
        asked.append(len(rows))
        if len(asked) == stop:
            raise KeyboardInterrupt
        return ask(self, task, rows, *rest)

    monkeypatch.setattr(Answering, "ask", killed)
    # Few questions at a time: each batch is asked as the model is, and then under the edit.
    stop, options = 6, {"batch_size": 1, "set": {"budget.context": "200"}}
    with pytest.raises(KeyboardInterrupt):
        run("mean_only", "sums", "killed", "killed", **options)
    stop = 0
    again = run("mean_only", "sums", "killed", "killed", **options)
    killed_and_again = len(asked)
    asked.clear()
    whole = run("mean_only", "sums", "whole", "whole", **options)
    assert killed_and_again == len(asked) + 1, "the request that was cut off is asked again, and no other"
    assert values(again, "mean_only", "sums") == values(whole, "mean_only", "sums")
    again_parts, whole_parts = (stored(one, "mean_only", "sums").parts() for one in (again, whole))
    assert all(np.array_equal(again_parts[name], whole_parts[name]) for name in whole_parts)


@pytest.mark.parametrize(
    ("method", "change", "says"),
    [
        (
            "shared_unique",
            {},
            "reads later tokens; task 'parity' \\(track 'answers'\\) takes dictionary, steerer that read",
        ),
        ("raw_lr", {}, "'raw_lr' is an error_probe"),
        ("none", {"ask.choices": "[even, other]"}, "has the label 'odd'; ask.choices are even, other"),
        ("none", {"label": "null"}, "give the task 'label'"),
        ("none", {"label": "''"}, "there is no question to ask; of 12 documents 12 have no label"),
        ("none", {"ask": "null"}, "track 'answers' needs 'ask': how the model"),
        ("none", {"budget.context": "8"}, "12 do not fit into 'budget.context', 8 tokens"),
        ("none", {"budget.context": "1000000"}, "'budget.context' is 1000000"),
        ("none", {"ask.gold": "a"}, "'gold' goes with 'written'"),
        ("none", {"ask.written": "{max_tokens: 3}"}, "exactly one of 'choices'"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    method: str, change: dict[str, str], says: str, run: Callable[..., Outcome]
) -> None:
    with pytest.raises(UserError, match=says):
        run(method, "parity", "refused", set=change, controls=False)


def test_other_tracks_ask_nothing(run: Callable[..., Outcome]) -> None:
    with pytest.raises(UserError, match="'ask' is not used by track"):
        run("topk", "gsm_symbolic", "refused", set={"ask.choices": "[a, b]"})


@pytest.mark.model
def test_eight_questions_on_the_default_model_equal_lm_evals_own(tmp_path: Path, data_dir: Path) -> None:
    """Bit for bit: the batches are theirs."""
    options: dict[str, Any] = {"data_dir": data_dir, "limit": 8, "controls": False, "seeds": [0]}
    sizes = {f"budget.{key}": value for key, value in (("train_tokens", "300"), ("val_tokens", "200"))}
    outcome = evaluate("none", "boolq_answers", tmp_path, set=sizes, **options)
    record = stored(outcome, "none", "boolq_answers")
    items = record.items()
    assert items is not None
    model = load_model("smollm2-135m-instruct", LoadOptions(device="cpu"))
    documents = load_corpus(Library().task("boolq_answers"), data_dir=data_dir, limit=8).splits["test"]
    texts = {d.id: d.text for d in documents}
    size = int(record.record.details["requests at once: choose"])
    lm = HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=size)
    asked = [_Request(texts[one.id], f" {choice}") for one in items for choice in ("no", "yes")]
    nats = [one[0] for one in lm.loglikelihood(asked)]
    for row, one in enumerate(items):
        assert one.numbers["gold_logp"] == nats[2 * row + ("no", "yes").index(one.label)]
