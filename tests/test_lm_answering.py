"""lm-eval on our model: its own bits without an edit, and an edit that no padding and no cache changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from torch import Tensor

from harness.lm.answering import Answering
from harness.lm.edits import edited
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel
from harness.lm.spliced import Splice

ROWS = [
    {"text": f"Question: what is {i * 37}{' and more' * (i % 6)}?\nAnswer:", "label": ("no", "yes")[i % 2]}
    for i in range(13)
]
CHOOSE = {
    "task": "choose",
    "output_type": "multiple_choice",
    "doc_to_text": "text",
    "doc_to_choice": ["no", "yes"],
    "doc_to_target": "label",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
WRITE = {
    "task": "write",
    "output_type": "generate_until",
    "doc_to_text": "text",
    "doc_to_target": "label",
    "generation_kwargs": {"until": ["Question:"], "do_sample": False, "max_gen_toks": 9},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
READ = {
    "task": "read",
    "output_type": "loglikelihood",
    "doc_to_text": "text",
    "doc_to_target": " {{label}} it is, of course",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("tiny-random", LoadOptions(device="cpu"))


def said(samples: list[dict[str, Any]]) -> list[Any]:
    return [one["resps"] for one in samples]


def halved(x_ND: Tensor, doc_N: Tensor) -> Tensor:
    """An edit that depends on its token alone, and is large enough to be seen."""
    return 0.5 * x_ND.roll(1, 1)


@pytest.mark.parametrize("task", [CHOOSE, WRITE, READ], ids=lambda task: str(task["task"]))
def test_without_an_edit_every_answer_is_lm_evals_own(
    task: dict[str, Any], model: LanguageModel, tmp_path: Path
) -> None:
    """Theirs: their evaluator, their model, a YAML file and rows of JSON Lines, all of it at once."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}}}
    (tmp_path / "own.yaml").write_text(json.dumps({**task, **data, "test_split": "test"}), encoding="utf-8")
    theirs = simple_evaluate(
        HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=4),
        tasks=[task["task"]],
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        bootstrap_iters=0,
    )
    expected = sorted(theirs["samples"][task["task"]], key=lambda one: one["doc_id"])
    answering = Answering(model)
    assert said(answering.ask(task, ROWS, 4)) == said(expected)
    # Batch by batch, in another order than they stand in, as a killed run goes on.
    texts = [row["text"] for row in ROWS]
    pairs = [
        (text, " no" if task is CHOOSE else f" {row['label']} it is, of course")
        for text, row in zip(texts, ROWS, strict=True)
    ]
    for batch in reversed(answering.batches(texts if task is WRITE else pairs, 4)):
        part = answering.ask(task, [ROWS[i] for i in batch], 4)
        assert said(part) == [expected[i]["resps"] for i in batch]


@pytest.mark.parametrize("task", [CHOOSE, WRITE, READ], ids=lambda task: str(task["task"]))
@pytest.mark.parametrize("history", [False, True])
def test_an_edit_that_returns_what_it_is_given_changes_no_bit(
    task: dict[str, Any], history: bool, model: LanguageModel
) -> None:
    answering = Answering(model)
    same = Splice(lambda x_ND, doc_N: x_ND.clone(), history=history)
    assert said(answering.ask(task, ROWS, 4, {0: same})) == said(answering.ask(task, ROWS, 4))
    assert said(answering.ask(task, ROWS, 4, {0: Splice(halved)})) != said(answering.ask(task, ROWS, 4))
    assert said(answering.ask(task, ROWS, 4)) == said(answering.ask(task, ROWS, 4)), "the edit is gone after the call"


def running_mean(x_ND: Tensor, doc_N: Tensor) -> Tensor:
    """An edit that depends on all that was read of a document."""
    out_ND = x_ND.clone()
    for doc in doc_N.unique():
        own = doc_N == doc
        count = torch.arange(1, int(own.sum()) + 1)[:, None]
        out_ND[own] = x_ND[own].cumsum(0) / count
    return out_ND


@pytest.mark.parametrize(("change", "history"), [(halved, False), (running_mean, True)])
def test_an_edit_is_the_same_whatever_the_padding_and_with_a_cache_as_without(
    change: Any, history: bool, model: LanguageModel
) -> None:
    """Alone, in a batch padded on either side, and by hand: the model run anew on every prefix, without a cache."""

    def spliced() -> dict[int, Splice]:
        return {0: Splice(change, history=history)}

    answering = Answering(model)
    for task in (CHOOSE, READ):
        one = torch.tensor([[r[0][0] for r in rs] for rs in said(answering.ask(task, ROWS, 1, spliced()))])
        many = torch.tensor([[r[0][0] for r in rs] for rs in said(answering.ask(task, ROWS, 8, spliced()))])
        assert torch.allclose(one, many, rtol=0, atol=1e-3)
    written = said(answering.ask(WRITE, ROWS, 8, spliced()))
    assert written == said(answering.ask(WRITE, ROWS, 1, spliced()))
    for row, answer in list(zip(ROWS, written, strict=True))[:4]:
        ids = model.tokenizer(row["text"])["input_ids"]
        start = len(ids)
        for _ in range(9):
            by_hand = _by_hand(change, model, ids)
            ids = [*ids, int(by_hand.argmax())]
        assert model.tokenizer.decode(ids[start:], skip_special_tokens=True).startswith(answer[0][0])


def _by_hand(change: Any, model: LanguageModel, ids: list[int]) -> Tensor:
    """Return the logits after a text whose first token is left as it is and all others are changed at block 0."""

    def edit(x_BTD: Tensor) -> Tensor:
        rest_ND = change(x_BTD[0, 1:], torch.zeros(x_BTD.shape[1] - 1, dtype=torch.int64))
        return torch.cat([x_BTD[:, :1], rest_ND[None]], 1)

    with torch.no_grad(), edited(model, {0: edit}):
        logits: Tensor = model.network(torch.tensor([ids]), use_cache=False).logits
    return logits[0, -1]


def test_a_splice_sees_tokens_alone_and_never_the_first() -> None:
    seen: list[tuple[list[float], list[int]]] = []

    def change(x_ND: Tensor, doc_N: Tensor) -> Tensor:
        seen.append((x_ND[:, 0].tolist(), doc_N.tolist()))
        return -x_ND

    x_BTD = torch.arange(1.0, 9.0).reshape(2, 4, 1)
    splice = Splice(change, limit=7.0)
    splice.begin(torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]))
    assert splice(x_BTD).flatten().tolist() == [1, 2, 3, -4, 5, -6, -7, 8], "two columns of padding, two first tokens"
    assert splice(torch.tensor([[[3.0]], [[9.0]]])).flatten().tolist() == [-3, 9], "new tokens; one beyond the limit"
    assert seen == [([4, 6, 7], [0, 1, 1]), ([3], [0])]
    splice.begin(None)
    assert splice(x_BTD[:, :1]).flatten().tolist() == [1, 5], "a prompt of one token"
    assert splice(x_BTD[:, 1:2]).flatten().tolist() == [-2, -6]
    keeps = Splice(change, first=True)
    keeps.begin(torch.tensor([[0, 1]]))
    assert keeps(torch.tensor([[[1.0], [2.0]]])).flatten().tolist() == [1, -2]


def test_several_blocks_are_edited_at_once(model: LanguageModel) -> None:
    answering = Answering(model)
    same = Splice(lambda x_ND, doc_N: x_ND.clone())
    both = said(answering.ask(WRITE, ROWS, 4, {0: same, 1: Splice(halved)}))
    assert both == said(answering.ask(WRITE, ROWS, 4, {1: Splice(halved)}))
    read = said(answering.ask(READ, ROWS, 4, {0: Splice(halved), 1: Splice(halved)}))
    assert read != said(answering.ask(READ, ROWS, 4, {1: Splice(halved)}))


def test_a_bias_and_a_ban_reach_what_is_read_and_what_is_written(model: LanguageModel) -> None:
    answering = Answering(model)
    clean = said(answering.ask(WRITE, ROWS, 4))
    capitals = {(id_,): -float("inf") for id_ in range(258) if not 65 <= id_ <= 90}
    banned = said(answering.ask(WRITE, ROWS, 4, None, capitals))
    assert all(text[0][0].isascii() and text[0][0].isupper() for text in banned)
    assert said(answering.ask(READ, ROWS, 4, None, {(7,): 2.0})) != said(answering.ask(READ, ROWS, 4))
    assert said(answering.ask(WRITE, ROWS, 4)) == clean, "the bias is gone after the call"


def test_the_model_keeps_its_own_tokenizer(model: LanguageModel) -> None:
    before = (model.tokenizer.padding_side, model.tokenizer.pad_token)
    Answering(model).ask(WRITE, ROWS[:2], 2)
    assert (model.tokenizer.padding_side, model.tokenizer.pad_token) == before
