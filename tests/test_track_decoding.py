"""Track ``decoding``: every number against a naive loop over the plain Hugging Face model, and where it must be 0."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import values
from torch import Tensor

from harness.data.rows import load_corpus
from harness.data.tokens import TokenBudget, tokenize
from harness.errors import UserError
from harness.lm.loading import LoadOptions, load_model
from harness.run.engine import Outcome
from harness.run.evaluate import evaluate
from harness.specs.library import Library
from harness.specs.record import Record

METRICS = ("kl_model_method", "kl_method_model", "agree1", "agree5", "acc_gold", "acc_drop", "entropy")
TASK = """\
task: {name}
version: 1
title: Next tokens of small sums
track: decoding
model: tiny-random
data: {{source: reasoning_gym, name: chain_sum, size: 60, seed: {seed}, group: question, splits: {splits}}}
text: "{{{{ question[-28:] }}}} {{{{ answer }}}}"
site: {{layer: 0}}
{more}
metrics: [{metrics}]
controls: {{floor: [unigram]}}
seeds: [0]
"""
SPLITS = "{train: 0.5, val: 0.2, test: 0.3}"
FIT = "train_tokens: 600, val_tokens: 200, passes: 2, latents: 48, l0: 6, "
TOP = 20


def content(folder: Path) -> Path:
    """Return a folder to include with a task over all tokens, one over some, and one fitted on the second."""
    tasks = folder / "tasks"
    tasks.mkdir()
    some = [f"{name}_subvocab" for name in METRICS]
    bar = "bars: {acc_drop_subvocab: {max: 0.03, by: interval}}"
    for name, seed, splits, more, metrics in (
        ("sums_all", 1, SPLITS, f"budget: {{{FIT}context: 48, test_tokens: 500}}", METRICS),
        ("sums_some", 1, SPLITS, f"vocab: {{top: {TOP}}}\nbudget: {{{FIT}context: 48, test_tokens: 500}}\n{bar}", some),
        ("sums_apart", 2, "{test: 1.0}", "corpus: sums_some\nbudget: {context: 48, test_tokens: 300}", some),
    ):
        text = TASK.format(name=name, seed=seed, splits=splits, more=more, metrics=", ".join(metrics))
        (tasks / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def included(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return content(tmp_path_factory.mktemp("sums"))


@pytest.fixture(scope="module")
def run(included: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that evaluates methods on one of the tasks, under one cache."""
    folder = tmp_path_factory.mktemp("runs")

    def call(method: str, task: str, **options: Any) -> Outcome:
        name = str(len(list(folder.iterdir())))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HARNESS_CACHE", str(folder / "cache"))
            return evaluate(method, task, folder / name, include_path=[included], **options)

    return call


def record(outcome: Outcome, method: str) -> Record:
    (found,) = [stored.record for stored in outcome.records if stored.record.method.name == method]
    assert found.status == "ok", found.reason
    return found


def sequences(included: Path, split: str, tokens: int) -> Any:
    spec = Library([included]).task("sums_all")
    model = load_model("tiny-random", LoadOptions(device="cpu"))
    budget = TokenBudget((None, tokens, None), spec.budget.context)
    return model, tokenize(model, load_corpus(spec).splits[split], budget, 96)


def projected(p_V: Tensor, kept: list[int]) -> Tensor:
    return torch.cat([p_V[kept], (1 - p_V[kept].sum())[None]])


def naive(included: Path, kept: list[int] | None) -> dict[str, float]:
    """Compute every metric of the logit lens after the first of two blocks, one token at a time, in float64."""
    model, test = sequences(included, "test", 500)
    network = model.network
    sums: Counter[str] = Counter()
    for batch in test.batches:
        for b in range(len(batch.ids_BT)):
            ids = batch.ids_BT[b : b + 1, : int(batch.mask_BT[b].sum())]
            with torch.no_grad():
                out = network(ids, output_hidden_states=True)
                lens_TV = network.lm_head(network.model.norm(out.hidden_states[1]))[0]
            for t in range(ids.shape[1]):
                if batch.keep_BT[b, t]:
                    p_V, q_V = out.logits[0, t].double().softmax(0), lens_TV[t].double().softmax(0)
                    gold = int(ids[0, t + 1]) if batch.target_BT[b, t] else None
                    if kept is not None:
                        p_V, q_V = projected(p_V, kept), projected(q_V, kept)
                        gold = None if gold is None else kept.index(gold) if gold in kept else len(kept)
                    add(sums, p_V, q_V, gold)
    means = {name: sums[name] / sums["n"] for name in ("kl_model_method", "kl_method_model", "agree1", "agree5")}
    gold = sums["gold"]
    return means | {
        "entropy": sums["entropy"] / sums["n"],
        "acc_gold": sums["acc"] / gold,
        "acc_drop": (sums["model"] - sums["acc"]) / gold,
    }


def add(sums: Counter[str], p_V: Tensor, q_V: Tensor, gold: int | None) -> None:
    p, q = p_V.tolist(), q_V.tolist()
    best = [sorted(range(len(one)), key=lambda v, one=one: (-one[v], v))[:5] for one in (p, q)]  # type: ignore[misc]
    sums["n"] += 1  # type: ignore[assignment]
    for name, value in {
        "kl_model_method": sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)),
        "kl_method_model": sum(b * np.log(b / a) for a, b in zip(p, q, strict=True)),
        "agree1": best[0][0] == best[1][0],
        "agree5": len({*best[0]} & {*best[1]}) / len({*best[0]} | {*best[1]}),
        "entropy": -sum(b * np.log(b) for b in q),
    }.items():
        sums[name] += value  # type: ignore[assignment]
    if gold is not None:
        sums["gold"] += 1
        sums["acc"] += gold == best[1][0]
        sums["model"] += gold == best[0][0]


def test_every_number_is_that_of_a_naive_loop(run: Any, included: Path) -> None:
    found = values(record(run("logit_lens", "sums_all"), "logit_lens"))
    assert found == pytest.approx(naive(included, None), abs=2e-5)


def most_frequent(included: Path) -> list[int]:
    """Return the most frequent next tokens of the train split, counted by hand."""
    _, train = sequences(included, "train", 600)
    counts: Counter[int] = Counter()
    for batch in train.batches:
        for b, t in batch.target_BT.nonzero().tolist():
            counts[int(batch.ids_BT[b, t + 1])] += 1
    return sorted(sorted(range(1000), key=lambda v: (-counts[v], v))[:TOP])


def test_and_so_it_is_over_some_tokens(run: Any, included: Path) -> None:
    outcome = run("logit_lens", "sums_some")
    kept = most_frequent(included)
    expected = {f"{name}_subvocab": value for name, value in naive(included, kept).items()}
    one = record(outcome, "logit_lens")
    assert values(one) == pytest.approx(expected, abs=2e-5)
    assert one.details["vocabulary"] == TOP + 1
    whole = values(record(run("logit_lens", "sums_all"), "logit_lens"))
    assert values(one)["kl_model_method_subvocab"] < whole["kl_model_method"]  # type: ignore[operator]


def test_after_the_last_block_the_lens_is_the_model(run: Any) -> None:
    found = values(record(run("logit_lens", "sums_some", layers=[1]), "logit_lens"))
    exact = ("kl_model_method", "kl_method_model", "acc_drop")
    assert [found[f"{name}_subvocab"] for name in exact] == [0.0, 0.0, 0.0]
    assert found["agree1_subvocab"] == found["agree5_subvocab"] == 1.0


def test_training_brings_decoders_nearer_than_what_they_start_from(run: Any) -> None:
    methods = ("logit_lens", "logit_lens_sae", "tuned_lens", "sparse_decoder", "sparse_decoder_tied")
    outcome = run(",".join(methods), "sums_some", set={"budget.passes": "8"})
    kl = {name: values(record(outcome, name))["kl_model_method_subvocab"] or 0.0 for name in (*methods, "unigram")}
    assert kl["tuned_lens"] < kl["logit_lens"]
    assert kl["sparse_decoder_tied"] < kl["logit_lens_sae"]
    assert kl["sparse_decoder"] < kl["unigram"]


def test_a_decoder_keeps_its_vocabulary_on_other_texts(run: Any) -> None:
    """Fitted on one task and measured on another: the classes are those of the fit, and so are the fits."""
    inside, outside = run("unigram", "sums_some"), run("unigram", "sums_apart")
    one, other = record(inside, "unigram"), record(outside, "unigram")
    assert other.details["vocabulary"] == TOP + 1
    assert other.fit == one.fit
    assert other.task.table != one.task.table
    # A constant prediction has the same entropy wherever it is measured.
    assert values(other)["entropy_subvocab"] == pytest.approx(values(one)["entropy_subvocab"], rel=1e-6)


def test_the_verdict_on_lost_accuracy_is_by_the_whole_interval(run: Any) -> None:
    """Counts know sums better than random weights do, so they lose nothing against the model."""
    drop = record(run("bigram", "sums_some"), "bigram").metrics["acc_drop_subvocab"]
    assert (drop.hi or 1) < 0.03
    for high, met in ((0.03, True), ((drop.value or 0) + 1e-6, None), ((drop.lo or 0) - 1e-6, False)):
        bars = f"{{acc_drop_subvocab: {{max: {high}, by: interval}}}}"
        assert record(run("bigram", "sums_some", set={"bars": bars}), "bigram").bars == {"acc_drop_subvocab": met}


@pytest.mark.parametrize(
    ("task", "change", "says"),
    [
        ("sums_all", {"metrics": "[agree1_subvocab]"}, "the task has no 'vocab', so its metric is 'agree1'"),
        ("sums_some", {"metrics": "[agree1]"}, "the task has a 'vocab', so its metric is 'agree1_subvocab'"),
        ("sums_apart", {"vocab.top": "7"}, "'vocab' comes from the corpus 'sums_some'; take it out"),
        ("sums_some", {"vocab.top": "5000"}, "vocab: top is 5000, and the vocabulary of model 'tiny-random' holds"),
        ("sums_some", {"vocab.top": "0"}, "input should be greater than 0, got 0"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(task: str, change: dict[str, str], says: str, run: Any) -> None:
    with pytest.raises(UserError) as refused:
        run("logit_lens", task, set=change)
    assert says in str(refused.value)


def test_other_tracks_have_no_vocabulary() -> None:
    with pytest.raises(UserError, match="'vocab' is not used by track 'reconstruction'"):
        evaluate("pca", "gsm_symbolic", Path("unused"), model="tiny-random", set={"vocab.top": "10"})


def test_a_map_that_is_too_large_is_refused_before_anything_is_fitted(run: Any, monkeypatch: Any) -> None:
    def fit(*_: object) -> None:
        raise AssertionError("something was fitted")

    monkeypatch.setattr("harness.run.fitting.Fitter.fit", fit)
    sizes = {"budget.latents": "2000000", "params.map.memory_mb": "600"}
    with pytest.raises(UserError) as refused:
        run("sparse_decoder_linear", "sums_some", set=sizes)
    # 2 000 000 x 21 weights and 21 biases, four numbers of four bytes each
    assert "takes 672 MB to fit, more than params.map.memory_mb=600" in str(refused.value)
    assert "take a task with a smaller vocab" in str(refused.value)
