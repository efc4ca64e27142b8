"""How fast dictionaries are fitted, against the bare encoder product, measured step by step in one run.

    python benchmarks/bench_training.py [--threads 2] [--steps 60]

Before every training step the product ``x_ND @ W_DF`` of that step's encoder is timed on rows of the same size, so
both see the same machine. A step is everything ``fit`` does per batch: reading the rows, the loss with AuxK, gradients,
Adam, unit rows. The ratio is the rate of steps over the rate of products; the bar is 0.50 at batch 2 048. It is given
for medians and for fastest tenths: on a machine that others use too a step suffers more than a product (some eighty
parallel regions wait for their slowest thread, not one), and only the second says what the code costs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from harness.api import Activations, ArrayActivations, Setting, Train
from harness.registry import build_method
from harness.specs.library import Library, merge_params
from harness.training.loop import Moment, Rule

WIDTH = 576


def planted(rows: int, directions: int = 3000) -> Tensor:
    """Return sparse sums of directions, rare ones among them, on a low-rank background, with noise."""
    generator = torch.Generator().manual_seed(0)
    direction_GD = torch.nn.functional.normalize(torch.randn(directions, WIDTH, generator=generator), dim=1)
    background_RD = torch.randn(40, WIDTH, generator=generator) / WIDTH**0.5
    rate_G = torch.logspace(-1.3, -4, directions)
    parts = []
    for start in range(0, rows, 2048):
        n = min(2048, rows - start)
        on_NG = torch.rand(n, directions, generator=generator) < rate_G
        size_NG = (1 + 0.25 * torch.randn(n, directions, generator=generator)).abs()
        low_rank_ND = torch.randn(n, 40, generator=generator) @ background_RD
        noise_ND = 0.02 * torch.randn(n, WIDTH, generator=generator)
        parts.append((on_NG * size_NG) @ direction_GD + low_rank_ND + noise_ND + background_RD[0] * 3)
    return torch.cat(parts)


@dataclass
class Clock:
    """Times of steps and of the products between them, in seconds."""

    step_S: list[float] = field(default_factory=list)
    product_S: list[float] = field(default_factory=list)
    started: float | None = None


class Interleaved(Activations):
    """Rows in memory; every time a training batch is read, the bare product runs first and both are timed."""

    def __init__(self, x_ND: Tensor, batch: int, latents: int) -> None:
        self._x_ND = x_ND
        self._doc_N = torch.zeros(len(x_ND), dtype=torch.int64)
        self._batch = batch
        self._W_DF = torch.randn(WIDTH, latents)
        self._bare_ND = x_ND[:batch].clone()
        self.clock = Clock()

    @property
    def doc_N(self) -> Tensor:
        return self._doc_N

    @property
    def width(self) -> int:
        return WIDTH

    def take(self, index_N: Tensor) -> Tensor:
        if len(index_N) == self._batch:
            now = time.perf_counter()
            if self.clock.started is not None:
                self.clock.step_S.append(now - self.clock.started)
            self._bare_ND @ self._W_DF
            self.clock.started = time.perf_counter()
            self.clock.product_S.append(self.clock.started - now)
        return self._x_ND[index_N]


class KeepDead(Rule):
    """Holds the first latents dead, so that AuxK has that many to work on at every step."""

    def __init__(self, method: Any, count: int) -> None:
        self.method = method
        self.count = count

    def before(self, moment: Moment) -> None:
        """Nothing."""

    def after(self, moment: Moment, adam: torch.optim.Adam) -> None:
        with torch.no_grad():
            self.method.W_enc[: self.count] = 0.0
            self.method.b_enc[: self.count] = -1.0
        self.method.revival.silence.steps_F[: self.count] = 10**9


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    method: str
    latents: int
    k: int
    batch: int
    dead: float = 0.0


def measure(case: Case, x_ND: Tensor, steps: int) -> str:
    """Fit for ``steps`` and return the table's line."""
    setting = Setting(WIDTH, case.latents, case.k, 0)
    found = Library().method(case.method)
    params = merge_params(found.spec.params, {"optim": {"batch": case.batch}}, "benchmark", case.method)
    method = build_method(found, params, setting)
    if case.dead:
        begin = method.begin
        method.begin = lambda train: (*begin(train), KeepDead(method, round(case.dead * case.latents)))
    rows = Interleaved(x_ND, case.batch, case.latents)
    passes = max(round(steps * case.batch / len(x_ND)), 1)
    method.fit(Train(rows, ArrayActivations(x_ND[:3000]), passes, torch.device("cpu")))
    warm = len(rows.clock.step_S) // 5
    timed = rows.clock.step_S[warm:], rows.clock.product_S[warm:]
    medians = [statistics.median(times) for times in timed]
    fastest = [statistics.quantiles(times, n=10)[0] for times in timed]
    dead = method.summary().get("dead_at_end", 0)
    head = f"{case.method:<10} {case.latents:>5} {case.k:>3} {case.batch:>5} {dead:>5.0f} {len(rows.clock.step_S):>5}"
    return head + _columns(medians[0], medians[1], case.batch) + _columns(fastest[0], fastest[1], case.batch)


def _columns(step: float, product: float, batch: int) -> str:
    return f" |{1e3 * product:>8.2f} {1e3 * step:>8.2f} {product / step:>6.2f} {batch / step:>9.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="steps of 2 048 rows; eight times as many of 256")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    x_ND = planted(40_960)
    print(f"torch {torch.__version__}, {options.threads} threads, width {WIDTH}")
    print(f"{'':36} | medians (ms){'':22} | fastest tenths (ms)")
    print("method      lat.   k batch  dead steps" + 2 * " | product    step   ratio  tokens/s")
    for name in ("topk", "batchtopk"):
        for dead in (0.0, 0.1, 0.3):
            print(measure(Case(name, 4608, 32, 2048, dead), x_ND, options.steps), flush=True)
    for name in ("topk", "batchtopk", "relu_l1"):
        print(measure(Case(name, 2304, 64, 256), x_ND, 8 * options.steps), flush=True)


if __name__ == "__main__":
    main()
