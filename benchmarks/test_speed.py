"""Speed as pytest-benchmark keeps it: `make bench-save`, change something, `make bench-compare`.

A least time that rose by 30 % fails. Saved runs lie in `.benchmarks` and belong to one machine: never compare across
two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from harness.api import ArrayActivations, Dictionary, Setting, Train
from harness.board import load_board
from harness.gates import gate
from harness.lm.edits import added, edited
from harness.lm.info import Identity
from harness.lm.model import LanguageModel
from harness.lm.tiny import tiny_tokenizer
from harness.registry import build_method
from harness.specs.library import Library
from harness.stats.resample import interval
from harness.stats.ties import max_t

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "leaderboard" / "baseline"
ROWS, WIDTH, LATENTS = 2048, 256, 2048


def seconds(call: Callable[[], object], rounds: int = 5) -> float:
    """Return the least time of a few rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def test_reading_a_board(benchmark: Any) -> None:
    board = benchmark.pedantic(load_board, (BASELINE,), rounds=5, warmup_rounds=1)
    assert board.records == 28


def test_a_gate(benchmark: Any) -> None:
    found = benchmark.pedantic(gate, (BASELINE, BASELINE), rounds=5, warmup_rounds=1)
    assert found.verdict == "pass"


def test_an_interval(benchmark: Any) -> None:
    rng = np.random.default_rng(0)
    a_C, n_C = rng.normal(1, 1, 400), rng.integers(50, 200, 400).astype(float)
    found = benchmark(lambda: interval(lambda w: (w @ a_C) / (w @ n_C), 400))
    assert found.lo is not None


def test_tie_groups(benchmark: Any) -> None:
    rng = np.random.default_rng(0)
    pseudo = [rng.normal(size=(3, 100)) for _ in range(12)]
    p_KK = benchmark.pedantic(max_t, (pseudo,), rounds=5, warmup_rounds=1)
    assert p_KK.shape == (12, 12)


def fitted() -> tuple[Dictionary, torch.Tensor]:
    x_ND = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
    found = Library().method("topk")
    method: Dictionary = build_method(found, found.spec.params, Setting(WIDTH, LATENTS, 32, 0))
    data = ArrayActivations(x_ND)
    method.fit(Train(data, data, 1, torch.device("cpu")))
    return method, x_ND


def test_codes_beside_the_bare_product(benchmark: Any) -> None:
    """The ratio to the product of the same shapes is kept with the run: it also means something on another machine."""
    method, x_ND = fitted()
    doc_N, weight_DF = torch.zeros(ROWS, dtype=torch.int64), torch.randn(WIDTH, LATENTS)
    with torch.no_grad():
        z_NF = benchmark.pedantic(method.encode, (x_ND, doc_N), rounds=10, warmup_rounds=2)
        product_s = seconds(lambda: x_ND @ weight_DF)
        encode_s = seconds(lambda: method.encode(x_ND, doc_N))
    benchmark.extra_info["encode / product"] = encode_s / product_s
    assert int((z_NF != 0).sum(1).max()) <= 32


def test_a_pass_under_an_edit_beside_a_plain_one(benchmark: Any) -> None:
    """Blocks of SmolLM2's shape, an edit of every position at every second one; the ratio is kept with the run."""
    sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}
    network = LlamaForCausalLM(LlamaConfig(num_hidden_layers=6, vocab_size=512, **sizes))
    model = LanguageModel(network, tiny_tokenizer(), Identity("smollm2-shaped", "random", "none", "float32"))
    ids_BT, delta_BTD = torch.arange(512).reshape(4, 128), torch.randn(4, 128, 576)

    def run(blocks: Sequence[int]) -> torch.Tensor:
        with edited(model, {block: added(delta_BTD) for block in blocks}):
            return model.read(ids_BT, torch.ones_like(ids_BT), [5])[5]

    benchmark.pedantic(run, ((0, 2, 4),), rounds=5, warmup_rounds=1)
    benchmark.extra_info["edited / plain"] = seconds(lambda: run((0, 2, 4))) / seconds(lambda: run(()))
    assert not torch.equal(run((0, 2, 4)), run(()))
