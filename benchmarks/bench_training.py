"""How fast dictionaries are fitted, against bare matrix products, measured step by step in one run.

    python benchmarks/bench_training.py [--threads 2] [--steps 60] [--only topk,gated]

Before every training step the product ``x_ND @ W_DF`` of that step's encoder is timed on rows of the same size, so
both see the same machine. A step is everything ``fit`` does per batch: reading the rows, the loss with AuxK, gradients,
Adam, unit rows. The ratio is the rate of steps over the rate of products; the bar is 0.50 at batch 2 048 for ``topk``
and ``batchtopk``. It is given for medians and for fastest tenths: on a machine that others use too a step suffers more
than a product (some eighty parallel regions wait for their slowest thread, not one), and only the second says what the
code costs.

The last columns set a step against the dense products its objective asks for, forwards and backwards, timed just as
often; ``mean`` is the whole run, with the steps before a penalty has made the code sparse. The bar is 1.3 for
``jumprelu``, ``gated`` and ``relu_l1``, and 1.5 for a step of ``matryoshka`` against one of ``batchtopk``.
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

import harness.cli  # noqa: F401 - sets what torch reads when it is loaded, as the command does
from harness.api import Activations, ArrayActivations, Setting, Train
from harness.registry import build_method
from harness.specs.library import Library, merge_params
from harness.training.loop import Moment, Rule

WIDTH = 576
HALVES = ("encoder", "decoder")


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
    dense_S: list[float] = field(default_factory=list)
    started: float | None = None


class Products:
    """The matrix products of one step of a dictionary, were nothing sparse."""

    def __init__(self, x_ND: Tensor, latents: int, decoders: int) -> None:
        self._x_ND = x_ND.clone()
        self._W_DF = torch.randn(WIDTH, latents)
        self._f_NF = torch.randn(len(x_ND), latents)
        self._decoders = decoders

    def encoder(self) -> None:
        """Return pre-activations."""
        self._x_ND @ self._W_DF

    def dense(self) -> None:
        """Encode; decode, and take the gradient of codes, by each decoder; take the gradients of both weights."""
        self.encoder()
        for _ in range(self._decoders):
            self._f_NF @ self._W_DF.T
            self.encoder()  # the gradient of reconstructions times the decoder has the same shapes
        for _ in range(2):
            self._x_ND.T @ self._f_NF


class Interleaved(Activations):
    """Rows in memory; every time a training batch is read, the bare products run first and all are timed."""

    def __init__(self, x_ND: Tensor, batch: int, products: Products) -> None:
        self._x_ND = x_ND
        self._doc_N = torch.zeros(len(x_ND), dtype=torch.int64)
        self._batch = batch
        self._products = products
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
            self._products.dense()
            then = time.perf_counter()
            self._products.encoder()
            self.clock.started = time.perf_counter()
            self.clock.dense_S.append(then - now)
            self.clock.product_S.append(self.clock.started - then)
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

    @property
    def decoders(self) -> int:
        """How many reconstructions the objective holds."""
        return 2 if self.method == "gated" else 1


def measure(case: Case, x_ND: Tensor, steps: int) -> tuple[str, float]:
    """Fit for ``steps``; return the table's line and the median step in median products."""
    setting = Setting(WIDTH, case.latents, case.k, 0)
    found = Library().method(case.method)
    params = merge_params(found.spec.params, {"optim": {"batch": case.batch}}, "benchmark", case.method)
    method = build_method(found, params, setting)
    if case.dead:
        begin = method.begin
        method.begin = lambda train: (*begin(train), KeepDead(method, round(case.dead * case.latents)))
    rows = Interleaved(x_ND, case.batch, Products(x_ND[: case.batch], case.latents, case.decoders))
    passes = max(round(steps * case.batch / len(x_ND)), 1)
    method.fit(Train(rows, ArrayActivations(x_ND[:3000]), passes, torch.device("cpu")))
    dead = method.summary().get("dead_at_end", 0)
    head = f"{case.method:<14} {case.latents:>5} {case.k:>3} {case.batch:>5} {dead:>5.0f} {len(rows.clock.step_S):>5}"
    return head + _columns(rows.clock, case.batch), _ratio(rows.clock)


def _ratio(clock: Clock) -> float:
    warm = len(clock.step_S) // 5
    return statistics.median(clock.step_S[warm:]) / statistics.median(clock.product_S[warm:])


def _columns(clock: Clock, batch: int) -> str:
    warm = len(clock.step_S) // 5
    timed = clock.step_S[warm:], clock.product_S[warm:], clock.dense_S[warm:]
    median = [statistics.median(times) for times in timed]
    fastest = [statistics.quantiles(times, n=10)[0] for times in timed]
    whole = sum(clock.step_S) / sum(clock.dense_S[: len(clock.step_S)])
    dense = f" |{1e3 * median[2]:>8.2f} {median[0] / median[2]:>7.2f} {fastest[0] / fastest[2]:>8.2f} {whole:>6.2f}"
    return _against(median[0], median[1], batch) + _against(fastest[0], fastest[1], batch) + dense


def _against(step: float, product: float, batch: int) -> str:
    return f" |{1e3 * product:>8.2f} {1e3 * step:>8.2f} {product / step:>6.2f} {batch / step:>9.0f}"


def cases() -> list[Case]:
    """Return the lines of the table: the bar's size first, then every trainer at the size of a small task."""
    library = Library()
    trainers = [
        name
        for name in library.names("methods")
        if "optim" in (spec := library.method(name).spec).params and any(spec.params.get(h, True) for h in HALVES)
    ]
    large = [Case(name, 4608, 32, 2048, dead) for name in ("topk", "batchtopk") for dead in (0.0, 0.1, 0.3)]
    large += [Case(name, 4608, 32, 2048) for name in ("matryoshka", "jumprelu", "gated", "relu_l1")]
    return large + [Case(name, 2304, 64, 256) for name in trainers]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="steps of 2 048 rows; eight times as many of 256")
    parser.add_argument("--only", default="", help="methods, separated by commas")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    x_ND = planted(40_960)
    print(f"torch {torch.__version__}, {options.threads} threads, width {WIDTH}")
    print(f"{'':40} | medians (ms){'':22} | fastest tenths (ms){'':15} | dense (ms)")
    columns = 2 * " | product    step   ratio  tokens/s" + " | product  median  fastest   mean"
    print("method          lat.   k batch  dead steps" + columns)
    ratios: dict[tuple[int, str], float] = {}
    for case in cases():
        if not options.only or case.method in options.only.split(","):
            line, ratio = measure(case, x_ND, options.steps if case.batch == 2048 else 8 * options.steps)
            ratios.setdefault((case.batch, case.method), ratio)
            print(line, flush=True)
    for batch in (2048, 256):
        pair = [ratios.get((batch, name)) for name in ("matryoshka", "batchtopk")]
        if pair[0] and pair[1]:
            print(f"a step of matryoshka in steps of batchtopk, batch {batch}: {pair[0] / pair[1]:.2f}")


if __name__ == "__main__":
    main()
