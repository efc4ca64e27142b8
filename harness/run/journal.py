"""What a killed group has already measured: one small file per cell and unit, removed once the record is written."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

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

    def all(self) -> list[Contribution]:
        """Return every unit's contribution, in order."""
        loaded = [self._load(unit) for unit in range(len(self._units))]
        absent = [unit for unit, value in enumerate(loaded) if value is None]
        if absent:
            raise RuntimeError(f"journal {self.folder} lacks units {absent} that were written in this run")
        return [value for value in loaded if value is not None]

    def _load(self, unit: int) -> Contribution | None:
        try:
            with np.load(self._path(unit), allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile):
            return None


def forget(folder: Path, cell: str) -> None:
    """Delete the journal of a cell, if there is one; its numbers are in the record now."""
    shutil.rmtree(folder / "journal" / cell, ignore_errors=True)
