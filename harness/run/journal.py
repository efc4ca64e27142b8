"""What a killed group has already measured: one small file per cell and unit, removed once the record is written."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from harness.specs.identity import digest
from harness.store.files import write_bytes
from harness.tracks.sums import Contribution


class Journal:
    """The contributions of one cell. ``units`` are the identities of the steps; other steps make another journal."""

    def __init__(self, folder: Path, cell: str, units: tuple[str, ...]) -> None:
        self._units = units
        self.folder = folder / "journal" / cell / digest(list(units))[:12]

    def _path(self, unit: int) -> Path:
        return self.folder / f"{unit:05d}.npz"

    def missing(self) -> list[int]:
        """Return the units that are not there whole."""
        return [unit for unit in range(len(self._units)) if self._load(unit) is None]

    def add(self, unit: int, contribution: Contribution) -> None:
        """Write one unit's contribution durably."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **contribution)
        write_bytes(self._path(unit), buffer.getvalue())

    def all(self) -> Sequence[Contribution]:
        """Return every unit's contribution, in order; each is read from disk when it is asked for."""
        absent = self.missing()
        if absent:
            raise RuntimeError(f"journal {self.folder} lacks units {absent} that were written in this run")
        return _Contributions(self)

    def load(self, unit: int) -> Contribution:
        """Return one unit's contribution; raises ``RuntimeError`` where it is not there whole."""
        found = self._load(unit)
        if found is None:
            raise RuntimeError(f"journal {self.folder} lost unit {unit} while it was read")
        return found

    def __len__(self) -> int:
        return len(self._units)

    def _load(self, unit: int) -> Contribution | None:
        try:
            with np.load(self._path(unit), allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile):
            return None


class _Contributions(Sequence[Contribution]):
    """The contributions of a whole journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __len__(self) -> int:
        return len(self._journal)

    @overload
    def __getitem__(self, index: int) -> Contribution: ...
    @overload
    def __getitem__(self, index: slice) -> list[Contribution]: ...
    def __getitem__(self, index: int | slice) -> Contribution | list[Contribution]:
        places = range(len(self))[index]
        return (
            [self._journal.load(unit) for unit in places] if isinstance(places, range) else self._journal.load(places)
        )


def forget(folder: Path, cell: str) -> None:
    """Delete the journal of a cell, if there is one; its numbers are in the record now."""
    shutil.rmtree(folder / "journal" / cell, ignore_errors=True)
