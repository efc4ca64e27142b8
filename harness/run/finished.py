"""Which cells a run folder holds already. Imports no torch, so that a plan is printed at once."""

from __future__ import annotations

from pathlib import Path

from harness.run.cells import Cell
from harness.run.plan import PlannedGroup
from harness.store.records import BrokenRecordError, CellName, StoredRecord, load_record


def finished_record(folder: Path, group: PlannedGroup, cell: Cell) -> StoredRecord | None:
    """Return the record of a cell that ``folder`` holds whole and not failed, or None."""
    of = cell.of.entry.found.slug if cell.of else None
    name = CellName(group.task.spec.task, cell.entry.found.slug, of, cell.seed, cell.key)
    try:
        stored = load_record(name.path(folder))
        stored.parts()
    except BrokenRecordError:
        return None
    same = stored.record.cell == cell.key and stored.record.status == "ok"
    return stored if same else None
