"""Result files of SAEBench (arXiv 2503.09532): ``eval_result_metrics`` holds categories, which hold numbers.

The fields are those of its ``BaseEvalOutput``; which categories there are is left to each of its evaluations.
"""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime
from typing import Any

from harness.exchange.fields import Fields, Source, epoch, number
from harness.exchange.imported import Imported, ImportedValue
from harness.specs.record import Record

# Before every name of ours, so that nobody takes one of our evaluations for one of theirs.
PREFIX = "interp_harness_"


def read(value: Any, source: Source) -> Imported:
    """Return a parsed result file as it is kept; raises ``UserError`` where it is none."""
    fields = Fields(value if isinstance(value, dict) else {}, source.where)
    task = fields.text("eval_type_id")
    metrics = fields.inner("eval_result_metrics")
    config, cfg = fields.inner_or_empty("eval_config"), fields.inner_or_empty("sae_cfg_dict")
    names = [fields.text_or_none(name) for name in ("sae_lens_release_id", "sae_lens_id")]
    when, key = fields.value.get("datetime_epoch_millis"), f"{source.where}: datetime_epoch_millis"
    return Imported(
        tool="saebench",
        tool_version=fields.text_or_none("sae_bench_commit_hash"),
        subject="/".join(name for name in names if name) or "not named",
        model=config.text_or_none("model_name") or cfg.text_or_none("model_name"),
        measured=None if when is None else epoch(number(when, key) / 1000, key),
        file=source.file,
        sha256=source.sha256,
        values=tuple(value for name in metrics.value for value in _category(task, metrics.inner(name), name)),
    )


def _category(task: str, metrics: Fields, category: str) -> list[ImportedValue]:
    found = []
    for name, value in metrics.value.items():
        metric = f"{category}/{name}"
        if value is None:
            found.append(ImportedValue(task=task, metric=metric, value=None, reason="null in the file"))
        else:
            plain = number(value, f"{metrics.where}: {name}")
            found.append(ImportedValue(task=task, metric=metric, value=plain))
    return found


def written(record: Record) -> dict[str, Any]:
    """Return a record as a result file of SAEBench's shape, under names of our own.

    A metric without a value is left out of ``eval_result_metrics``, which holds numbers only, and named with its reason
    in ``eval_result_unstructured``.
    """
    task, track = record.task, record.task.track
    values = {name: part.value for name, part in record.metrics.items() if part.value is not None}
    return {
        "eval_type_id": f"{PREFIX}{track}",
        "eval_config": {
            "model_name": record.model.name if record.model else None,
            "random_seed": record.seed,
            "task": task.name,
            "task_version": task.version,
            "task_table": task.table,
        },
        "eval_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"interp-harness:{record.cell}")),
        "datetime_epoch_millis": _millis(record.provenance.finished),
        "eval_result_metrics": {f"{PREFIX}{track}": values},
        "eval_result_details": [],
        "eval_result_unstructured": _unstructured(record),
        "sae_bench_commit_hash": f"interp-harness {record.provenance.version} {record.provenance.commit or ''}".strip(),
        "sae_lens_id": f"{record.method.name}/seed{record.seed}",
        "sae_lens_release_id": f"of {record.method.of}" if record.method.of else None,
        "sae_lens_version": None,
        "sae_cfg_dict": {"architecture": record.method.name, "params": record.method.params},
    }


def _unstructured(record: Record) -> dict[str, Any]:
    metrics = record.metrics.items()
    return {
        "cell": record.cell,
        "role": record.method.role,
        "units": {name: part.unit for name, part in metrics},
        "intervals": {name: [part.lo, part.hi] for name, part in metrics if part.lo is not None},
        "not_computable": {name: part.reason for name, part in metrics if part.value is None},
    }


def _millis(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return max(0, math.floor(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000))
