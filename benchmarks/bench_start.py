"""What the command costs before it does anything, beside an interpreter that does nothing; all figures from one run.

    python benchmarks/bench_start.py [ROUNDS]

Prints the median seconds of each call and the ratio to ``python -c pass``. Listings should answer within half a second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT = 0.5
NOTHING = "python -c pass"
HARNESS = [sys.executable, "-m", "harness"]
CALLS = {
    NOTHING: [sys.executable, "-c", "pass"],
    "harness --version": [*HARNESS, "--version"],
    "harness list methods": [*HARNESS, "list", "methods"],
    "harness list tasks": [*HARNESS, "list", "tasks"],
    "harness list metrics": [*HARNESS, "list", "metrics"],
    "harness list models": [*HARNESS, "list", "models"],
    "harness eval, method misspelt": [*HARNESS, "eval", "--method=topkk", "--task=gsm_symbolic"],
    "harness eval, key misspelt": [*HARNESS, "eval", "--method=topk", "--task=gsm_symbolic", "--set=bugdet.l0=1"],
    "harness validate": [*HARNESS, "validate"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=False)
    return time.perf_counter() - start


def main(rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in CALLS}
    for turn in range(rounds + 1):
        # Every other round backwards, so that a slow drift of the machine falls on all alike.
        for name in list(CALLS) if turn % 2 else reversed(list(CALLS)):
            times[name].append(seconds(CALLS[name]))
    nothing = statistics.median(times[NOTHING][1:])
    for name, all_s in times.items():
        middle, best = statistics.median(all_s[1:]), min(all_s[1:])
        late = " above the limit" if name.startswith("harness list") and middle > LIMIT else ""
        print(f"{name:32s} median {middle:.3f} s   best {best:.3f} s   {middle / nothing:5.1f} x {NOTHING}{late}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
