"""Speed as pytest-benchmark keeps it: `make bench-save`, change something, `make bench-compare`.

A least time that rose by 30 % fails. Saved runs lie in `.benchmarks` and belong to one machine: never compare across
two.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.api import ArrayActivations, Dictionary, Setting, Train
from harness.board import load_board
from harness.gates import gate
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
