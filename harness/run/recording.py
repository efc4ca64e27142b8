"""Parts become records: values, intervals, margins, bars, costs and provenance."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from harness.checkpoints.site import site_notes
from harness.metrics.contract import Metric, Parts, all_metrics
from harness.run.cells import Cell
from harness.run.environment import commit, describe_platform, libraries, package_version, threads
from harness.run.fitting import Fitted
from harness.run.meter import Meter
from harness.run.plan import PlannedGroup
from harness.specs.record import MarginPart, MethodPart, MetricPart, Provenance, Record, StagePart, TaskPart
from harness.specs.task import Bar
from harness.stats.bars import Level
from harness.stats.margins import margin
from harness.stats.summary import summarise
from harness.store.records import StoredRecord, save_record
from harness.tracks.contract import Measured, Track


class Recorder:
    """Writes the records of one group."""

    def __init__(
        self, group: PlannedGroup, track: Track, command: str, started: datetime, stages: Mapping[str, Meter]
    ) -> None:
        self.group, self.track, self.command = group, track, command
        self.started, self.stages = started, stages
        self.metrics = {name: all_metrics()[name] for name in group.task.spec.metrics}
        self.model, self.data = track.model_part(), track.data_part()

    def save(
        self,
        folder: Path,
        cells: list[Cell],
        fitted: Mapping[str, Fitted],
        measured: Mapping[str, Measured],
        done: Mapping[str, StoredRecord],
        failures: Mapping[str, str],
    ) -> list[StoredRecord]:
        """Write one record per cell; controls first, so that a kill never leaves a contestant without its nulls."""
        known = {key: stored.parts() for key, stored in done.items()} | {key: m.parts for key, m in measured.items()}
        stored = []
        for cell in sorted(cells, key=lambda c: c.entry.role is None):
            one = measured.get(cell.key)
            controls = self._controls(cell, known) if one else {}
            record = self._record(cell, fitted.get(cell.key), one, controls, failures.get(cell.key))
            beside = (one.parts, one.latents, one.items) if one else ({}, {}, ())
            stored.append(save_record(folder, record, *beside))
        return stored

    def _controls(self, cell: Cell, known: Mapping[str, Parts]) -> dict[str, list[Parts]]:
        """Return the parts of the controls a contestant is held against: floors, and those derived from this cell."""
        if cell.entry.role is not None:
            return {}
        found: dict[str, list[Parts]] = {}
        for other in (*self.group.cells, *self.group.elsewhere):
            own = other.of is None or other.of.key == cell.key
            if other.entry.role in ("floor", "derived") and own and other.key in known:
                found.setdefault(other.entry.found.slug, []).append(known[other.key])
        return found

    def _record(
        self,
        cell: Cell,
        fitted: Fitted | None,
        measured: Measured | None,
        controls: Mapping[str, list[Parts]],
        failure: str | None,
    ) -> Record:
        parts = measured.parts if measured else {}
        metrics = {name: metric_part(metric, parts, failure) for name, metric in self.metrics.items()}
        contestant = cell.entry.role is None and measured is not None
        return Record(
            cell=cell.key,
            status="failed" if failure else "ok",
            reason=failure,
            seed=cell.seed,
            task=self._task(),
            method=self._method(cell),
            model=self.model,
            data=self.data,
            fit=self._fit(fitted),
            metrics=metrics,
            margins={n: self._margin(m, parts, controls) for n, m in self.metrics.items()} if contestant else {},
            bars={name: met(bar, metrics[name]) for name, bar in self.group.task.spec.bars.items()},
            details=measured.details if measured else {},
            warnings=(*self.track.warnings(parts, contestant), *self._checkpoint_notes(cell)) if measured else (),
            stages=self._stages(fitted),
            provenance=self._provenance(),
        )

    def _margin(self, metric: Metric, parts: Parts, controls: Mapping[str, list[Parts]]) -> MarginPart:
        built = {cell.entry.found.slug for cell in self.group.cells if cell.entry.role == "derived"}
        nulls = {name: found for name, found in controls.items() if metric.derived or name not in built}
        return margin_part(metric, parts, nulls)

    def _checkpoint_notes(self, cell: Cell) -> list[str]:
        checkpoint = cell.entry.found.checkpoint
        if checkpoint is None or self.model is None:
            return []
        return site_notes(checkpoint.card, self.model.name, self.group.task.budget.latents)

    def _task(self) -> TaskPart:
        task = self.group.task
        spec = task.spec.model_dump(exclude_none=True)
        # Prompts are data: the fingerprint stands for them.
        spec["data"].pop("prompts", None)
        spec["budget"] = task.budget.model_dump(mode="json", exclude_none=True)
        spec["limit"] = task.limit
        return TaskPart(
            name=task.spec.task,
            title=task.spec.title,
            version=task.spec.version,
            track=task.spec.track,
            table=self.group.table,
            spec=spec,
        )

    def _method(self, cell: Cell) -> MethodPart:
        spec = cell.entry.found.spec
        return MethodPart(
            name=cell.entry.found.slug,
            title=spec.title,
            kind=spec.kind,
            source=spec.source,
            role=cell.entry.role,
            of=cell.of.entry.found.slug if cell.of else None,
            # Of a method without randomness one control is built: its other seeds are not missing.
            seeded=spec.seeded and (cell.of is None or cell.of.entry.found.spec.seeded),
            causal=cell.fitted.found.spec.causal,
            params=cell.entry.params,
            identity=cell.identity,
        )

    def _fit(self, fitted: Fitted | None) -> dict[str, float]:
        if fitted is None:
            return {}
        counts = {
            "parameters": float(fitted.method.parameter_count()),
            "train_tokens": float(fitted.card.train_tokens),
            "passes": float(self.group.task.budget.passes or 1) if fitted.card.train_tokens else 0.0,
        }
        return {**counts, **fitted.card.summary}

    def _stages(self, fitted: Fitted | None) -> dict[str, StagePart]:
        stages = {
            name: StagePart(seconds=round(meter.seconds, 3), peak_mb=meter.peak_mb, shared=True)
            for name, meter in self.stages.items()
        }
        if fitted is not None:
            card = fitted.card
            stages["fit"] = StagePart(seconds=round(card.seconds, 3), peak_mb=card.peak_mb, shared=False)
        return stages

    def _provenance(self) -> Provenance:
        revision, dirty = commit()
        return Provenance(
            version=package_version(),
            commit=revision,
            dirty=dirty,
            python=platform.python_version(),
            libraries=libraries(),
            platform=describe_platform(),
            device=self.track.model_device(),
            threads=threads(),
            batch_tokens=self.track.resources.batch_tokens,
            command=self.command,
            started=self.started.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def metric_part(metric: Metric, parts: Parts, failure: str | None) -> MetricPart:
    """Return a metric's value and interval on one cell, or null with the reason."""
    plain = {
        "unit": metric.unit,
        "direction": metric.direction,
        "version": metric.version,
        "source": metric.source,
    }
    if failure is not None:
        return MetricPart(value=None, reason=f"the cell failed: {failure}", **plain)
    estimate = summarise(metric, [parts])
    return MetricPart(
        value=estimate.value, lo=estimate.lo, hi=estimate.hi, interval=estimate.how, reason=estimate.reason, **plain
    )


def margin_part(metric: Metric, parts: Parts, controls: Mapping[str, list[Parts]]) -> MarginPart:
    """Return how far a cell is ahead of its best matched control, or null with the reason."""
    if not metric.margin:
        return MarginPart(control=None, value=None, reason="a target or a count of the code has no margin")
    if not controls:
        return MarginPart(control=None, value=None, reason="no control was run")
    found = margin(metric, [parts], controls)
    own = found.estimate
    return MarginPart(control=found.control, value=own.value, lo=own.lo, hi=own.hi, reason=own.reason)


def met(bar: Bar, found: MetricPart) -> bool | None:
    """Return whether a metric meets a bar; None where it has no value, or its interval leaves it open."""
    return Level(bar.min, bar.max, bar.by == "interval").met(found.value, found.lo, found.hi)
