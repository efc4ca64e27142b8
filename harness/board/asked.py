"""What a record's task asked for. The task is stored as plain data, so nothing about its shape is taken for granted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.specs.record import Record
from harness.specs.strict import Role
from harness.stats.bars import Level

ROLES: tuple[Role, ...] = ("ceiling", "floor", "derived")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _words(value: Any) -> tuple[str, ...]:
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, (list, tuple)) else ()


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def seeds(record: Record) -> tuple[int, ...]:
    """Return the seeds the task asks for."""
    given = record.task.spec.get("seeds")
    return tuple(seed for seed in given if isinstance(seed, int)) if isinstance(given, (list, tuple)) else ()


def metrics(record: Record) -> tuple[str, ...]:
    """Return the metrics the task asks for, in its order, then any others the record holds."""
    return tuple(dict.fromkeys((*_words(record.task.spec.get("metrics")), *record.metrics)))


def controls(record: Record) -> dict[Role, tuple[str, ...]]:
    """Return the controls the task demands, by role."""
    given = _mapping(record.task.spec.get("controls"))
    return {role: _words(given.get(role)) for role in ROLES}


def bar(record: Record, metric: str) -> Level:
    """Return the level that meets the task's bar for a metric."""
    given = _mapping(_mapping(record.task.spec.get("bars")).get(metric))
    return Level(_number(given.get("min")), _number(given.get("max")), given.get("by") == "interval")


def budget(record: Record) -> dict[str, Any]:
    """Return the task's budget, with what it leaves open taken from its corpus."""
    spec = record.task.spec
    found = dict(_mapping(_mapping(spec.get("corpus")).get("budget")))
    found.update({key: value for key, value in _mapping(spec.get("budget")).items() if value is not None})
    return found


def target_l0(record: Record) -> float | None:
    """Return the active latents per token every method aims for."""
    return _number(budget(record).get("l0"))
