"""``lm_eval:NAME``: tasks of lm-eval under an edit; without one, every number is that of lm-eval's own run."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

import harness
from harness.errors import UserError
from harness.lm.loading import LoadOptions, load_model
from harness.replay.rebuild import Sources, rebuild
from harness.run.engine import Outcome
from harness.run.evaluate import evaluate
from harness.specs.library import Library
from harness.specs.lm_eval_tasks import find
from harness.stats.paired import mcnemar
from harness.store.records import StoredRecord

TASKS: dict[str, dict[str, Any]] = {
    # Choices of several tokens and examples before each question, drawn by chance from another split.
    "colours": {
        "output_type": "multiple_choice",
        "training_split": "train",
        "num_fewshot": 2,
        "doc_to_text": "{{question}} Answer:",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "right",
        "metric_list": [
            {"metric": one, "aggregation": "mean", "higher_is_better": True} for one in ("acc", "acc_norm")
        ],
    },
    # What is written, judged behind two filters.
    "letters": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}} Answer:",
        "doc_to_target": "{{letter}}",
        "generation_kwargs": {"until": ["Q"], "max_gen_toks": 6, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "filter_list": [
            {"name": "first", "filter": [{"function": "regex", "regex_pattern": "^(.)"}, {"function": "take_first"}]},
            {
                "name": "last",
                "filter": [
                    {"function": "regex", "regex_pattern": "([^0-9])$", "group_select": -1},
                    {"function": "take_first"},
                ],
            },
        ],
    },
    # The one continuation, as in LAMBADA.
    "words": {
        "output_type": "loglikelihood",
        "doc_to_text": "{{question}}",
        "doc_to_target": " {{choices[right]}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    },
}
SMALL = {
    "budget.train_tokens": "600",
    "budget.val_tokens": "200",
    "budget.passes": "1",
    "budget.latents": "96",
    "budget.l0": "6",
    "budget.context": "256",
}
ROWS = 12


def rows(split: str) -> list[dict[str, Any]]:
    draw = random.Random(split)
    letters = "abcdefghijklmnopqrstuvwxyz"

    def word(least: int, most: int) -> str:
        return "".join(draw.choices(letters, k=draw.randint(least, most)))

    return [
        {
            "question": " ".join(word(2, 6) for _ in range(draw.randint(2, 7))),
            "choices": [word(1, 5) for _ in range(draw.randint(2, 4))],
            "right": draw.randint(0, 1),
            "letter": draw.choice(letters),
        }
        for _ in range(ROWS)
    ]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with rows and a task file of each kind."""
    folder = tmp_path_factory.mktemp("theirs")
    files = {split: str(folder / f"{split}.jsonl") for split in ("train", "test")}
    for split, path in files.items():
        Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows(split)), encoding="utf-8")
    for name, keys in TASKS.items():
        where = {"dataset_path": "json", "dataset_kwargs": {"data_files": files}, "test_split": "test"}
        text = yaml.safe_dump({"task": name, **where, **keys})
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outcome]:
    """Return a function that evaluates methods on one of the tasks, under one cache."""
    folder = tmp_path_factory.mktemp("runs")

    def call(method: str, task: str, name: str = "first", **options: Any) -> Outcome:
        options = {"model": "tiny-random", "controls": False, "seeds": [0], **options}
        options["set"] = SMALL | options.get("set", {})
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HARNESS_CACHE", str(folder / "cache"))
            named = task if ":" in task else f"lm_eval:{given / task}.yaml"
            return evaluate(method, named, folder / name, **options)

    return call


def stored(outcome: Outcome, method: str) -> StoredRecord:
    (found,) = [one for one in outcome.records if one.record.method.name == method]
    assert found.record.status == "ok", found.record.reason
    return found


def theirs(given: Path, task: str, size: int) -> dict[str, Any]:
    """Return what lm-eval's own command gives on the same file, in batches of the same size."""
    model = load_model("tiny-random", LoadOptions(device="cpu"))
    keys = yaml.safe_load((given / f"{task}.yaml").read_text(encoding="utf-8"))
    keys["dataset_kwargs"]["cache_dir"] = str(given / "cache")
    found: dict[str, Any] = simple_evaluate(
        HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=size),
        tasks=[keys],
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )
    return found


def by_document(samples: list[dict[str, Any]], kept: str | None = None) -> dict[int, dict[str, Any]]:
    return {one["doc_id"]: one for one in samples if kept is None or one["filter"] == kept}


@pytest.mark.parametrize(("task", "score", "kept"), [("colours", "acc", "none"), ("words", "acc", "none")])
def test_what_is_read_has_lm_evals_own_numbers_bit_for_bit(
    task: str, score: str, kept: str, given: Path, run: Callable[..., Outcome]
) -> None:
    record = stored(run("none", task), "none")
    kind = "choose" if task == "colours" else "gold"
    own = theirs(given, task, int(record.record.details[f"requests at once: {kind}"]))
    assert record.record.metrics["answer_acc"].value == own["results"][task][f"{score},{kept}"]
    items, samples = record.items(), by_document(own["samples"][task])
    assert items is not None
    assert sorted(int(one.id.rpartition("/")[2]) for one in items) == sorted(samples)
    for one in items:
        sample = samples[int(one.id.rpartition("/")[2])]
        assert one.prompt == sample["arguments"][0][0]
        assert one.numbers["right"] == sample[score]
        nats = [response[0][0] for response in sample["resps"]]
        assert one.numbers["gold_logp"] == nats[sample["target"] if task == "colours" else 0]
        if task == "colours":
            expected = nats[sample["target"]] - np.logaddexp.reduce(np.array(nats))
            assert one.numbers["choice_logp"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kept", ["first", "last"])
def test_what_is_written_has_lm_evals_own_words_and_scores(kept: str, given: Path, run: Callable[..., Outcome]) -> None:
    record = stored(run("none", "letters", kept, set={"ask.lm_eval.filter": kept}), "none")
    own = theirs(given, "letters", int(record.record.details["requests at once: write"]))
    assert record.record.metrics["answer_acc"].value == own["results"]["letters"][f"exact_match,{kept}"]
    items, samples = record.items(), by_document(own["samples"]["letters"], kept)
    assert items is not None
    for one in items:
        sample = samples[int(one.id.rpartition("/")[2])]
        assert (one.prompt, one.answer) == (sample["arguments"][0][0], sample["resps"][0][0])
        assert (one.numbers["right"], one.label) == (sample["exact_match"], sample["target"])
    assert any("'last'" in note or "'first'" in note for note in record.record.warnings)


def test_an_edit_that_changes_nothing_changes_no_bit_and_the_mean_does(run: Callable[..., Outcome]) -> None:
    outcome = run("none,identity,mean_only", "colours", "edits")
    plain, same, mean = (stored(outcome, method) for method in ("none", "identity", "mean_only"))
    assert all(np.array_equal(value, same.parts()[name]) for name, value in plain.parts().items())
    change = mean.record.metrics["d_choice_loglik"]
    assert change.value not in (None, 0.0)
    assert change.lo is not None
    # Of the same documents, each beside what the model says as it is.
    assert np.array_equal(mean.parts()["right_clean"], plain.parts()["right"])


def test_answers_that_an_edit_turns_are_counted_and_tested_item_by_item(run: Callable[..., Outcome]) -> None:
    outcome = run("none,mean_only", "colours", "turned")
    mean = stored(outcome, "mean_only")
    items = mean.items()
    assert items is not None
    gained = sum(one.numbers["right"] > one.numbers["right_clean"] for one in items)
    lost = sum(one.numbers["right"] < one.numbers["right_clean"] for one in items)
    assert gained + lost > 0
    details = mean.record.details
    assert (details["right under the edit alone"], details["right as it is alone"]) == (gained, lost)
    assert details["p of d_acc (McNemar)"] == mcnemar(gained, lost)
    (table,) = harness.compare("mean_only", "none", str(mean.path.parents[3])).tables
    said = f"A alone is right on {gained}, B alone on {lost}, p = {mcnemar(gained, lost):.2g} (seeds 0 and 0)"
    assert any(note.startswith("answer_acc, item by item") and said in note for note in table.notes), table.notes


def test_prompts_do_not_depend_on_how_many_questions_are_asked(run: Callable[..., Outcome]) -> None:
    whole, part = (stored(run("none", "colours", f"limit{n}", limit=n), "none").items() for n in (ROWS, 5))
    assert whole is not None
    assert part is not None
    assert len(part) == 5
    prompts = {one.id: one.prompt for one in whole}
    assert all(prompts[one.id] == one.prompt for one in part)


def test_another_of_its_scores_can_be_kept(given: Path, run: Callable[..., Outcome]) -> None:
    record = stored(run("none", "colours", "norm", set={"ask.lm_eval.score": "acc_norm"}), "none").record
    own = theirs(given, "colours", int(record.details["requests at once: choose"]))
    assert record.metrics["answer_acc"].value == own["results"]["colours"]["acc_norm,none"]
    assert "of lm-eval's metrics acc are not kept" in record.warnings


BROKEN = [
    ("colours", {"ask.lm_eval.score": "accuracy"}, "unknown metric 'accuracy'. Allowed: acc, acc_norm"),
    ("letters", {"ask.lm_eval.filter": "frist"}, "unknown filter 'frist'. Did you mean 'first'"),
    ("colours", {"data.group": "colour"}, "unknown column 'colour'. Allowed: choices, letter, question, right"),
    ("colours", {"text": "a"}, "'ask.lm_eval' writes prompts and labels itself"),
    ("colours", {"ask.choices": "[a, b]"}, "'lm_eval' asks by itself: take out 'choices'"),
    ("colours", {"ask.lm_eval.shots": "99"}, "lm-eval cannot read these rows (ValueError: Sample larger"),
    ("lm_eval:boolqq", {}, "unknown task of lm-eval 'boolqq'. Did you mean 'boolq'"),
    ("lm_eval:mmlu", {}, "Groups are not asked; single tasks that begin like it: "),
    ("lm_eval:wikitext", {}, "its output_type is 'loglikelihood_rolling'"),
    ("lm_eval:squadv2", {}, "is written in Python; only tasks in YAML"),
    ("lm_eval:humaneval", {}, "lm_eval:humaneval: runs what the model writes"),
    ("lm_eval:", {}, "wants the name of a task of lm-eval"),
    ("lm_eval:nowhere.yaml", {}, "task file 'nowhere.yaml' does not exist"),
]


@pytest.mark.parametrize(("task", "change", "says"), BROKEN)
def test_what_cannot_be_asked_is_refused_before_a_model_loads(
    task: str, change: dict[str, str], says: str, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.tracks.contract.load_model", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(UserError) as caught:
        run("none", task, "refused", set=change)
    assert says in str(caught.value), caught.value


def test_a_data_set_that_is_not_here_is_asked_for_by_the_folder_it_should_be_in(
    run: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.data.hub._commit", lambda data: None)
    monkeypatch.setattr("harness.data.hub._cached", lambda data: False)
    with pytest.raises(UserError, match=r"put its splits into DIR/super_glue_boolq/SPLIT\.jsonl and give --data-dir"):
        run("none", "lm_eval:boolq", "away", data_dir=tmp_path)


def test_rows_of_another_data_set_are_told_apart(run: Callable[..., Outcome], tmp_path: Path) -> None:
    folder = tmp_path / "super_glue_boolq"
    folder.mkdir()
    (folder / "validation.jsonl").write_text('{"question": "q", "passage": "p", "answer": true}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"of 1 rows lm-eval finds no right answer among the choices; do they have"):
        run("none", "lm_eval:boolq", "other", data_dir=tmp_path)
    (folder / "validation.jsonl").write_text('{"query": "q", "label": 1}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"lm-eval cannot read these rows \(UndefinedError: 'passage' is undefined\)"):
        run("none", "lm_eval:boolq", "other", data_dir=tmp_path)


def test_a_task_of_the_registry_reads_its_mirror_and_runs_its_own_code(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    """HellaSwag, whose rows are rewritten by a function beside its file."""
    folder = tmp_path / "hellaswag"
    folder.mkdir()
    row = {
        "activity_label": "Walking",
        "ctx_a": "A man",
        "ctx_b": "he",
        "endings": ["runs.", "eats [x] it."],
        "label": "1",
    }
    lines = [json.dumps(row | {"ctx_a": f"Man {k}"}) for k in range(4)]
    (folder / "validation.jsonl").write_text("\n".join(lines), encoding="utf-8")
    record = stored(run("none", "lm_eval:hellaswag", "hella", data_dir=tmp_path), "none")
    items = record.items()
    assert items is not None
    assert {one.prompt for one in items} == {f"Walking: Man {k} He" for k in range(4)}
    assert {one.label for one in items} == {"eats it."}
    assert record.record.task.spec["ask"]["lm_eval"]["name"] == "hellaswag"


def test_a_file_of_ones_own_runs_no_code_and_its_templates_see_data_alone(
    given: Path, tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    text = (given / "words.yaml").read_text(encoding="utf-8")
    (tmp_path / "code.yaml").write_text(f"{text}\nprocess_docs: !function mine.rows\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"runs code \('!function mine.rows'\)"):
        run("none", f"lm_eval:{tmp_path / 'code.yaml'}")
    keys = yaml.safe_load(text) | {"doc_to_text": "{{ question.__class__.__mro__ }}"}
    (tmp_path / "reach.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    with pytest.raises(UserError, match="access to attribute '__class__' of 'str' object is unsafe"):
        run("none", f"lm_eval:{tmp_path / 'reach.yaml'}")


def test_another_file_is_another_table(given: Path, tmp_path: Path) -> None:
    """What lm-eval's files say decides numbers as the task's own keys do; where they lie does not."""
    tables = []
    for name, after in (("one", "{{question}}"), ("two", "{{question}}"), ("three", "{{question}}?")):
        keys = yaml.safe_load((given / "words.yaml").read_text(encoding="utf-8")) | {"doc_to_text": after}
        path = tmp_path / name / "words.yaml"
        path.parent.mkdir()
        path.write_text(yaml.safe_dump(keys), encoding="utf-8")
        tables.append(find(str(path)).sha256)
    assert tables[0] == tables[1] != tables[2]


def test_the_library_names_a_task_by_what_it_is(given: Path) -> None:
    library = Library()
    assert library.task("lm_eval:boolq").task == "lm_eval_boolq"
    own = library.task(f"lm_eval:{given / 'colours.yaml'}")
    assert own.task.startswith("lm_eval_colours_")
    assert own.metrics[:4] == ("answer_acc", "d_acc", "choice_loglik", "d_choice_loglik")
    assert not library.is_method("lm_eval:boolq")
    written = library.task("lm_eval:gsm8k")
    asked = written.ask.lm_eval if written.ask else None
    assert asked is not None
    assert (asked.shots, asked.examples, asked.score) == (5, "train", "exact_match")


def test_a_record_is_measured_again_from_what_it_holds(
    run: Callable[..., Outcome], tmp_path: Path, given: Path
) -> None:
    """The saved task is a whole one: neither the family's file nor the command is asked again."""
    outcome = run("mean_only", "words", "replayed")
    found = stored(outcome, "mean_only")
    group = rebuild(found, Sources(Library()), tmp_path)
    assert [cell.key for cell in group.cells] == [found.record.cell]
