"""Tells what a run does: to the event log of its folder, and to a database where one is named. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.run.cells import Cell
from harness.run.environment import commit, package_version
from harness.run.fitting import Fitted
from harness.run.plan import PlannedGroup
from harness.specs.identity import activation_key
from harness.store.activations import read_manifest
from harness.store.events import EventLog
from harness.store.records import StoredRecord
from harness.store.sql.pushing import Sink


class Reports:
    """What one run has to say. ``options`` are those of ``harness.evaluate``."""

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        self.folder, self.options = folder, options
        self.log = EventLog(folder)
        store = options.get("store")
        self._sink = Sink(store, folder, self.log.run) if store else None
        self._counts = {"records": 0, "failed": 0, "skipped": 0}

    @contextmanager
    def running(self, command: str, groups: Sequence[PlannedGroup]) -> Iterator[None]:
        """Tell that the run starts, and how it ends."""
        revision, _ = commit()
        cells = sum(len(group.cells) for group in groups)
        self.log.add(
            "run_started", command=command, options=self.options, version=package_version(), commit=revision,
            groups=len(groups), cells=cells,
        )  # fmt: skip
        if self._sink:
            self._sink.start()
        try:
            yield
        except BaseException as error:
            self.log.add("run_interrupted", reason=f"{type(error).__name__}: {error}".removesuffix(": "))
            raise
        else:
            self.log.add("run_finished", **self._counts)
        finally:
            if self._sink:
                self._sink.close()

    def group(self, group: PlannedGroup, count: int) -> None:
        """Tell that a group starts, with ``count`` cells to measure."""
        self.log.add("group_started", task=group.task.spec.task, table=group.table, to_measure=count)

    def activations(self, group: PlannedGroup, cache: Path, seconds: float) -> None:
        """Tell what the store of activations holds for a group, from its manifests; nothing where no model runs."""
        for split in ("train", "val"):
            key = activation_key(group.task.fit, group.origin, split)
            for block in group.task.fit.blocks:
                manifest = _manifest(cache / "activations" / key / f"block-{block}")
                if manifest is not None:
                    self.log.add(
                        "activations_read", fingerprint=key, block=block, split=split, **manifest,
                        seconds=round(seconds, 3),
                    )  # fmt: skip

    def fitting(self, cell: Cell) -> None:
        """Tell that a cell's method is about to be fitted, or found."""
        self.log.add("fit_started", **_names(cell))

    def fitted(self, cell: Cell, fitted: Fitted) -> None:
        """Tell that a cell's method is fitted."""
        self.log.add("fit_finished", **_names(cell), seconds=round(fitted.card.seconds, 3), found=fitted.found)

    def skipped(self, records: Iterable[StoredRecord]) -> None:
        """Tell which cells were there already."""
        for stored in records:
            self._counts["skipped"] += 1
            self._tell("cell_skipped", stored)

    def recorded(self, records: Iterable[StoredRecord]) -> None:
        """Tell which cells were recorded, with their warnings."""
        for stored in records:
            record = stored.record
            if record.status == "ok":
                self._tell("cell_recorded", stored)
            else:
                self._counts["failed"] += 1
                self._tell("cell_failed", stored, reason=record.reason)
            for text in record.warnings:
                self.log.add("warning", cell=record.cell, text=text)

    def _tell(self, event: str, stored: StoredRecord, **more: Any) -> None:
        record = stored.record
        self._counts["records"] += 1
        self.log.add(
            event, cell=record.cell, task=record.task.name, method=record.method.name, of=record.method.of,
            seed=record.seed, path=stored.path.relative_to(self.folder).as_posix(), **more,
        )  # fmt: skip
        if self._sink:
            self._sink.add(stored, event != "cell_skipped")


def _names(cell: Cell) -> dict[str, Any]:
    of = cell.of.entry.found.slug if cell.of else None
    return {"cell": cell.key, "method": cell.entry.found.slug, "of": of, "seed": cell.seed}


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Return what the manifest of a folder of activations says, without its checksums."""
    found = read_manifest(folder)
    if found is None:
        return None
    return {
        "tokens": sum(found.rows), "width": found.width, "dtype": found.dtype, "shards": len(found.rows),
        "plan": found.plan,
    }  # fmt: skip
