"""A run killed at any write goes on where it was, and ends with the numbers of a run that was never killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running import PLUGINS

from harness.store.records import find_records, load_record

COMMAND = ["eval", "--method", "toys", "--task", "toy_task", "--include-path", str(PLUGINS), "--batch-size", "2"]

# Kills the process inside the k-th atomic write: the temporary file is there, the rename has not happened.
KILLER = """
import os, signal, sys
import harness.store.files as files
count = 0
real = os.fsync
def fsync(handle):
    global count
    count += 1
    if count == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
files.os.fsync = fsync
from harness.cli import main
main(sys.argv[2:])
"""


def start(folder: Path, cache: Path, kill_at: int = 0, log: Path | None = None) -> subprocess.Popen[str]:
    env = {**os.environ, "HARNESS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    if log is not None:
        env["TOY_LOG"] = str(log)
    words = [sys.executable, "-c", KILLER, str(kill_at), *COMMAND, "--output-path", str(folder)]
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, talk = process.communicate(timeout=120)
    return process.returncode, talk


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
    run, cache, log = tmp_path / "run", tmp_path / "cache", tmp_path / "log"
    log.touch()
    code, talk = finish(start(run, cache, kill_at, log))
    assert code == -signal.SIGKILL, talk
    numbers(run)
    before = log.read_text().split().count("encode")
    code, talk = finish(start(run, cache, log=log))
    assert code == 0, talk
    assert numbers(run) == expected
    after = log.read_text().split().count("encode") - before
    # Each unit encodes once per cell of the toy; what had been written before the kill is not measured again.
    assert before + after <= encodes + 1
    assert not list(run.rglob("journal/*/*")), "the journal is gone once records stand"


def test_two_processes_in_one_run_folder_agree(tmp_path: Path, reference: tuple[dict[str, object], int]) -> None:
    log = tmp_path / "log"
    log.touch()
    both = [start(tmp_path / "run", tmp_path / "cache", log=log) for _ in range(2)]
    for process in both:
        code, talk = finish(process)
        assert code == 0, talk
    assert numbers(tmp_path / "run") == reference[0]
    assert log.read_text().split().count("encode") == reference[1], "nothing is measured twice"
