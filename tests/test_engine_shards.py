"""``--shard I/N``: several processes share the units of every cell; totals are those of one process, to the bit."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import PLUGINS, run

from harness.cli import main
from harness.errors import UserError
from harness.run.engine import Outcome
from harness.run.sharding import Shard

# Children are forked from a server that has imported torch once; each is a process of its own all the same.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["harness.run.evaluate", "harness.tracks.reconstruction"])
COMMAND = ["eval", "--method", "toys", "--task", "toy_task", "--include-path", str(PLUGINS), "--batch-size", "2"]


def parts(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {stored.record.cell: stored.parts() for stored in outcome.records}


def same(a: dict[str, dict[str, Any]], b: dict[str, dict[str, Any]]) -> bool:
    assert a.keys() == b.keys()
    return all(a[cell].keys() == b[cell].keys() for cell in a) and all(
        np.array_equal(value, b[cell][name]) for cell in a for name, value in a[cell].items()
    )


def one(shard: str, folder: Path, cache: Path, log: Path, talk: Path) -> None:
    """Run the command on one shard, in a process of its own."""
    os.dup2(os.open(talk, os.O_WRONLY | os.O_CREAT), 2)
    os.dup2(2, 1)
    os.environ |= {"HARNESS_CACHE": str(cache), "OMP_NUM_THREADS": "1", "TOY_LOG": str(log)}
    raise SystemExit(main([*COMMAND, "--shard", shard, "--output-path", str(folder)]))


def test_two_processes_at_once_measure_each_unit_once_and_end_with_the_same_totals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = {name: tmp_path / f"{name}.log" for name in ("whole", "shards")}
    for log in logs.values():
        log.touch()
    monkeypatch.setenv("TOY_LOG", str(logs["whole"]))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "own"))
    whole = run("toys", "toy_task", tmp_path / "whole", batch_size=2)
    talks = [tmp_path / f"talk{k}" for k in range(2)]
    given = (tmp_path / "shards", tmp_path / "cache", logs["shards"])
    processes = [PROCESSES.Process(target=one, args=(f"{k + 1}/2", *given, talks[k])) for k in range(2)]
    for process in processes:
        process.start()
    for process, talk in zip(processes, talks, strict=True):
        process.join(timeout=240)
        assert process.exitcode == 0, talk.read_text()
    # What is there already is read again, and nothing is measured.
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "unused"))
    again = run("toys", "toy_task", tmp_path / "shards", batch_size=2)
    assert again.skipped == len(again.records) == len(whole.records)
    assert same(parts(whole), parts(again))
    done = {name: Counter(log.read_text().split()) for name, log in logs.items()}
    assert done["shards"]["encode"] == done["whole"]["encode"], "a unit was measured twice, or not at all"
    assert not list((tmp_path / "shards").rglob("journal/*/*")), "the journal is gone once records stand"


def test_cells_wait_until_the_last_shard_is_measured(tmp_path: Path, cache: Path) -> None:
    whole = run("toys", "toy_task", tmp_path / "whole", batch_size=2)
    first = run("toys", "toy_task", tmp_path / "run", batch_size=2, shard="2/2")
    assert (first.records, first.waiting) == ([], len(whole.records))
    last = run("toys", "toy_task", tmp_path / "run", batch_size=2, shard="1/2")
    assert (last.waiting, last.skipped) == (0, 0)
    assert same(parts(whole), parts(last))
    # A shard that comes late finds everything done.
    assert run("toys", "toy_task", tmp_path / "run", batch_size=2, shard="2/2").skipped == len(whole.records)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_unit_has_one_shard(count: int) -> None:
    shards = [Shard.read(f"{k + 1}/{count}") for k in range(count)]
    assert all(sum(shard.takes(unit) for shard in shards) == 1 for unit in range(23))


@pytest.mark.parametrize("words", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_share_is_refused_before_anything_runs(words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--shard: .* is no share; the second of four processes is 2/4"):
        run("toys", "toy_task", tmp_path / "run", shard=words)
    assert not (tmp_path / "run" / "results").exists()
