"""ReasonScore with its null over 60 000 tokens x 4 608 latents: seconds, and the peak of memory.

Codes are synthetic (64 active latents a token) and lie on disk in pieces, as the engine keeps them. Timed is all that
follows: scores, firings, variants, top tokens, and 1 000 shifts of ten words. A second pass, over 4 x the tokens,
shows what memory grows with. Compare with reading 60 000 activations: about 900 tokens a second for the default model
on two cores, so 67 seconds.

    python benchmarks/bench_reasonscore.py [--tokens 60000] [--latents 4608] [--shifts 1000] [--quick]
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import silent
from harness.run.meter import Meter
from harness.stats.nulls import against_null
from harness.tracks.codes import Codes
from harness.tracks.marks import Text, Words
from harness.tracks.scoring import Firings, keyword_ratio, prompt_leads, reasoned, top_tokens
from harness.tracks.shifts import null_scores
from harness.tracks.sums import Contribution

ACTIVE, WORDS, HITS, WINDOW, STRETCH, PIECE = 64, 10, 100, 6, 500, 4000


class OnDisk(Sequence[Contribution]):
    """Pieces of synthetic codes, each in a file that is read whenever it is asked for."""

    def __init__(self, folder: Path, tokens: int, latents: int) -> None:
        rng = np.random.default_rng(0)
        self._paths = [folder / f"{i}.npz" for i in range(tokens // PIECE)]
        for path in self._paths:
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **_piece(rng, latents))
            path.write_bytes(buffer.getvalue())

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        with np.load(self._paths[index], allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def _piece(rng: np.random.Generator, latents: int) -> Contribution:
    # Densities as in a trained dictionary: a few latents fire often, most rarely.
    rate = np.arange(1, latents + 1) ** -0.7
    columns = rng.choice(latents, size=(PIECE, ACTIVE), p=rate / rate.sum()).astype(np.int32)
    indptr = np.arange(0, PIECE * ACTIVE + 1, ACTIVE)
    return {"indptr": indptr, "indices": columns.ravel(), "data": rng.random(PIECE * ACTIVE, dtype=np.float32)}


def _text(tokens: int) -> Text:
    start = np.arange(0, tokens, STRETCH)
    ids = np.random.default_rng(1).zipf(1.3, tokens).clip(max=5000)
    stretch = np.arange(tokens) // STRETCH
    return Text(ids, stretch, start, np.full(start.size, STRETCH), np.arange(start.size), ())


def _words(tokens: int) -> Words:
    rng = np.random.default_rng(2)
    hits = HITS * tokens // 60_000
    positions = tuple(_windows(rng, tokens, hits) for _ in range(WORDS))
    return Words(tuple(f"word {i}" for i in range(WORDS)), positions, (hits,) * WORDS)


def _windows(rng: np.random.Generator, tokens: int, hits: int) -> NDArray[np.int64]:
    first = rng.choice(tokens - WINDOW, hits, replace=False)
    return np.unique(first[:, None] + np.arange(WINDOW))


def measure(tokens: int, latents: int, shifts: int) -> dict[str, float]:
    """Return seconds and peak megabytes of everything that is computed from the codes."""
    text, words, seconds = _text(tokens), _words(tokens), {}
    with tempfile.TemporaryDirectory() as folder:
        codes = Codes(OnDisk(Path(folder), tokens, latents), latents)
        with Meter() as meter:
            started = time.perf_counter()
            firings, ours = Firings.of(codes, text), reasoned(codes, text, words, 0.7)
            keyword_ratio(codes, text, words.position_R[0])
            prompt_leads(codes, text, words.position_R[0], 10)
            top_tokens(codes, text, np.arange(latents), 10, 5)
            seconds["scores"] = time.perf_counter() - started
            null_SF = null_scores(codes, text, words, 0.7, shifts, 0, silent)
            against_null(ours.score_F, null_SF, firings.tokens_F >= 20)
            seconds["with null"] = time.perf_counter() - started
    return {**seconds, "peak MB": meter.peak_mb or float("nan")}


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=60_000)
    parser.add_argument("--latents", type=int, default=4608)
    parser.add_argument("--shifts", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="leave out the pass over four times as many tokens")
    given = parser.parse_args()
    sizes = [given.tokens] if given.quick else [given.tokens, 4 * given.tokens]
    for tokens in sizes:
        found = measure(tokens, given.latents, given.shifts)
        numbers = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
        print(f"{tokens} tokens x {given.latents} latents, {given.shifts} shifts: {numbers}", flush=True)


if __name__ == "__main__":
    main()
