"""How long ten thousand records take to become a board, and how much memory, cold and warm.

    python benchmarks/bench_board.py [--tables 20] [--methods 50] [--seeds 5] [--records DIR] [--only-data]

Records are made first and not timed: per table 50 methods on 5 seeds, a derived control of each, and the other
controls; 100 clusters, 8 metrics. Cold has an empty cache, warm the cache that cold left. ``--records`` keeps the
records in a folder and finds them there again; ``--only-data`` leaves the page out. Memory is the largest sum of the
resident memory of all processes, looked at every 20 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np

from harness.metrics.contract import Array, all_metrics
from harness.specs.record import Record

METRICS = ("fvu", "mse_elem", "mse_elem_norm", "l0", "dead_frac", "delta_ce", "kl_splice", "agree1")
CLUSTERS, LATENTS, L0 = 100, 2304, 64.0
# A cache trusts files only once they have rested.
REST_S = 2.5
LIMITS = {"cold": (60.0, 500.0), "warm": (10.0, 500.0)}
ONLY_DATA = (
    "import sys; from pathlib import Path; from harness.board import load_board;"
    "from harness.board.text import csv_text, json_text, markdown; board = load_board(Path(sys.argv[1]));"
    "[Path(sys.argv[2], t.__name__).write_text(t(board)) for t in (csv_text, json_text, markdown)]"
)


def shared_parts(rng: np.random.Generator) -> dict[str, Array]:
    """Return what all methods of a table have in common: tokens and the spread of the activations."""
    n = rng.integers(150, 350, CLUSTERS).astype(float)
    vectors = rng.normal(0.0, 2.0, (CLUSTERS, 24)) * np.sqrt(n)[:, None]
    sxx = n * 576.0 * rng.lognormal(0.0, 0.05, CLUSTERS)
    spliced = np.floor(n * 0.66)
    gram = (vectors @ vectors.T).astype(np.float32)
    return {
        "n": n, "sxx": sxx, "x2": 1.2 * sxx, "x_gram": gram, "width": np.array(576.0), "n_density": np.array(50000.0),
        "n_ce": spliced, "n_kl": spliced, "ce_clean": 2.2 * spliced,
    }  # fmt: skip


def own_parts(shared: dict[str, Array], loss: float, l0: float, rng: np.random.Generator) -> dict[str, Array]:
    """Return the parts of one cell that loses about ``loss``; clusters and seeds vary as real ones do."""
    luck = loss * (1 + 0.01 * rng.normal())
    noise = luck * np.exp(0.05 * rng.normal(size=(3, CLUSTERS)))
    n_kl = shared["n_kl"]
    return shared | {
        "se": shared["sxx"] * noise[0],
        "l0": shared["n"] * l0 * (1 + 0.002 * rng.normal(size=CLUSTERS)),
        "fires": rng.poisson(1500 * rng.random(LATENTS)).astype(float),
        "ce_splice": shared["ce_clean"] + 2 * n_kl * noise[1],
        "kl": 2 * n_kl * noise[2],
        "agree1": n_kl * np.clip(1 - noise[1], 0, 1),
    }


def rows(methods: int, seeds: int) -> list[tuple[str, str | None, str | None, float, float, int]]:
    """Return (name, role, of, loss, L0, seeds) of every row of a table."""
    names = [f"method_{i:02d}" for i in range(methods)]
    found: list[tuple[str, str | None, str | None, float, float, int]] = [
        ("identity", "ceiling", None, 1e-6, 576.0, 1),
        ("mean_only", "floor", None, 1.0, 0.0, 1),
        ("pca", "floor", None, 0.22, L0, 1),
        ("random_dictionary", "floor", None, 0.6, L0, seeds),
    ]
    found += [(name, None, None, 0.1 + 0.004 * i, L0, seeds) for i, name in enumerate(names)]
    return found + [("permuted_decoder", "derived", name, 1.3, L0, seeds) for name in names]


def make(folder: Path, tables: int, methods: int, seeds: int) -> int:
    """Write the records of so many tables and return how many there are."""
    count = 0
    for number in range(tables):
        rng = np.random.default_rng(number)
        shared = shared_parts(rng)
        for name, role, of, loss, l0, cells in rows(methods, seeds):
            for seed in range(cells):
                parts = own_parts(shared, loss, l0, rng)
                write(folder, record(f"task_{number:02d}", (name, role, of, seed), parts), parts)
                count += 1
    return count


def write(folder: Path, plain: dict[str, object], parts: dict[str, Array]) -> None:
    """Write one record and its parts, as a run does but without waiting for the disk."""
    made = Record.model_validate(plain)
    place = folder / "results" / made.task.name / made.method.name
    place.mkdir(parents=True, exist_ok=True)
    stem = f"{f'of-{made.method.of}-' if made.method.of else ''}seed{made.seed}-{made.cell[:12]}"
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **parts)
    (place / f"{stem}.npz").write_bytes(buffer.getvalue())
    update = {"parts": f"{stem}.npz", "parts_sha256": sha256(buffer.getvalue()).hexdigest()}
    (place / f"{stem}.json").write_text(made.model_copy(update=update).model_dump_json(indent=1))


def record(task: str, cell: tuple[str, str | None, str | None, int], parts: dict[str, Array]) -> dict[str, object]:
    """Return a record as plain data."""
    name, role, of, seed = cell
    known = all_metrics()
    values = {
        metric: {
            "value": known[metric].point(parts)[0], "unit": known[metric].unit, "version": known[metric].version,
            "direction": known[metric].direction, "source": known[metric].source,
        }
        for metric in METRICS
    }  # fmt: skip
    return {
        "cell": sha256(f"{task} {name} {of} {seed}".encode()).hexdigest()[:24], "status": "ok", "seed": seed,
        "task": _task(task),
        "method": {
            "name": name, "title": name, "kind": "dictionary", "source": "synthetic", "role": role, "of": of,
            "seeded": name not in ("identity", "mean_only", "pca"), "causal": True,
            "params": {"optim": {"lr": 0.002, "batch": 256}}, "identity": sha256(name.encode()).hexdigest()[:24],
        },
        "model": {
            "name": "model", "label": "", "fingerprint": "0" * 24, "blocks": 30, "width": 576, "dtype": "float32",
            "layer": 14, "hidden_state": 15, "at": "resid_post",
        },
        "data": _data(task),
        "fit": {"parameters": 2656000.0, "train_tokens": 24000.0}, "metrics": values, "margins": {}, "bars": {},
        "details": {"density_tokens": 50000.0}, "warnings": [],
        "stages": {
            "activations": {"seconds": 41.0, "peak_mb": 2100.0, "shared": True},
            "fit": {"seconds": 38.0 + seed, "peak_mb": 910.0, "shared": False},
        },
        "provenance": {
            "version": "0.1.0", "commit": "0" * 40, "dirty": False, "python": "3.11", "libraries": {"numpy": "2"},
            "platform": "Linux", "device": "cpu", "threads": 2, "batch_tokens": 2048, "command": f"harness eval {name}",
            "started": "2026-11-20T11:40:00+00:00", "finished": "2026-11-20T12:00:00+00:00",
        },
    }  # fmt: skip


def _task(task: str) -> dict[str, object]:
    controls = {"ceiling": ["identity"], "floor": ["mean_only", "pca", "random_dictionary"]}
    spec = {
        "task": task, "metrics": list(METRICS), "seeds": list(range(3)), "budget": {"l0": L0, "latents": LATENTS},
        "controls": controls | {"derived": ["permuted_decoder"]}, "bars": {"fvu": {"max": 0.2}},
    }  # fmt: skip
    table = sha256(task.encode()).hexdigest()[:24]
    return {"name": task, "title": task, "version": 1, "track": "reconstruction", "table": table, "spec": spec}


def _data(task: str) -> dict[str, object]:
    split = {"documents": 200, "groups": CLUSTERS, "tokens": 50000, "cut": 3, "left_out": 9}
    return {
        "source": "reasoning_gym", "name": task, "config": None, "revision": None, "mirror": None,
        "fingerprint": "1" * 24, "splits": {"train": split, "test": split}, "clusters": CLUSTERS, "mask": {},
    }  # fmt: skip


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and all its children, in MB."""
    try:
        own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0.0
    return own + sum(resident_mb(int(child)) for child in children)


def timed(command: list[str], cache: Path) -> tuple[float, float, float]:
    """Return seconds by the clock, seconds of processor time and the largest resident memory of a command, in MB."""
    start, before = time.perf_counter(), os.times()
    peak = 0.0
    with subprocess.Popen(command, env={**os.environ, "HARNESS_CACHE": str(cache)}, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            peak = max(peak, resident_mb(child.pid))
            time.sleep(0.02)
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with exit code {child.returncode}")
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, used, peak


def main(given: argparse.Namespace) -> int:
    """Make the records, build twice, print the figures; 1 where one is above its limit."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = Path(given.records) if given.records else scratch / "records"
        if not (folder / "results").is_dir():
            print(f"{make(folder, given.tables, given.methods, given.seeds)} records made in {folder}")
            time.sleep(REST_S)
        (scratch / "out").mkdir()
        words = ["-c", ONLY_DATA, str(folder), str(scratch / "out")]
        if not given.only_data:
            words = ["-m", "harness", "leaderboard", str(folder), "--output-path", str(scratch / "out")]
        figures = {turn: told(turn, timed([sys.executable, *words], scratch / "cache")) for turn in LIMITS}
    print(json.dumps(figures))
    return int(any(above(turn, figure) for turn, figure in figures.items()))


def above(turn: str, figure: dict[str, float]) -> bool:
    """Say whether a figure is above its limit."""
    return figure["seconds"] > LIMITS[turn][0] or figure["mb"] > LIMITS[turn][1]


def told(turn: str, found: tuple[float, float, float]) -> dict[str, float]:
    """Print the figures of one turn and return them by name."""
    seconds, processor, peak = found
    figure = {"seconds": seconds, "processor": processor, "mb": peak}
    said = f"  above the limit of {LIMITS[turn][0]:g} s, {LIMITS[turn][1]:g} MB" if above(turn, figure) else ""
    print(f"{turn:5s} {seconds:7.2f} s ({processor:.2f} s of processor time)  peak {peak:.0f} MB{said}", flush=True)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("--tables", 20), ("--methods", 50), ("--seeds", 5)):
        parser.add_argument(option, type=int, default=default)
    parser.add_argument("--records", metavar="DIR")
    parser.add_argument("--only-data", action="store_true")
    sys.exit(main(parser.parse_args()))
