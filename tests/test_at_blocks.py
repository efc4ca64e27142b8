"""A dictionary at every block of a task: fitted once on a corpus without the labelled problems, and found again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from data_tasks import folder_task, make_task, write_rows
from running import PLUGINS, record_of, values
from torch import Tensor

from harness.cli.planning import print_plan
from harness.data.apart import check_apart
from harness.data.rows import Corpus, Document, Origin, load_corpus
from harness.errors import UserError
from harness.lm.catalog import resolve as find_model
from harness.lm.facts import facts
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel
from harness.run.engine import Outcome
from harness.run.evaluate import evaluate, prepare
from harness.specs.answers import Answers
from harness.specs.library import Library
from harness.specs.steering import Steering

TASK = """\
task: marks
version: 1
title: Answers with a mark
track: errors
model: tiny-random
data: {{source: folder, path: {path}, group: problem, domain: author, splits: {{test: {{split: test}}}}}}
{corpus}
text: "What is {{{{ problem }}}}?"
label: "{{{{ label }}}}"
answers: {{given: " {{{{ said }}}}", right: right, positions: {{prompt: true, first: 2, even: 0}}}}
site: {{depths: [0.5, 1.0]}}
budget: {{context: 64, test_tokens: 4000}}
controls: {{floor: [majority]}}
seeds: [0]
metrics: [auroc, auroc_within_author]
"""
METHODS = {
    "toy_codes": "variant_of: sae_lr\ntitle: Codes\nuses: {dictionary: toys}\n",
    "toy_few": "variant_of: sae_topk_lr\ntitle: Two codes\nuses: {dictionary: toys}\nparams: {k: 2}\n",
    "toy_one": "variant_of: sae_topk_lr\ntitle: One code\nuses: {dictionary: toys}\nparams: {k: 1}\n",
}


def content(folder: Path, corpus: str = "toy_task", methods: dict[str, str] = METHODS) -> Path:
    """Return a folder to include; a wrong answer begins with another letter, and ann is wrong more often than bob."""
    rows = []
    for i, (author, share) in product(range(30), (("ann", 3), ("bob", 2))):
        label = "wrong" if i % 4 < share else "right"
        said = f"{'is' if label == 'right' else 'no'} {i}"
        rows.append({"problem": f"{i} + {i % 7}", "author": author, "label": label, "said": said})
    data = write_rows(folder / "data" / "test.jsonl", rows)
    for name in ("tasks", "methods"):
        (folder / name).mkdir(exist_ok=True)
    text = TASK.format(path=data, corpus=f"corpus: {corpus}" if corpus else "")
    (folder / "tasks" / "marks.yaml").write_text(text, encoding="utf-8")
    for name, lines in methods.items():
        (folder / "methods" / f"{name}.yaml").write_text(f"method: {name}\n{lines}", encoding="utf-8")
    return folder


def judge(method: str, folder: Path, run: str = "run", task: str = "marks", **options: Any) -> Outcome:
    return evaluate(method, task, folder / run, include_path=[PLUGINS, folder], **options)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv("TOY_LOG", str(path))
    return path


def fits(log: Path) -> int:
    return log.read_text().split().count("fit")


def test_one_fit_for_each_block_serves_two_probes_and_two_tasks(tmp_path: Path, log: Path) -> None:
    found = judge("toy_few,toy_one", content(tmp_path))
    assert fits(log) == 2
    for name in ("toy_few", "toy_one"):
        assert values(record_of(found, name))["auroc"] == pytest.approx(1.0, abs=0.01)
        assert record_of(found, name).fit["train_tokens"] > 2500
    # The corpus as a task of its own, at the first of the blocks: what was fitted there is found.
    judge("toys", tmp_path, "other", "toy_task", layers=[0], controls=False)
    assert fits(log) == 2
    judge("toys", tmp_path, "more", "toy_task", layers=[0], controls=False, set={"budget.train_tokens": "2000"})
    assert fits(log) == 3


def test_what_a_task_fits_at_a_block_is_found_by_probes(tmp_path: Path, log: Path) -> None:
    judge("toys", content(tmp_path), "first", "toy_task", layers=[1], controls=False)
    assert fits(log) == 1
    judge("toy_one", tmp_path, controls=False)
    assert fits(log) == 2


def test_the_corpus_is_read_in_one_pass_at_all_blocks(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []
    plain = LanguageModel.read

    def noted(self: LanguageModel, ids_BT: Tensor, mask_BT: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        asked.append(tuple(blocks))
        return plain(self, ids_BT, mask_BT, blocks)

    monkeypatch.setattr(LanguageModel, "read", noted)
    judge("toy_one", content(tmp_path), controls=False)
    # Block 1 alone is what the model is resumed from, for its confidence.
    assert set(asked) <= {(0, 1), (1,)}
    assert asked.count((0, 1)) > asked.count((1,)) > 0


def test_without_a_probe_that_needs_it_the_corpus_is_not_read(tmp_path: Path, cache: Path) -> None:
    judge("majority", content(tmp_path), controls=False)
    assert not (cache / "activations").exists()


def test_codes_are_those_of_the_plain_activations(tmp_path: Path, cache: Path) -> None:
    """A latent of the toy is the positive part of a dimension, so its effect sizes have an independent reading."""
    found = judge("toy_codes", content(tmp_path), controls=False)
    (stored,) = found.records
    held = stored.latents()
    model = load_model("tiny-random", LoadOptions(), lambda label, done, total: None)
    width = model.info.width
    assert held["block"].tolist() == [block for block in range(6) for _ in range(2 * width)]
    read: dict[str, list[Tensor]] = {"right": [], "wrong": []}
    for d in load_corpus(Library([PLUGINS, tmp_path]).task("marks")).splits["test"]:
        before = model.tokenizer(d.text)["input_ids"]
        ids = torch.tensor([[*before, *model.tokenizer(d.answer, add_special_tokens=False)["input_ids"]]])
        x_TD = model.read(ids, torch.ones_like(ids, dtype=torch.bool), [1])[1][0]
        read[str(d.label)].append(x_TD[len(before)].relu())
    wrong, right = (torch.stack(read[name]).double() for name in ("wrong", "right"))
    squares = sum((len(one) - 1) * one.var(0) for one in (wrong, right))
    pooled = (squares / (len(wrong) + len(right) - 2)).sqrt()  # type: ignore[attr-defined]
    # The second block, at the second of three positions; the positive parts come first.
    own = torch.tensor(held["cohens_d"][held["block"] == 4][:width]).double()
    alive = pooled > 1e-3
    assert alive.sum() > 5
    assert torch.allclose(own[alive], ((wrong.mean(0) - right.mean(0)) / pooled)[alive], atol=1e-3)


def test_an_author_who_errs_more_is_no_skill_within_authors(tmp_path: Path, cache: Path) -> None:
    found = judge("by_author", content(tmp_path), controls=False)
    of = values(record_of(found, "by_author"))
    assert (of["auroc"] or 0) > 0.55
    assert of["auroc_within_author"] == 0.5


@pytest.mark.parametrize(
    ("corpus", "method", "says"),
    [
        ("", "toy_codes", "uses 'toys-.*', which is fitted on a corpus; task 'marks' has none: give it 'corpus'"),
        ("marks", "toy_codes", "corpus 'marks' has nothing to fit methods on"),
        ("toy_task", "checkpoint_codes", "was trained at one block; task 'marks' reads blocks 0, 1. Choose one"),
    ],
)
def test_a_dictionary_without_a_place_is_refused_before_any_model_loads(
    corpus: str, method: str, says: str, tmp_path: Path, cache: Path
) -> None:
    foreign = Path(__file__).parent / "golden" / "checkpoints" / "saelens_standard"
    lines = f"variant_of: sae_lr\ntitle: Codes\nuses: {{dictionary: 'path:{foreign}'}}\n"
    content(tmp_path, corpus, {**METHODS, "checkpoint_codes": lines})
    with pytest.raises(UserError, match=says):
        prepare(method, "marks", tmp_path / "run", {"include_path": [PLUGINS, tmp_path]})


@pytest.mark.parametrize("key", ["train_tokens", "latents"])
def test_the_budget_of_the_corpus_is_set_in_one_call_and_refused_without_one(key: str, tmp_path: Path) -> None:
    options: Any = {"include_path": [PLUGINS, content(tmp_path)], "set": {f"budget.{key}": "64"}, "controls": False}
    (group,) = prepare("toy_codes", "marks", tmp_path / "run", options).groups
    assert getattr(group.task.budget, key) == 64
    content(tmp_path, "")
    with pytest.raises(UserError, match=f"budget '{key}' comes from a corpus, which the task does not name"):
        prepare("raw_lr", "marks", tmp_path / "run", options)


def test_a_plan_counts_the_corpus_at_every_block(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, tokens in (("toy_task", 4000), ("", 0)):
        groups = prepare(
            "majority", "marks", tmp_path / "run", {"include_path": [PLUGINS, content(tmp_path, name)]}
        ).groups
        print_plan(groups, tmp_path / "run", as_json=True)
        (cost,) = json.loads(capsys.readouterr().out)["groups"]
        assert cost["train tokens"] + cost["val tokens"] == tokens
        assert cost["new disk, MB"] == pytest.approx(
            tokens * 2 * facts(find_model("tiny-random")).width * 4 / 1e6, abs=0.06
        )
        assert cost["activations cached"] is (tokens == 0)


def corpus(name: str, **splits: Sequence[tuple[str, str]]) -> Corpus:
    """Return a corpus of (group, text)."""
    held = {
        split: tuple(Document(f"{split}/{i}", group, None, text) for i, (group, text) in enumerate(pairs))
        for split, pairs in splits.items()
    }
    return Corpus(held, Origin("folder", name, None, None), "f", 1, 0, {})


RULE = "Solve what follows, one step after the other."
PROBLEMS = [(str(i), f"{RULE}\nQuestion: {i} apples and {i} pears?\nAnswer:") for i in range(4)]


@pytest.mark.parametrize(
    ("name", "train", "shared"),
    [
        ("b", [("0", "Ten apples are sold."), ("1", RULE)], 0),
        ("b", [("x", "Q: 2 Apples  and 2 pears?\nA: four")], 1),
        ("b", [("x", "2 apples and 2 pears?"), ("y", "Question: 3 apples and 3 pears?\nAnswer: six")], 2),
        ("a", [("3", "A new text of the same row.")], 1),
    ],
)
def test_a_problem_in_the_corpus_is_found_whatever_stands_around_it(
    name: str, train: list[tuple[str, str]], shared: int
) -> None:
    task = folder_task(Path("x")).model_copy(update={"answers": Answers(given="g")})
    labelled, fitted = corpus("a", test=PROBLEMS), corpus(name, train=train, test=PROBLEMS)
    if not shared:
        check_apart(task, labelled, make_task({"source": "folder", "path": "y"}), fitted)
        return
    steered = folder_task(Path("x")).model_copy(update={"steering": Steering()})
    for asked in (task, steered):
        with pytest.raises(UserError, match=rf"{shared} of its problems .* corpus 'made_up' fits methods on"):
            check_apart(asked, labelled, make_task({"source": "folder", "path": "y"}), fitted)


def test_problems_of_the_corpus_are_refused_before_any_model_loads(tmp_path: Path, cache: Path) -> None:
    folder = content(tmp_path, "leaky")
    words = "\n".join(
        line
        for line in (PLUGINS / "tasks" / "toy_task.yaml").read_text(encoding="utf-8").splitlines()
        if not line.startswith(("data", "text", "task"))
    )
    rows = write_rows(tmp_path / "leak" / "all.jsonl", [{"text": f"What is {i} + {i % 7}?\nno {i}"} for i in range(60)])
    data = f"{{source: folder, path: {rows}, group: id, splits: {{train: 0.4, val: 0.2, test: 0.4}}}}"
    text = f'task: leaky\ndata: {data}\ntext: "{{{{ text }}}}"\n{words}\n'
    (folder / "tasks" / "leaky.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"task 'marks': \d+ of its problems .* corpus 'leaky'"):
        prepare("raw_lr", "marks", tmp_path / "run", {"include_path": [PLUGINS, folder]})
