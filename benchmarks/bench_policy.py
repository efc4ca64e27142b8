"""How fast a decoder is stepped by PPO, against a bare supervised step of the same batch, measured in turn in one run.

    python benchmarks/bench_policy.py [--threads 2] [--updates 20] [--batch 256]

Both read codes that are kept (2 304 latents, 64 of them active) and the model's own predictions of 1 001 next tokens,
and step the low-rank decoder of ``sparse_decoder``. A supervised step is codes, prediction, divergence, gradients and
Adam, and nothing else. An update of PPO is a roll-out (codes, prediction, sampling, reward, value) and three steps on
it, each with the value head's own; it takes as many steps on its batch, so the ratio is of seconds a step. The bar is
0.50. It is given for medians and for fastest tenths: on a machine that others use too only the second says what the
code costs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import harness.cli  # noqa: F401 - sets what torch reads when it is loaded, as the command does
from harness.api import Arm
from harness.training.loop import Moment, Optim
from harness.training.policy import divergence
from harness.training.reinforce import Course, Plan, Ppo, Reinforcement
from harness.training.rewards import Goal, Schedule
from harness.training.stored_codes import StoredCodes

LATENTS, ACTIVE, RANK, CLASSES, ROWS = 2304, 64, 256, 1001, 4096


class LowRank(nn.Module):
    """Codes → logits through ``RANK`` numbers."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.W_in = nn.Parameter(torch.randn(LATENTS, RANK, generator=generator) / 8)
        self.W_out = nn.Parameter(0.1 * torch.randn(RANK, CLASSES, generator=generator))
        self.b_out = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, z_NF: Tensor) -> Tensor:
        """Return logits ``[N, V]``."""
        return torch.addmm(self.b_out, z_NF @ self.W_in, self.W_out)


def stored() -> StoredCodes:
    """Return codes with as many entries in every row."""
    generator = torch.Generator().manual_seed(1)
    latent_NK = torch.rand(ROWS, LATENTS, generator=generator).topk(ACTIVE, dim=1).indices.sort(1).values
    value_E = torch.rand(ROWS * ACTIVE, generator=generator)
    return StoredCodes(value_E, latent_NK.flatten(), torch.arange(ROWS + 1) * ACTIVE, LATENTS)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds one call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


class Pair:
    """A supervised step and an update of PPO on the same batches."""

    def __init__(self, batch: int, updates: int) -> None:
        self.codes, generator = stored(), torch.Generator().manual_seed(2)
        self.logp_NA = (3 * torch.randn(ROWS, CLASSES, generator=generator)).log_softmax(1)
        self.gold_N = self.logp_NA.argmax(1)
        self.batches = torch.split(torch.randint(ROWS, (batch * updates,), generator=generator), batch)
        self.decoder = LowRank()
        self.optim = Optim(lr=1e-4, batch=batch, warmup=0.0, decay=0.0, clip=1.0)
        self.adam = torch.optim.Adam(self.decoder.parameters(), lr=1e-4, fused=True)
        self.ppo = Ppo(1e-4, 1e-3, updates, batch, 3, 0.2, 0.0, 1.0, "value", 1)
        course = Course(ROWS, self.codes.take, self._goal, LATENTS, torch.device("cpu"))
        plan = Plan(self.ppo, Schedule((0.7,), (0.3,)))
        start = LowRank().requires_grad_(False)
        self.run = Reinforcement(LowRank(), start, course, plan, (Arm("true", 0.1), 0))

    def _goal(self, rows: Tensor) -> Goal:
        return Goal(self.logp_NA[rows], self.gold_N[rows])

    def supervise(self, rows: Tensor) -> None:
        """Take one supervised step."""
        logq_BA = self.decoder(self.codes.take(rows)).log_softmax(1)
        divergence(self.logp_NA[rows], logq_BA).mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.decoder.parameters(), self.optim.clip)
        self.adam.param_groups[0]["lr"] = self.optim.lr * self.optim.factor(Moment(0, 1))
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def seconds(self) -> tuple[list[float], list[float]]:
        """Return the seconds of a supervised step and of a step of PPO, batch by batch, in turn."""
        supervised, rewarded = [], []
        for update, rows in enumerate(self.batches):
            supervised.append(timed(lambda rows=rows: self.supervise(rows)))  # type: ignore[misc]
            rewarded.append(timed(lambda rows=rows, update=update: self.run.update(rows, update)) / self.ppo.epochs)  # type: ignore[misc]
        return supervised, rewarded


def fastest(seconds: list[float]) -> float:
    """Return the mean of the fastest tenth."""
    return statistics.mean(sorted(seconds)[: max(len(seconds) // 10, 1)])


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--batch", type=int, default=256)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    pair = Pair(given.batch, given.updates)
    pair.supervise(pair.batches[0])
    supervised, rewarded = pair.seconds()
    for name, of in (("median", statistics.median), ("fastest tenth", fastest)):
        print(f"{name}: supervised {of(supervised) * 1e3:.1f} ms, PPO {of(rewarded) * 1e3:.1f} ms a step, "
              f"rate {of(supervised) / of(rewarded):.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
