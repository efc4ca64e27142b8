"""Result files of lm-eval: ``results`` holds tasks, which hold ``metric,filter`` and ``metric_stderr,filter``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from harness.exchange.fields import Fields, Source, epoch, kind, number
from harness.exchange.imported import Imported, ImportedValue
from harness.metrics.contract import NotComputableError, Parts, all_metrics
from harness.specs.record import Record
from harness.stats.crossed import crossed_se
from harness.stats.summary import metric_pseudo_values

NOT_AVAILABLE = "N/A"
# Words beside the metrics of a task; a group without a value of its own has a key of one space.
_NO_METRICS = ("alias", "name", "sample_len", "sample_count", " ", "")
_STDERR = "_stderr"


def read(value: Any, source: Source) -> Imported:
    """Return a parsed result file as it is kept; raises ``UserError`` where it is none."""
    fields = Fields(value if isinstance(value, dict) else {}, source.where)
    results, config = fields.inner("results"), fields.inner_or_empty("config")
    names = (fields.text_or_none("model_name"), config.text_or_none("model"))
    when, key = fields.value.get("date"), f"{source.where}: date"
    return Imported(
        tool="lm-eval",
        tool_version=fields.text_or_none("lm_eval_version"),
        subject=next((name for name in names if name), "not named"),
        model=config.text_or_none("model"),
        measured=None if when is None else epoch(number(when, key), key),
        file=source.file,
        sha256=source.sha256,
        values=tuple(value for task in results.value for value in _task(task, results.inner(task))),
    )


def _task(task: str, results: Fields) -> list[ImportedValue]:
    found = []
    for name, value in results.value.items():
        metric, comma, chosen = name.partition(",")
        if name in _NO_METRICS or metric.endswith(_STDERR):
            continue
        plain, reason = _value(value, f"{results.where}: {name}")
        beside = f"{metric}{_STDERR}{comma}{chosen}"
        stderr, _ = _value(results.value.get(beside), f"{results.where}: {beside}")
        found.append(ImportedValue(task=task, metric=name, value=plain, stderr=stderr, reason=reason))
    return found


def _value(value: Any, where: str) -> tuple[float | None, str | None]:
    """Return a number, or None and what stands in its place."""
    if isinstance(value, str):
        return None, f"'{value[:200]}' in the file"
    return (None, f"{kind(value)} in the file") if value is None else (number(value, where), None)


def written(record: Record, parts: Parts) -> dict[str, Any]:
    """Return a record as lm-eval would write its results; what has no value is ``N/A``, as there.

    Standard errors are those of one seed over clusters, for metrics whose interval is over clusters.
    """
    task, splits = record.task.name, record.data.splits
    documents = splits["test"].documents if "test" in splits else 0
    better = {name: part.direction == "up" for name, part in record.metrics.items() if part.direction != "target"}
    return {
        "results": {task: {"alias": task, **_scores(record, parts)}},
        "group_subtasks": {task: []},
        "configs": {task: {"task": task, "metadata": {"version": record.task.version, "table": record.task.table}}},
        "versions": {task: record.task.version},
        "n-shot": {task: 0},
        "higher_is_better": {task: better},
        "n-samples": {task: {"original": documents, "effective": documents}},
        "config": {
            "model": record.model.name if record.model else None,
            "model_args": f"method={record.method.name},of={record.method.of},seed={record.seed}",
            "batch_size": record.provenance.batch_tokens,
            "device": record.provenance.device,
            "limit": None,
            "random_seed": record.seed,
        },
        "git_hash": record.provenance.commit,
        "date": _seconds(record.provenance.finished),
        "model_name": model_name(record),
        "interp_harness": {"version": record.provenance.version, "cell": record.cell, "role": record.method.role},
    }


def model_name(record: Record) -> str:
    """Return what was measured, in one word."""
    of = f"-of-{record.method.of}" if record.method.of else ""
    return f"{record.method.name}{of}-seed{record.seed}"


def _scores(record: Record, parts: Parts) -> Mapping[str, float | str]:
    scores: dict[str, float | str] = {}
    for name, part in record.metrics.items():
        stderr = _stderr(name, part.version, parts) if part.value is not None else None
        scores[f"{name},none"] = NOT_AVAILABLE if part.value is None else part.value
        scores[f"{name}{_STDERR},none"] = NOT_AVAILABLE if stderr is None else stderr
    return scores


def _stderr(name: str, version: int, parts: Parts) -> float | None:
    metric = all_metrics().get(name)
    if metric is None or metric.version != version or metric.interval != "clusters":
        return None
    try:
        stderr, _ = crossed_se(metric_pseudo_values(metric, [parts]))
    except (NotComputableError, ValueError, KeyError):
        return None
    return stderr if math.isfinite(stderr) else None


def _seconds(text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return time.replace(tzinfo=time.tzinfo or UTC).timestamp()
