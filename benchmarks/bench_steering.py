"""What steering costs: 50 answers written in batches against one by one, and a pass under an edit against a plain one.

    python benchmarks/bench_steering.py [--threads 2] [--problems 50] [--tokens 48] [--rounds 5] [--only edits]

Both halves compare within one run: what is held against each other is measured in turn, so that both see the same
machine. Seconds of the wall are given, and of the processor, of which the fastest tenth of passes says what the code
costs on a machine that others use too. The default model writes greedily. The edits are those of methods: a direction
added, one latent of a dictionary of 2 304 clamped (it is coded first), and the dictionary's reconstructions put in
place of the activations. A pass reads 4 texts of 128 tokens, or writes one more token of 25 texts with a cache.

Bars: writing in batches is at least 5 x as fast as one by one, and an edit adds less than 5 % to a pass. Exits with 1
where one is missed.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

import harness.cli  # noqa: F401 - sets what torch reads when it is loaded, as the command does
from harness.api import ArrayActivations, Behaviour, Dictionary, Intervention, Method, Setting, Train, silent
from harness.data.gym import generate as problems_of
from harness.lm.generation import Prompt, Sampling, generate
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel
from harness.lm.under import spliced
from harness.registry import build_method
from harness.specs.data import GymData, Splits
from harness.specs.library import Library
from harness.tracks.changes import intervention_of, splice_of

FASTER, ADDED = 5.0, 0.05
LATENTS, L0, DEPTH = 2304, 64, 0.5
# Positions of a batch, as the command's default of 8 sequences gives it for a task whose context is 256.
BATCH_TOKENS = 8 * 256
SIZES, STEPS = ((4, 128), (25, 8)), 4


@dataclass
class Clock:
    """Seconds of every call, on the wall and of the processor."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def time(self, work: Callable[[], object]) -> None:
        """Call and take the time."""
        wall, processor = time.perf_counter(), time.process_time()
        work()
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)


def prompts(model: LanguageModel, count: int) -> list[Prompt]:
    """Return sums in words, as a task asks them."""
    data = GymData(source="reasoning_gym", name="gsm_symbolic", size=count, group="id", splits=Splits(test=1.0))
    texts = [f"Question: {row['question']}\nAnswer:" for row in problems_of(data)[0].rows]
    return [Prompt(str(i), tuple(ids)) for i, ids in enumerate(model.tokenizer(texts)["input_ids"])]


def writing(model: LanguageModel, count: int, tokens: int, rounds: int) -> float:
    """Print how much faster batches are, and return it: all problems in each round, and a part of them one by one."""
    several, asked = prompts(model, count), Sampling(tokens)
    together, alone = Clock(), Clock()
    generate(model, several[:2], Sampling(2), 1)
    for part in range(rounds):
        together.time(lambda: generate(model, several, asked, BATCH_TOKENS))
        alone.time(lambda part=part: generate(model, several[part::rounds], asked, 1))  # type: ignore[misc]
    wall = sum(alone.wall) / statistics.median(together.wall)
    processor = sum(alone.processor) / statistics.median(together.processor)
    print(f"{count} problems x {tokens} tokens: one by one {sum(alone.wall):.1f} s, in batches "
          f"{statistics.median(together.wall):.1f} s, {wall:.1f} x as fast ({processor:.1f} x by processor)",
          flush=True)  # fmt: skip
    return wall


def activations(model: LanguageModel, block: int) -> ArrayActivations:
    """Return what the block gives for some problems."""
    several = prompts(model, 40)
    rows = [
        model.read(torch.tensor([one.ids]), torch.ones(1, len(one.ids), dtype=torch.int64), [block])[block][0, 1:]
        for one in several
    ]
    doc_N = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(row) for row in rows]))
    return ArrayActivations(torch.cat(rows).float(), doc_N)


def edits(model: LanguageModel, block: int) -> dict[str, Intervention]:
    """Return what methods do, fitted on a few texts: what they cost does not depend on how well."""
    library, data = Library(), activations(model, block)
    row_N = torch.arange(len(data))
    behaviour = Behaviour(((1,), (2,)), torch.stack([row_N % 8 == 0, row_N % 8 == 4]))
    train = Train(data, data, 1, torch.device("cpu"), silent, {"behaviour": behaviour})

    def fitted(name: str, uses: dict[str, Method] | None = None, **params: Any) -> Any:
        found = library.method(name)
        made = build_method(found, {**found.spec.params, **params}, Setting(data.width, LATENTS, L0, 0, uses or {}))
        made.fit(train)
        return made

    dictionary: Dictionary = fitted("batchtopk")
    uses: dict[str, Method] = {"dictionary": dictionary}
    return {
        "plain": Intervention(),
        "added": fitted("sae_feature", uses).steer(1.0),
        "clamped": fitted("sae_feature", uses, way="clamp").steer(1.0),
        "spliced": intervention_of(dictionary),
    }


class Arm:
    """The default model under one intervention, as steering does it: a pass over texts, and one that writes a token."""

    def __init__(self, model: LanguageModel, block: int, found: Intervention) -> None:
        splice = splice_of(found, first=False, limit=math.inf)
        self.model, self.splices = model, {} if splice is None else {block: splice}
        generator = torch.Generator().manual_seed(0)
        self.read_BT, self.written_BT = (torch.randint(1000, 20000, size, generator=generator) for size in SIZES)
        self.past: Any = None
        self.clocks = {"reads": Clock(), "writes": Clock()}

    @torch.no_grad()
    def round(self) -> None:
        """Time both passes, the second one several times; the cache grows by as many tokens in every arm."""
        network = self.model.network
        with spliced(self.model, self.splices):
            self.clocks["reads"].time(lambda: network(self.read_BT, use_cache=False, logits_to_keep=1))
            self.past = network(self.written_BT, use_cache=True, logits_to_keep=1).past_key_values
            for _ in range(STEPS):
                self.clocks["writes"].time(
                    lambda: network(self.written_BT[:, :1], past_key_values=self.past, use_cache=True)
                )


def passes(model: LanguageModel, rounds: int) -> float:
    """Print what each edit adds to a pass, and return the most, of the processor's fastest tenths."""
    block, most = round(DEPTH * model.info.blocks) - 1, -math.inf
    arms = {name: Arm(model, block, found) for name, found in edits(model, block).items()}
    for begin in range(rounds):
        names = list(arms)
        # Each round begins with another.
        for name in names[begin % len(names) :] + names[: begin % len(names)]:
            arms[name].round()
    plain = arms.pop("plain")
    for work, (rows, tokens) in (("reads", SIZES[0]), ("writes", (SIZES[1][0], 1))):
        for name, arm in arms.items():
            own, other = arm.clocks[work], plain.clocks[work]
            wall = _more(own.wall, other.wall)
            processor = _fastest(own.processor) / _fastest(other.processor) - 1
            most = max(most, processor)
            print(f"a pass that {work} {rows} x {tokens} tokens, {name}: {statistics.median(own.wall) * 1e3:.1f} ms, "
                  f"{wall:+.1%} ({processor:+.1%} where the processor was fastest)", flush=True)  # fmt: skip
    return most


def _more(of: Sequence[float], plain: Sequence[float]) -> float:
    """Return the median over rounds of what is added."""
    return statistics.median(a / b for a, b in zip(of, plain, strict=True)) - 1


def _fastest(seconds: Sequence[float]) -> float:
    """Return the mean of the fastest tenth."""
    return statistics.mean(sorted(seconds)[: max(len(seconds) // 10, 1)])


def main() -> None:
    """Print a line for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("writing", "edits"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = load_model("smollm2-135m-instruct", LoadOptions(device="cpu"))
    faster = FASTER if given.only == "edits" else writing(model, given.problems, given.tokens, given.rounds)
    added = 0.0 if given.only == "writing" else passes(model, 2 * given.rounds)
    if faster < FASTER or added > ADDED:
        sys.exit(f"too slow: {faster:.1f} x of {FASTER:.0f} x, {added:+.1%} of {ADDED:+.0%}")


if __name__ == "__main__":
    main()
