"""A run killed at any write goes on where it was, and ends with the numbers of a run that was never killed."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from running import PLUGINS

from harness.cli import main
from harness.store.records import find_records, load_record

COMMAND = ["eval", "--method", "toys", "--task", "toy_task", "--include-path", str(PLUGINS), "--batch-size", "2"]

# Children are forked from a server that has imported torch once; each is a process of its own all the same.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["harness.run.evaluate", "harness.tracks.reconstruction"])


@dataclass(frozen=True)
class Started:
    """A run under way, and the file that its talk goes to."""

    process: ForkServerProcess
    talk: Path


def run(folder: Path, cache: Path, kill_at: int, log: Path | None, talk: Path) -> None:
    """Run the command, in a process of its own, and die inside the k-th atomic write.

    The temporary file is there then, and the rename has not happened.
    """
    os.dup2(os.open(talk, os.O_WRONLY | os.O_CREAT), 2)
    os.dup2(2, 1)
    os.environ |= {"HARNESS_CACHE": str(cache), "OMP_NUM_THREADS": "1"} | ({"TOY_LOG": str(log)} if log else {})
    real, count = os.fsync, itertools.count(1)

    def fsync(handle: Any) -> None:
        if next(count) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        real(handle)

    os.fsync = fsync
    main([*COMMAND, "--output-path", str(folder)])


def start(folder: Path, cache: Path, kill_at: int = 0, log: Path | None = None) -> Started:
    talk = folder.parent / f"talk-{len(list(folder.parent.glob('talk-*')))}"
    talk.touch()
    process = PROCESSES.Process(target=run, args=(folder, cache, kill_at, log, talk))
    process.start()
    return Started(process, talk)


def finish(started: Started) -> tuple[int | None, str]:
    started.process.join(timeout=120)
    return started.process.exitcode, started.talk.read_text()


def numbers(folder: Path) -> dict[str, object]:
    records = [load_record(path) for path in find_records(folder)]
    assert all(stored.parts() for stored in records), "every record's parts are whole"
    return {stored.record.cell: json.loads(stored.record.model_dump_json())["metrics"] for stored in records}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], int]:
    folder = tmp_path_factory.mktemp("reference")
    log = folder / "log"
    code, talk = finish(start(folder / "run", folder / "cache", log=log))
    assert code == 0, talk
    return numbers(folder / "run"), log.read_text().split().count("encode")


@pytest.mark.parametrize("kill_at", [1, 30])
def test_killed_at_a_write_it_resumes(tmp_path: Path, kill_at: int, reference: tuple[dict[str, object], int]) -> None:
    expected, encodes = reference
    folder, cache, log = tmp_path / "run", tmp_path / "cache", tmp_path / "log"
    log.touch()
    code, talk = finish(start(folder, cache, kill_at, log))
    assert code == -signal.SIGKILL, talk
    numbers(folder)
    before = log.read_text().split().count("encode")
    code, talk = finish(start(folder, cache, log=log))
    assert code == 0, talk
    assert numbers(folder) == expected
    after = log.read_text().split().count("encode") - before
    # Each unit encodes once per cell of the toy; what had been written before the kill is not measured again.
    assert before + after <= encodes + 1
    assert not list(folder.rglob("journal/*/*")), "the journal is gone once records stand"


def test_two_processes_in_one_run_folder_agree(tmp_path: Path, reference: tuple[dict[str, object], int]) -> None:
    log = tmp_path / "log"
    log.touch()
    both = [start(tmp_path / "run", tmp_path / "cache", log=log) for _ in range(2)]
    for process in both:
        code, talk = finish(process)
        assert code == 0, talk
    assert numbers(tmp_path / "run") == reference[0]
    assert log.read_text().split().count("encode") == reference[1], "nothing is measured twice"
