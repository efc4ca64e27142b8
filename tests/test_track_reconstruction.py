"""Every number of the track against a naive loop over the plain Hugging Face model, and what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from running import PLUGINS, record_of, run, values
from sklearn.metrics import r2_score
from torch import Tensor

from harness.data.rows import load_corpus
from harness.data.tokens import TokenBudget, tokenize
from harness.lm.loading import LoadOptions, load_model
from harness.specs.library import Library
from harness.tracks.splicing import kl_divergence

pytestmark = pytest.mark.usefixtures("cache")
FACTOR = 0.5


def sequences() -> Any:
    spec = Library([PLUGINS]).task("toy_task")
    model = load_model("tiny-random", LoadOptions(device="cpu"))
    budget = TokenBudget((900, 1500, 2200), spec.budget.context)
    return model, tokenize(model, load_corpus(spec).splits["test"], budget, batch_tokens=96)


@contextmanager
def replaced(block: torch.nn.Module, edit: Any) -> Iterator[None]:
    def hook(_module: Any, _args: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        new = edit(hidden)
        return (new, *output[1:]) if isinstance(output, tuple) else new

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def naive() -> dict[str, float]:
    """Compute every metric of the halving toy, one sequence at a time, with forward hooks on the plain model."""
    model, test = sequences()
    block, network = model.blocks[0], model.network
    rows: list[Tensor] = []
    sums: dict[str, float] = Counter()
    for batch in test.batches:
        tier = int(batch.tier_B[0])
        for b in range(batch.ids_BT.shape[0]):
            length = int(batch.mask_BT[b].sum())
            ids = batch.ids_BT[b : b + 1, :length]
            clean, x_TD = clean_pass(network, block, ids)
            if tier <= 1:
                rows.append(x_TD[1:])
            if tier == 0:
                add_splice(sums, network, block, ids, clean, x_TD)
    return {**of_activations(torch.cat(rows).double()), **of_splice(sums)}


def clean_pass(network: Any, block: Any, ids: Tensor) -> tuple[Tensor, Tensor]:
    kept: list[Tensor] = []

    def keep(hidden: Tensor) -> Tensor:
        kept.append(hidden[0])
        return hidden

    with torch.no_grad(), replaced(block, keep):
        logits = network(ids).logits[0].double()
    return logits, kept[0]


def add_splice(sums: Any, network: Any, block: Any, ids: Tensor, clean: Tensor, x_TD: Tensor) -> None:
    edited_TD = x_TD.clone()
    edited_TD[1:] = FACTOR * edited_TD[1:]
    with torch.no_grad(), replaced(block, lambda _hidden: edited_TD[None]):
        spliced = network(ids).logits[0].double()
    for position in range(1, ids.shape[1]):
        p, q = F.log_softmax(clean[position], 0), F.log_softmax(spliced[position], 0)
        sums["kl"] += float(F.kl_div(q, p, log_target=True, reduction="sum"))
        sums["agree"] += float(p.argmax() == q.argmax())
        sums["tokens"] += 1
        if position + 1 < ids.shape[1]:
            target = ids[0, position + 1]
            sums["ce"] += float(F.cross_entropy(spliced[position], target) - F.cross_entropy(clean[position], target))
            sums["targets"] += 1


def of_activations(x_ND: Tensor) -> dict[str, float]:
    error_ND = x_ND - FACTOR * x_ND
    x, xhat = x_ND.numpy(), (FACTOR * x_ND).numpy()
    return {
        "fvu": 1 - float(r2_score(x, xhat, multioutput="variance_weighted")),
        "fvu_centred": float((x - xhat).var(0).sum() / x.var(0).sum()),
        "se_token": float(error_ND.square().sum(1).mean()),
        "mse_elem": float(F.mse_loss(torch.tensor(xhat), x_ND)),
        "mse_elem_norm": float((error_ND / x_ND.square().mean().sqrt()).square().mean()),
        "l0": float((x_ND != 0).sum(1).double().mean()),
        "l1": float((FACTOR * x_ND).abs().sum(1).mean()),
        "cosine": float(F.cosine_similarity(x_ND, FACTOR * x_ND, dim=1).mean()),
    }


def of_splice(sums: Any) -> dict[str, float]:
    return {
        "kl_splice": sums["kl"] / sums["tokens"],
        "agree1": sums["agree"] / sums["tokens"],
        "delta_ce": sums["ce"] / sums["targets"],
    }


def test_every_metric_equals_a_naive_loop(tmp_path: Path) -> None:
    measured = values(record_of(run("toys", "toy_task", tmp_path, controls=False), "toys"))
    for name, expected in naive().items():
        assert measured[name] == pytest.approx(expected, rel=2e-5, abs=1e-6), name


@pytest.mark.parametrize("batch_size", [1, 5])
def test_metrics_do_not_depend_on_the_batch_size(tmp_path: Path, batch_size: int) -> None:
    one = values(record_of(run("toys", "toy_task", tmp_path / "a", controls=False), "toys"))
    other = run("toys", "toy_task", tmp_path / "b", controls=False, batch_size=batch_size)
    for name, value in values(record_of(other, "toys")).items():
        expected = one[name]
        assert value is None if expected is None else value == pytest.approx(expected, rel=1e-5, abs=1e-6), name


def test_documents_reach_a_method_whole(tmp_path: Path) -> None:
    """A toy that keeps the last row of each document must keep one row per document, whatever the batches."""
    kept = []
    for size in (1, 4):
        outcome = run("toy_by_document", "toy_task", tmp_path / str(size), controls=False, batch_size=size)
        record = record_of(outcome, "toy_by_document")
        kept.append((record.metrics["l0"].value or 0) * record.details["tokens"])
    assert kept[0] == pytest.approx(kept[1])


def test_lower_blocks_run_once_per_batch_whatever_the_number_of_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[int] = Counter()
    load = load_model

    def counting(*args: Any, **kwargs: Any) -> Any:
        model = load(*args, **kwargs)
        counts.clear()
        for index, block in enumerate(model.blocks):
            block.self_attn.register_forward_hook(partial(_count, counts, index))
        return model

    monkeypatch.setattr("harness.tracks.contract.load_model", counting)
    calls = []
    for number, methods in enumerate(("toys", "toys,toy_by_document,identity,mean_only")):
        # Warm the activations first, so that only the test pass is counted.
        run("toys", "toy_task", tmp_path / f"warm{number}", controls=False)
        counts.clear()
        run(methods, "toy_task", tmp_path / str(number), controls=False)
        calls.append(dict(counts))
    assert calls[0][0] == calls[1][0], "the block below the edit runs once per batch"
    assert calls[1][1] > calls[0][1], "the block above it runs once per edit"


def _count(counts: Counter[int], index: int, *_: Any) -> None:
    counts[index] += 1


class TestKlDivergence:
    def test_vectors(self) -> None:
        p, q = torch.tensor([[0.7, 0.2, 0.1]]).log(), torch.tensor([[0.6, 0.3, 0.1]]).log()
        assert float(kl_divergence(p.double(), q.double())) == pytest.approx(0.0268124545, abs=1e-8)
        assert float(kl_divergence(q.double(), p.double())) == pytest.approx(0.0291491245, abs=1e-8)

    def test_equal_logits_give_exactly_zero(self) -> None:
        logits = torch.randn(50, 1000) * 10
        assert torch.equal(kl_divergence(logits, logits), torch.zeros(50))

    def test_never_negative_beyond_rounding_and_never_nan(self) -> None:
        p, q = torch.randn(200, 500) * 50, torch.randn(200, 500) * 50
        kl = kl_divergence(p, q)
        assert bool((kl > -1e-4).all())
        assert bool(kl.isfinite().all()), "log(softmax) would underflow here"

    def test_equals_torch(self) -> None:
        p, q = torch.randn(100, 300).double(), torch.randn(100, 300).double()
        expected = F.kl_div(F.log_softmax(q, 1), F.log_softmax(p, 1), log_target=True, reduction="none").sum(1)
        assert torch.allclose(kl_divergence(p, q), expected, atol=1e-12)

    def test_cross_entropy_is_entropy_plus_kl(self) -> None:
        p, q = torch.randn(100, 300).double(), torch.randn(100, 300).double()
        probabilities = F.softmax(p, 1)
        entropy = -(probabilities * F.log_softmax(p, 1)).sum(1)
        crossed = -(probabilities * F.log_softmax(q, 1)).sum(1)
        assert torch.allclose(crossed - entropy, kl_divergence(p, q), atol=1e-12)
