"""Runs cells of the tests' own methods and tasks on the tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.run.engine import Outcome
from harness.run.evaluate import evaluate
from harness.specs.record import Record

PLUGINS = Path(__file__).parent / "plugins"


def run(method: str, task: str, folder: Path, **options: Any) -> Outcome:
    """Evaluate with the plug-in folder included."""
    return evaluate(method, task, folder, include_path=[PLUGINS], **options)


def record_of(outcome: Outcome, method: str) -> Record:
    """Return the one record of a method; plug-ins carry a hash behind their name."""
    found = [s.record for s in outcome.records if s.record.method.name.split("-")[0] == method]
    assert len(found) == 1, f"{len(found)} records of {method}"
    return found[0]


def values(record: Record) -> dict[str, float | None]:
    """Return the metric values of a record."""
    return {name: metric.value for name, metric in record.metrics.items()}
