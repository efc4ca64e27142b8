"""Runs groups: fit every method, walk the test data once, write one record per cell. Nothing finished is done twice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import BaseFileLock, FileLock

from harness.api import Method
from harness.errors import CellError
from harness.metrics.contract import OTHER_MODEL
from harness.registry import check_size
from harness.run.cells import Cell
from harness.run.finished import finished_record
from harness.run.fitting import Fitted, Fitter
from harness.run.journal import Journal, forget
from harness.run.meter import Meter
from harness.run.plan import PlannedGroup
from harness.run.recording import Recorder
from harness.run.reporting import Reports
from harness.run.sharding import Shard, freed
from harness.run.tracks import make_track
from harness.store.records import StoredRecord
from harness.tracks.contract import Measured, Resources, Track


@dataclass
class Outcome:
    """What a call came to: records of finished cells, old and new, and how many of them were already there.

    ``waiting`` cells lack units that other shards measure.
    """

    records: list[StoredRecord] = field(default_factory=list)
    skipped: int = 0
    waiting: int = 0

    @property
    def failed(self) -> list[StoredRecord]:
        """Records of cells that could not be computed."""
        return [stored for stored in self.records if stored.record.status == "failed"]


@dataclass(frozen=True)
class Call:
    """What a run carries through: its folder, what its groups share, the command behind it, and who is told of it."""

    folder: Path
    resources: Resources
    command: str
    reports: Reports
    shard: Shard | None = None


def run(groups: Sequence[PlannedGroup], call: Call) -> Outcome:
    """Run every cell that the folder does not hold yet; a failing cell is recorded and the others go on."""
    outcome = Outcome()
    with call.reports.running(call.command, groups):
        for group in groups:
            lock = call.folder / "journal" / f"{group.table}.lock"
            lock.parent.mkdir(parents=True, exist_ok=True)
            # A second process in the same folder waits, then finds the cells finished; a kill frees the lock.
            with FileLock(lock) as held:
                _run_group(group, call, outcome, held)
    return outcome


def _run_group(group: PlannedGroup, call: Call, outcome: Outcome, lock: BaseFileLock) -> None:
    folder = call.folder
    done = {cell.key: record for cell in group.cells if (record := finished_record(folder, group, cell))}
    for key in done:
        # Left behind where a kill came between the record and its journal's end.
        forget(folder, key)
    _skip(done.values(), call, outcome)
    todo = [cell for cell in group.cells if cell.key not in done]
    if todo:
        elsewhere = {cell.key: record for cell in group.elsewhere if (record := finished_record(folder, group, cell))}
        outcome.records.extend(_GroupRun(group, call, outcome, lock).run(todo, done | elsewhere))


def _skip(records: Collection[StoredRecord], call: Call, outcome: Outcome) -> None:
    outcome.skipped += len(records)
    outcome.records.extend(records)
    call.reports.skipped(records)


class _GroupRun:
    """One group on its way through the engine."""

    def __init__(self, group: PlannedGroup, call: Call, outcome: Outcome, lock: BaseFileLock) -> None:
        self.call, self.outcome, self.lock = call, outcome, lock
        self.group, self.folder, self.resources = group, call.folder, call.resources
        self.command, self.reports = call.command, call.reports
        self.started = datetime.now(UTC)
        self.failures: dict[str, str] = {}
        self.stages: dict[str, Meter] = {}

    def run(self, todo: list[Cell], done: dict[str, StoredRecord]) -> list[StoredRecord]:
        """Fit, measure and record the cells of ``todo``; ``done`` supplies controls that were measured before."""
        self.reports.group(self.group, len(todo))
        track = make_track(self.group, self.resources)
        for cell in todo:
            check_size(cell.fitted.found, cell.fitted.params, track.setting(cell.seed, {}))
        with self._stage("activations"):
            track.prepare()
        self.reports.activations(self.group, self.resources.cache, self.stages["activations"].seconds)
        fitted = self._fit(track, todo)
        journals = {cell.key: self._journal(track, cell) for cell in todo if cell.key in fitted}
        with self._stage("measure"):
            with freed(self.lock) if self.call.shard else nullcontext():
                self._measure(track, fitted, journals)
            todo = self._whole(todo, done, journals) if self.call.shard else todo
            measured = self._reduced(track, todo, journals)
        recorder = Recorder(self.group, track, self.command, self.started, self.stages)
        stored = recorder.save(self.folder, todo, fitted, measured, done, self.failures)
        for cell in todo:
            forget(self.folder, cell.key)
        self.reports.recorded(stored)
        return stored

    def _stage(self, name: str) -> Meter:
        self.stages[name] = Meter()
        return self.stages[name]

    def _fit(self, track: Track, todo: list[Cell]) -> dict[str, Fitted]:
        fitter, fitted = Fitter(track, self.resources.cache / "fits"), {}
        for cell in todo:
            self.reports.fitting(cell)
            try:
                fitted[cell.key] = fitter.fit(cell)
                self.reports.fitted(cell, fitted[cell.key])
            except CellError as error:
                self.failures[cell.key] = str(error)
        return fitted

    def _measure(self, track: Track, fitted: dict[str, Fitted], journals: dict[str, Journal]) -> None:
        missing = {key: set(journal.missing()) for key, journal in journals.items()}
        units = len(track.units())
        for unit in (unit for unit in range(units) if self.call.shard is None or self.call.shard.takes(unit)):
            methods = {key: fitted[key].method for key in journals if unit in missing[key] and key not in self.failures}
            self._unit(track, unit, methods, journals)
            self.resources.progress("measuring", unit + 1, units)

    def _whole(self, todo: list[Cell], done: dict[str, StoredRecord], journals: dict[str, Journal]) -> list[Cell]:
        """Return the cells that can be recorded here: not those another shard recorded, nor those it still measures."""
        found = {cell.key: record for cell in todo if (record := finished_record(self.folder, self.group, cell))}
        done |= found
        _skip(found.values(), self.call, self.outcome)
        left = [cell for cell in todo if cell.key not in found]
        whole = [cell for cell in left if cell.key in self.failures or not journals[cell.key].missing()]
        self.outcome.waiting += len(left) - len(whole)
        return whole

    def _reduced(self, track: Track, todo: list[Cell], journals: dict[str, Journal]) -> dict[str, Measured]:
        results = {}
        for key in (cell.key for cell in todo if cell.key not in self.failures):
            measured = track.reduce(journals[key].all())
            if self.group.again:
                measured = replace(measured, parts={**measured.parts, OTHER_MODEL: np.ones(())})
            results[key] = measured
        return results

    def _unit(self, track: Track, unit: int, methods: dict[str, Method], journals: dict[str, Journal]) -> None:
        if not methods:
            return
        for key, result in track.measure(unit, methods).items():
            if isinstance(result, CellError):
                self.failures[key] = str(result)
            else:
                journals[key].add(unit, result)

    def _journal(self, track: Track, cell: Cell) -> Journal:
        return Journal(self.folder, cell.key, track.units())
