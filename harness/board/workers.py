"""Tables of large boards are built by two processes at once, which hold the parts of one table each.

A worker is this module run as a program: it reads a job as a line of JSON and answers with the packed table, until its
input ends. (``multiprocessing`` would run the caller's script again in every worker.)
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from harness.board.packing import packed
from harness.board.tabulate import tabulate
from harness.content import PACKAGE, import_file
from harness.metrics.contract import Metric, all_metrics
from harness.specs.reliability import Cards, cards_of

WORKERS = 2
# Below so many records a worker takes longer to start than it saves.
FEWEST = 1000

Jobs = Sequence[Sequence[str]]


def packed_tables(folder: Path, jobs: Jobs, metrics: Mapping[str, Metric], cards: Cards) -> Iterator[str]:
    """Yield the packed table of each job, the paths of the records of one resolved task, in order.

    What a worker could not answer, because it was killed, is built here.
    """
    workers = min(WORKERS, len(os.sched_getaffinity(0)), len(jobs))
    many = workers > 1 and sum(map(len, jobs)) >= FEWEST
    answers = _by_workers(folder, jobs, metrics, workers) if many else (None for _ in jobs)
    for job, answer in zip(jobs, answers, strict=True):
        yield answer or packed(tabulate(folder, job, metrics, cards))


def _by_workers(folder: Path, jobs: Jobs, metrics: Mapping[str, Metric], workers: int) -> Iterator[str | None]:
    foreign = sorted({place for metric in metrics.values() if (place := _foreign(metric))})
    with contextlib.ExitStack() as stack:
        idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        for _ in range(workers):
            idle.put(stack.enter_context(_started()))

        def ask(paths: Sequence[str]) -> str | None:
            worker = idle.get()
            try:
                return _answer(worker, {"folder": str(folder.resolve()), "metrics": foreign, "paths": list(paths)})
            finally:
                idle.put(worker)

        pool = stack.enter_context(ThreadPoolExecutor(workers))
        yield from pool.map(ask, jobs)


def _foreign(metric: Metric) -> tuple[str, str] | None:
    """Return file and module of a metric from outside the package."""
    name = metric.value.__module__
    file = sys.modules[name].__file__
    return None if name.startswith("harness.") or file is None else (file, name)


@contextlib.contextmanager
def _started() -> Iterator[subprocess.Popen[str]]:
    """Start a worker that ends with the block, at once where the block is left by an error."""
    # One thread each: two workers with two would stand in each other's way.
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    # -P: what lies in the folder the command is called in is not for importing.
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "harness.board.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, **one, "PYTHONPATH": path},
    )
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()
        for stream in (worker.stdin, worker.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]


def _answer(worker: subprocess.Popen[str], job: Mapping[str, Any]) -> str | None:
    """Return what a worker answers, None where it is gone."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    with contextlib.suppress(OSError):
        worker.stdin.write(json.dumps(job) + "\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        return line.rstrip("\n") if line.endswith("\n") else None
    return None


def work() -> None:
    """Answer jobs until there are no more."""
    # Ctrl-C reaches every process of the terminal; the one that started this ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        job = json.loads(line)
        for file, name in job["metrics"]:
            import_file(Path(file), name)
        folder = Path(job["folder"])
        found = tabulate(folder, job["paths"], all_metrics(), cards_of(folder))
        sys.stdout.write(packed(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    work()
