"""The gate over real runs: a planted regression is caught, other seeds and batches pass, and the workflow works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import call

import harness
from harness.gates.gate import Gate
from harness.gates.workflow import workflow

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "leaderboard" / "baseline"
SMALL = {
    "budget.train_tokens": "4096",
    "budget.val_tokens": "1024",
    "budget.test_tokens": "1024",
    "budget.passes": "6",
    "metrics": "[fvu, mcc_over_g, l0]",
}


def measure(folder: Path, seeds: tuple[int, ...], batch_size: int = 8, **params: str) -> Path:
    change = {f"params.{key.replace('__', '.')}": value for key, value in params.items()}
    options: dict[str, Any] = {"seeds": seeds, "batch_size": batch_size, "set": SMALL | change}
    outcome = harness.evaluate("topk", "world_small", folder, derived_seeds=(), **options)
    assert not outcome.failed
    return folder


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        return measure(folder / "baseline", (0, 1, 2))


def verdicts(gate: Gate) -> dict[str, str]:
    return {found.metric: found.verdict for found in gate.comparisons}


def test_a_learning_rate_that_is_too_small_is_caught(baseline: Path, tmp_path: Path, cache: Path) -> None:
    """Other parameters of a method are no other table: they are what the gate is for."""
    for seeds in ((0, 1, 2), (3, 4, 5)):
        run = measure(tmp_path / f"worse{seeds[0]}", seeds, optim__lr="1e-4")
        found = verdicts(harness.gate(run, baseline))
        assert (found["fvu"], found["mcc_over_g"]) == ("fail", "fail")


def test_other_seeds_and_other_batches_are_no_regression(baseline: Path, tmp_path: Path, cache: Path) -> None:
    assert "fail" not in verdicts(harness.gate(measure(tmp_path / "seeds", (3, 4, 5)), baseline)).values()
    batches = harness.gate(measure(tmp_path / "batches", (0, 1, 2), batch_size=3), baseline)
    assert set(verdicts(batches).values()) == {"pass"}


def test_the_committed_baseline_is_whole_and_is_what_make_gate_measures() -> None:
    gate = harness.gate(BASELINE, BASELINE)
    assert (gate.verdict, gate.problems, gate.unpaired) == ("pass", (), ())
    assert {found.task for found in gate.comparisons} == {"gsm_symbolic", "world_small"}
    assert {found.evidence.seeds for found in gate.comparisons} == {(3, 3)}
    size = sum(path.stat().st_size for path in BASELINE.rglob("*") if path.is_file())
    assert size < 1_000_000


def test_the_workflow_is_printed_and_its_steps_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = call(capsys, "gate", "--workflow")
    assert (printed.code, printed.out) == (0, workflow())
    spec = yaml.safe_load(printed.out)
    steps = {step["name"]: step for step in spec["jobs"]["gate"]["steps"] if "run" in step}
    assert list(steps) == ["Install", "Measure", "Gate", "Summary"]
    command = tmp_path / "bin" / "harness"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    small = "--model tiny-random --limit 12 --seeds 0 --no-controls --set budget.latents=64 --set metrics=[fvu,l0]"
    here = {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HARNESS_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "METHODS": "topk",
        "OPTIONS": small,
        "BASELINE": str(tmp_path / "run"),
    }
    env = {name: str(value) for name, value in spec["env"].items()} | here
    assert set(spec["env"]) <= set(env)
    bash = shutil.which("bash") or "bash"
    for name in ("Measure", "Gate", "Summary"):
        done = subprocess.run(
            [bash, "-e", "-c", steps[name]["run"]], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("## Gate: ✅ pass")
