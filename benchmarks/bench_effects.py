"""Effect sizes of 36 864 features over 914 answers with 200 exchanges of labels: seconds, and memory beyond the input.

The size is that of a published table of the largest |d| without a null (3 layers x 6 tokens x 2 048 latents). Timed
beside the one product that all permutations need, `labels [200, n] @ features [n, F]`: their ratio also means something
on another machine. A second pass over four times as many features shows that memory does not grow with them. Fails
above a minute of the published size, or above 128 MB beyond the input.

    python benchmarks/bench_effects.py [--rows 914] [--features 36864] [--quick]
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from numpy.typing import NDArray

from harness.run.meter import Meter
from harness.stats.many_effects import PERMUTATIONS, each_auroc, effect_sizes, fire_gap

SECONDS, MEGABYTES = 60.0, 128.0
# Features of a float64 copy in the bare product, so that it needs no more memory than what it is held against.
AT_ONCE = 2048


def product(y_n: NDArray[np.int64], x_nF: NDArray[np.float32]) -> float:
    """Return the seconds of the bare product of as many labellings, some features at a time."""
    y_Pn = np.tile(y_n.astype(np.float64), (PERMUTATIONS, 1))
    start = time.perf_counter()
    for first in range(0, x_nF.shape[1], AT_ONCE):
        y_Pn @ x_nF[:, first : first + AT_ONCE].astype(np.float64)
    return time.perf_counter() - start


def measure(rows: int, features: int) -> tuple[float, float]:
    """Print one line, and return seconds and megabytes beyond the input."""
    x_nF = np.random.default_rng(0).standard_normal((rows, features), dtype=np.float32)
    y_n = np.arange(rows) % 2
    with Meter() as before:
        pass
    with Meter() as meter:
        found = effect_sizes(x_nF, y_n, np.arange(rows))
    more = (meter.peak_mb or float("nan")) - (before.peak_mb or float("nan"))
    with Meter() as ranks:
        each_auroc(x_nF, y_n)
        fire_gap(x_nF, y_n)
    bare = product(y_n, x_nF)
    print(
        f"{rows} x {features}, {PERMUTATIONS} permutations: {meter.seconds:.1f} s, {meter.seconds / bare:.1f} of the "
        f"bare product, {more:.0f} MB beyond the input of {x_nF.nbytes / 2**20:.0f}; "
        f"AUROC and firing {ranks.seconds:.1f} s; noise reaches {found.null.mean():.4f}, "
        f"threshold {found.threshold:.4f}",
        flush=True,
    )
    return meter.seconds, more


def main() -> None:
    """Measure both sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=914)
    parser.add_argument("--features", type=int, default=36_864)
    parser.add_argument("--quick", action="store_true", help="leave out the pass over four times as many features")
    given = parser.parse_args()
    seconds, most = measure(given.rows, given.features)
    if not given.quick:
        most = max(most, measure(given.rows, 4 * given.features)[1])
    if seconds > SECONDS or most > MEGABYTES:
        sys.exit(f"too slow or too large: {seconds:.1f} s of {SECONDS:.0f}, {most:.0f} MB of {MEGABYTES:.0f}")


if __name__ == "__main__":
    main()
