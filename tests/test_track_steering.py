"""Track ``steering`` from end to end on a small model: nothing done is nothing, choices are of validation problems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.api import silent
from harness.data.tokens import TokenBatch
from harness.errors import UserError
from harness.run.engine import Outcome
from harness.run.evaluate import evaluate, prepare
from harness.run.tracks import make_track
from harness.store.records import StoredRecord
from harness.tracks.steering import Steering

TASK = """\
task: {name}
version: 1
title: Small sums, steered
track: steering
model: tiny-random
data: {data}
text: "{{{{ question[-28:] }}}}\\nAnswer:"
label: "{{{{ answer }}}}"
ask: {{gold: " {{{{ answer }}}}", written: {{max_tokens: 12, extract: '[0-9]+'}}}}
steering:
  vocabulary: {{words: [{{word: e, forms: [e, E]}}, {{word: is, forms: [is, Is]}}]}}
  norms: [0.1, 0.4]
  kls: [0.01, 0.1]
  problems: 10
  val_problems: 5
  directions: 3
  neutral_texts: 4
  neutral_tokens: 12
  temperature: 1.0
{more}
site: {{layer: 0}}
budget: {{train_tokens: 600, val_tokens: 200, passes: 1, latents: 96, l0: 6, context: 96}}
metrics: [d_acc, d_reflect, d_acc_over_bias, d_reflect_over_bias, over_random, dose_slope, anti_frac, answer_acc,
  d_gold_loglik, reflect_rate, trace_len, len_ratio, censored, helped, harmed, hm_offline, ppl_base, rep4, distinct2,
  side_kl, side_acc, steer_acc_margin, steer_reflect_margin]
controls: {{ceiling: [none], floor: [random_dir]}}
seeds: [0]
"""
SUMS = (
    "{source: reasoning_gym, name: chain_sum, size: 60, seed: 1, group: question, "
    "splits: {train: .5, val: .2, test: .3}}"
)
LEVELS = (
    "{source: reasoning_gym, name: chain_sum, size: 40, group: id, splits: {train: .5, val: .2, test: .3}, "
    "levels: [{min_digits: 4, max_digits: 4}, {min_digits: 1, max_digits: 1}]}"
)


@pytest.fixture(scope="module")
def included(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steered")
    (folder / "tasks").mkdir()
    kinds = {"steered": (SUMS, ""), "often": (SUMS, "  samples: 3"), "levels": (LEVELS, "  band: [0.0001, 1.0]")}
    for name, (data, more) in kinds.items():
        text = TASK.format(name=name, data=data, more=more).replace("\n\n", "\n")
        (folder / "tasks" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(included: Path, folder: Path) -> Callable[..., Outcome]:
    """Return a function that evaluates methods on one of the tasks, under one cache."""

    def call(method: str, task: str, name: str, **options: Any) -> Outcome:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HARNESS_CACHE", str(folder / "cache"))
            return evaluate(method, task, folder / name, include_path=[included], **options)

    return call


@pytest.fixture(scope="module")
def first(run: Callable[..., Outcome]) -> Outcome:
    return run("diffmean,logit_bias,sae_feature,word_ban,prompt", "steered", "first")


def stored(outcome: Outcome, method: str) -> StoredRecord:
    (found,) = [s for s in outcome.records if s.record.method.name == method]
    assert found.record.status == "ok", found.record.reason
    return found


def values(outcome: Outcome, method: str) -> dict[str, float | None]:
    return {name: metric.value for name, metric in stored(outcome, method).record.metrics.items()}


def steering(included: Path, task: str, tmp_path: Path, **given: Any) -> Steering:
    call = prepare(["none"], task, tmp_path, {"include_path": [included], "controls": False, **given})
    track = make_track(call.groups[-1], call.resources(silent))
    assert isinstance(track, Steering)
    return track


def test_nothing_done_is_nothing(first: Outcome) -> None:
    found, zero = values(first, "none"), {"side_kl", "side_acc", "helped", "harmed", "dose_slope", "anti_frac"}
    assert {found[name] for name in found if name.startswith("d_")} | {found[name] for name in zero} == {0.0}
    assert found["len_ratio"] == 1
    parts = stored(first, "none").parts()
    assert (parts["tokens"] == parts["tokens_clean"]).all()


def test_every_method_beside_the_same_unsteered_texts(first: Outcome) -> None:
    every = {name: stored(first, name).parts() for name in ("none", "diffmean", "logit_bias", "prompt", "random_dir")}
    for name, parts in every.items():
        for what in ("hits_clean", "tokens_clean", "right_clean", "gold_logp_clean", "n"):
            np.testing.assert_array_equal(parts[what], every["none"][what], err_msg=f"{name}: {what}")
    assert values(first, "diffmean")["d_gold_loglik"] != 0
    assert values(first, "word_ban")["reflect_rate"] == 0
    assert values(first, "word_ban")["side_kl"] is None
    # At equal divergence the bias beside a bias on the words is itself.
    bias = every["logit_bias"]
    np.testing.assert_array_equal(bias["hits"], bias["hits_bias"])
    assert values(first, "logit_bias")["side_kl"] == pytest.approx(0.01, rel=0.02) or values(first, "logit_bias")[
        "side_kl"
    ] == pytest.approx(0.1, rel=0.02)


def test_doses_and_choices_are_in_the_record(first: Outcome) -> None:
    details = stored(first, "diffmean").record.details
    assert [details[f"dose, try {number}"] for number in (1, 2)] == pytest.approx([0.1, 0.4], rel=1e-3)
    # Fitted on one text and writing another: the norms are not quite the same there, and the record says so.
    ratio = [details[f"dose written, try {number}"] / details[f"dose, try {number}"] for number in (1, 2)]
    assert ratio[0] == pytest.approx(ratio[1], rel=1e-3)
    assert 0.5 < ratio[0] < 2
    assert ratio[0] != 1
    best = int(details["chosen try"])
    assert details["strength"] == details[f"strength, try {best}"]
    helped, harmed = (stored(first, "diffmean").parts()[name].sum() for name in ("helped", "harmed"))
    assert (details["right under the edit alone"], details["right as it is alone"]) == (helped, harmed)
    assert details["p of d_acc (McNemar)"] <= 1
    assert details[f"val hm, try {best}"] == max(details["val hm, try 1"], details["val hm, try 2"])
    assert (details["problems"], details["validation problems"]) == (10, 5)
    # Items say of each problem what became of it.
    items = stored(first, "diffmean").items()
    assert items is not None
    assert len(items) == 10
    for item in items:
        numbers = item.numbers
        assert numbers["helped"] == numbers["right"] * (1 - numbers["right_clean"])
        assert numbers["harmed"] == numbers["right_clean"] * (1 - numbers["right"])


def test_windows_around_the_words_are_what_a_naive_loop_finds(included: Path, tmp_path: Path) -> None:
    track = steering(included, "steered", tmp_path)
    behaviour, batches = track._behaviour, track.site.fit_sequences("train").batches
    rows = [row for batch in batches for row in _naive(batch, behaviour.sequences)]
    np.testing.assert_array_equal(behaviour.in_N.numpy(), rows)
    assert 0 < sum(rows) < len(rows) == track.train().x.doc_N.shape[0]


def _naive(batch: TokenBatch, sequences: tuple[tuple[int, ...], ...]) -> list[bool]:
    found: list[bool] = []
    for ids, docs, keep in zip(batch.ids_BT.tolist(), batch.doc_BT.tolist(), batch.keep_BT.tolist(), strict=True):
        text = [id_ for id_, doc in zip(ids, docs, strict=True) if doc >= 0]
        near = {
            at
            for sequence in sequences
            for start in range(len(text))
            if tuple(text[start : start + len(sequence)]) == sequence
            for at in range(start - 2, start + len(sequence) + 3)
        }
        first = next(i for i, doc in enumerate(docs) if doc >= 0)
        found += [column - first in near for column, kept in enumerate(keep) if kept]
    return found


def test_test_problems_decide_nothing(included: Path, tmp_path: Path, run: Callable[..., Outcome]) -> None:
    """Fewer test problems leave every choice as it is; other validation problems are another table."""
    whole, fewer = (run("diffmean", "steered", f"n{n}", set={"steering.problems": n}) for n in ("9", "4"))
    chosen = ("strength", "dose, try 1", "val hm, try 1", "val hm, try 2", "val reflect rate, try 2", "chosen try")
    for name in chosen:
        assert stored(whole, "diffmean").record.details[name] == stored(fewer, "diffmean").record.details[name]
    track = steering(included, "steered", tmp_path)
    assert not {one.id for one in track.problems.val} & {one.id for one in track.problems.test}
    other = steering(included, "steered", tmp_path, set={"steering.val_problems": "4"})
    assert not set(track.units()) & set(other.units())


def test_several_texts_vote_and_are_all_counted(run: Callable[..., Outcome]) -> None:
    parts = stored(run("none", "often", "often"), "none").parts()
    assert (parts["texts"] == 3 * parts["n"]).all()
    assert parts["tokens"].sum() > 12 * parts["n"].sum()
    assert (parts["right"] <= parts["n"]).all()


def test_a_level_is_chosen_by_the_model_as_it_is(run: Callable[..., Outcome]) -> None:
    """The tiny model writes no sum of four-digit numbers; where no level is right, the first is as good as any."""
    record = stored(run("none", "levels", "levels"), "none").record
    assert {"right on val, level 0", "right on val, level 1", "level"} <= set(record.details)
    assert any("at no level" in note for note in record.warnings) or record.details["level"] == 1


def test_fits_follow_the_words_of_those_who_look_at_them(included: Path, tmp_path: Path) -> None:
    sets = {"steering.vocabulary": "{words: [{word: a, forms: [a]}]}"}
    given: dict[str, Any] = {"include_path": [included]}
    one, other = (
        {
            c.entry.found.slug: c.fit
            for c in prepare(["diffmean", "random_dir"], "steered", tmp_path, more).groups[-1].cells
        }
        for more in (given, given | {"set": sets})
    )
    assert one["diffmean"] != other["diffmean"]
    assert one["random_dir"] == other["random_dir"]


def test_verdicts_stand_on_the_board_and_in_comparisons_and_the_gate(first: Outcome, folder: Path) -> None:
    (table,) = harness.load_board(folder / "first").tables
    words = {row.name: [verdict.word for verdict in row.verdicts if verdict.name == "steering"] for row in table.rows}
    assert words["none"] in (["NO_EFFECT"], ["INCONCLUSIVE"])
    assert all(len(found) == 1 for found in words.values())
    assert words["random_dir"] != ["STEERS"]
    compared = harness.compare("diffmean", "random_dir", str(folder / "first"))
    assert [table.task for table in compared.tables] == ["steered"]
    assert harness.gate(str(folder / "first"), str(folder / "first")).verdict == "pass"


def test_what_cannot_be_measured_is_refused_before_a_model_loads(included: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"include_path": [included], "controls": False}
    for sets, said in (
        ({"steering.norms": "[0.4, 0.1]"}, "the weakest first"),
        ({"ask": "{choices: [a, b]}"}, "give 'ask.written' and 'ask.gold'"),
        ({"data.splits": "{train: .5, test: .5}"}, "give 'data.splits' a share for val"),
        ({"steering.vocabulary": "{file: nowhere.txt}"}, "vocabulary file 'nowhere.txt' does not exist"),
        ({"steering.problem": "3"}, "problem"),
    ):
        with pytest.raises(UserError, match=said):
            prepare(["none"], "steered", tmp_path, {**given, "set": sets})


def test_words_that_do_not_occur_are_refused(run: Callable[..., Outcome]) -> None:
    with pytest.raises(UserError, match="none of its words occurs in what methods are fitted on"):
        run("diffmean", "steered", "absent", set={"steering.vocabulary": "{words: [{word: q, forms: [qqq]}]}"})
