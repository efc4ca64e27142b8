"""What is done with records of decoders after they were measured: pages, comparison, gate, verification, audit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import call

from harness.api import NextToken, Setting, Unembedding
from harness.registry import build_method
from harness.run.evaluate import evaluate
from harness.specs.library import Library
from harness.store.records import StoredRecord, load_record
from harness.testing import SETTING
from harness.testing.decoders import CLASSES, PlantedEnd, planted_read
from harness.training.distil import divergence

TASK = "decode_gsm_symbolic"
KL = "kl_model_method_subvocab"
SETS = {
    "vocab.top": "50",
    "budget.latents": "64",
    "budget.l0": "8",
    "budget.train_tokens": "500",
    "budget.val_tokens": "200",
    "budget.test_tokens": "500",
    "budget.passes": "2",
}


def measure(methods: str, folder: Path, seeds: list[int], **more: str) -> list[StoredRecord]:
    outcome = evaluate(methods, TASK, folder, model="tiny-random", limit=40, seeds=seeds, set={**SETS, **more})
    assert not outcome.failed
    return outcome.records


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decoders")
    # Counts predict these texts better than the model's random weights, which always say the same.
    bars = "{acc_drop_subvocab: {max: 0.6, by: interval}}"
    measure("logit_lens,bigram,sparse_decoder", folder, [0, 1, 2], controls="{derived: [exchanged_tokens]}", bars=bars)
    return folder


def values(run: Path, method: str, of: str | None = None) -> dict[int, dict[str, float]]:
    found = {}
    for path in sorted((run / "results").rglob("*.json")):
        record = load_record(path).record
        if record.method.name == method and record.method.of == of:
            found[record.seed] = {name: metric.value or 0.0 for name, metric in record.metrics.items()}
    return found


def test_a_decoder_that_reads_other_tokens_is_as_sure_and_knows_less(run: Path) -> None:
    for method, seeds in (("logit_lens", 1), ("sparse_decoder", 3)):
        own, exchanged = values(run, method), values(run, "exchanged_tokens", method)
        assert own.keys() == exchanged.keys()
        assert len(own) == seeds
        for seed, found in own.items():
            assert exchanged[seed]["entropy_subvocab"] == pytest.approx(found["entropy_subvocab"], rel=1e-6)
            assert exchanged[seed][KL] > 1.2 * found[KL]
            assert exchanged[seed]["agree5_subvocab"] < found["agree5_subvocab"]


def test_what_is_left_of_it_is_what_any_token_would_be_told() -> None:
    """Its divergence is that of every prediction from every other token's, and no less than that of their mean."""
    library = Library()
    setting = Setting(SETTING.width, 0, 0, 0, vocabulary=CLASSES)
    lens: NextToken = build_method(library.method("logit_lens"), {}, setting)
    read = planted_read(SETTING, 400, 3)
    model_NV, q_NV = PlantedEnd().logp(2 * read.x_ND), lens.logp(read)
    every = torch.stack([divergence(model_NV, q_NV.roll(k, 0)).mean() for k in range(1, 400)])
    mean_V = q_NV.exp().mean(0).log()
    marginal = float(divergence(model_NV, mean_V.expand_as(q_NV)).mean())
    found = []
    for seed in range(8):
        control = build_method(
            library.method("exchanged_tokens"), {}, Setting(SETTING.width, 0, 0, seed, {"of": lens}, vocabulary=CLASSES)
        )
        exchanged_NV = control.logp(read)
        assert not bool((exchanged_NV == q_NV).all(1).any())
        torch.testing.assert_close(exchanged_NV.exp().mean(0), q_NV.exp().mean(0))
        found.append(float(divergence(model_NV, exchanged_NV).mean()))
    assert np.mean(found) == pytest.approx(float(every.mean()), rel=0.02)
    assert min(found) > marginal > 2 * float(divergence(model_NV, q_NV).mean())


def test_one_token_has_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    end: Unembedding = PlantedEnd()
    assert end.classes == CLASSES
    library, setting = Library(), Setting(SETTING.width, 0, 0, 0, vocabulary=CLASSES)
    lens = build_method(library.method("logit_lens"), {}, setting)
    own = Setting(SETTING.width, 0, 0, 0, {"of": lens}, vocabulary=CLASSES)
    with pytest.raises(ValueError, match="cannot be exchanged"):
        build_method(library.method("exchanged_tokens"), {}, own).logp(planted_read(SETTING, 1, 3))
    with pytest.raises(ValueError, match="needs a fitted decoder of next tokens as 'of', got NoneType"):
        build_method(library.method("exchanged_tokens"), {}, setting)


def test_comparison_gives_the_difference_of_the_values(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, "compare", "sparse_decoder", "logit_lens", "--run", str(run))
    assert answer.code == 0, answer.err
    rows = {line.split("\t")[1]: line.split("\t") for line in answer.out.splitlines() if line.startswith(TASK)}
    sparse, (lens,) = values(run, "sparse_decoder"), values(run, "logit_lens").values()
    for name in (KL, "kl_method_model_subvocab", "agree5_subvocab"):
        difference = np.mean([one[name] for one in sparse.values()]) - lens[name]
        assert float(rows[name][4].replace("−", "-")) == pytest.approx(difference, rel=0.02)


def test_a_worse_fit_fails_the_gate_and_the_same_one_passes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "gate", str(run), "--baseline", str(run)).code == 0
    measure("sparse_decoder", tmp_path / "worse", [0, 1, 2], **{"params.optim.lr": "1", "controls": "{}"})
    answer = call(capsys, "gate", str(tmp_path / "worse"), "--baseline", str(run))
    assert answer.code == 1, answer.err
    assert f"fail\t{TASK}\tsparse_decoder\t{KL}" in answer.out


def test_pages_hold_the_verdict_on_lost_accuracy_and_records_are_verified(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tmp_path / "board"
    shutil.copytree(run, board)
    assert call(capsys, "leaderboard", str(board)).code == 0
    (table,) = json.loads((board / "board.json").read_text())["tables"]
    (drop,) = (row["scores"]["acc_drop_subvocab"] for row in table["rows"] if row["method"] == "bigram")
    assert drop["lo"] < drop["value"] < drop["hi"] < 0.6
    (cell,) = (board / "cells").rglob("bigram-*.html")
    assert "bar ≤ 0.6 (whole interval) met" in cell.read_text(encoding="utf-8")
    assert 'class="met"' in next((board / "tasks").glob("*.html")).read_text(encoding="utf-8")
    answer = call(capsys, "verify", str(board), "--sample", "2", "--cached-fit")
    assert answer.code == 0, answer.err
    assert "2 agree, 0 disagree, 0 cannot" in answer.out + answer.err


def test_an_audit_reads_the_records_of_decoders(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [word for key, value in SETS.items() for word in ("--set", f"{key}={value}")]
    words = ["--run", str(run), "--model", "tiny-random", "--limit", "40", "--records-only", *sets]
    answer = call(capsys, "audit", TASK, *words, "--metric", f"{KL},kl_method_model_subvocab")
    assert answer.code == 0, answer.err
    rows = dict(line.split("\t", 1) for line in answer.out.splitlines())
    # Decoders that read other tokens, built from every one of them, are behind those that read their own.
    assert rows[KL].startswith("reliable")
