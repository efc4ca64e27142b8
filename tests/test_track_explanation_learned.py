"""An explainer that learns from predictions, through the engine: what it learns from is measured once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from running import record_of, values

from harness.run.engine import Outcome
from harness.run.evaluate import evaluate
from harness.tracks.importance import Importance
from harness.tracks.kept_effects import effects_key, measured_once

TASK = """\
task: explain_learned
version: 1
title: Predictions in small sums
track: explanation
model: tiny-random
data: {source: reasoning_gym, name: chain_sum, size: 40, seed: 1, group: question,
  splits: {train: 0.5, val: 0.2, test: 0.3}}
text: "{{ question[-28:] }} {{ answer }}"
site: {layer: 0}
budget: {train_tokens: 400, val_tokens: 100, passes: 1, latents: 32, l0: 6, context: 48, test_tokens: 200}
explanation: {predictions: 8, train_predictions: 24}
metrics: [faithfulness, named_effect, named_hit, sentence_length, importance_agreement]
controls: {floor: [rank_random, explanation_decoder_shuffled]}
seeds: [0]
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "explain_learned.yaml").write_text(TASK, encoding="utf-8")
    return tmp_path / "cache"


def run(folder: Path, name: str, **changes: str) -> Outcome:
    """Measure the decoder and its controls; a word of ``changes`` stands for a key of the task's ``explanation``."""
    small = {"params.passes": "2"} | {f"explanation.{key}": value for key, value in changes.items()}
    options: dict[str, Any] = {"include_path": [folder], "set": small}
    return evaluate("explanation_decoder", "explain_learned", folder / name, **options)


def test_a_decoder_is_measured_beside_its_null_and_no_effect_is_measured_twice(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []
    plain = Importance._ablated

    def counted(self: Importance, points: Any, *others: Any) -> torch.Tensor:
        measured.append(len(points))
        return plain(self, points, *others)

    monkeypatch.setattr(Importance, "_ablated", counted)
    first = run(tmp_path, "a")
    assert not [one for one in first.records if one.record.status != "ok"]
    found = values(record_of(first, "explanation_decoder"))
    assert None not in found.values()
    assert found["sentence_length"] is not None
    assert found["sentence_length"] <= 5
    # The decoder and its null learn from the same 24; all three are measured on the same 8.
    assert sum(measured) == 24 + 8
    fits = len(list((cache / "fits").iterdir()))
    run(tmp_path, "b")
    assert sum(measured) == 24 + 8
    assert len(list((cache / "fits").iterdir())) == fits
    # What it learns from is a part of what it is; the dictionary below is not fitted again.
    run(tmp_path, "c", train_predictions="12")
    assert len(list((cache / "fits").iterdir())) == fits + 2


def test_a_torn_file_of_effects_is_measured_again(tmp_path: Path) -> None:
    code_nF = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    effect_nF = torch.tensor([[0.0, -0.5, 0.25], [1.0, 0.0, 0.0]])
    path = tmp_path / "effects.safetensors"
    times: list[int] = []

    def compute() -> torch.Tensor:
        times.append(1)
        return effect_nF

    assert torch.equal(measured_once(path, compute, code_nF), effect_nF)
    assert torch.equal(measured_once(path, compute, code_nF), effect_nF)
    assert len(times) == 1
    path.write_bytes(path.read_bytes()[:-3])
    assert torch.equal(measured_once(path, compute, code_nF), effect_nF)
    assert len(times) == 2


def test_effects_of_other_codes_have_another_key() -> None:
    code_nF = torch.rand(2, 3)
    key = effects_key(["model", 1], [code_nF])
    assert key == effects_key(["model", 1], [code_nF.clone()])
    assert len({key, effects_key(["model", 2], [code_nF]), effects_key(["model", 1], [code_nF + 1e-6])}) == 3
