"""Records on disk: ``FOLDER/results/TASK/METHOD/NAME.json`` with the parts beside it as ``NAME.npz``.

A track that scores single latents adds ``NAME.latents.npz``.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.errors import UserError
from harness.metrics.contract import Array, Parts
from harness.specs.reading import in_words
from harness.specs.record import SCHEMA, Record
from harness.store.arrays import read_npz
from harness.store.files import sha256_file, write_atomic, write_text
from harness.store.items import Item, load_items, save_items


class BrokenRecordError(Exception):
    """A record file that is not whole; it is never used, and the run that finds it measures the cell again."""


@dataclass(frozen=True)
class StoredRecord:
    """A record and the file it came from."""

    record: Record
    path: Path

    def parts(self) -> dict[str, Array]:
        """Load the parts; raises ``BrokenRecordError`` where they are missing or altered."""
        found = self._beside(self.record.parts, self.record.parts_sha256)
        return {name: value.astype(np.float64) for name, value in found.items()}

    def latents(self) -> dict[str, NDArray[Any]]:
        """Load the columns of the table of latents, none where there is no table; raises ``BrokenRecordError``."""
        return self._beside(self.record.latents, self.record.latents_sha256)

    def items(self) -> tuple[Item, ...] | None:
        """Load the texts of single items; None where they were not kept, or did not come along."""
        return load_items(self.path.parent.parent, self.record.items_sha256)

    @property
    def files(self) -> list[Path]:
        """The files beside the record that belong to it; raises ``BrokenRecordError`` where one would lie elsewhere."""
        return [self._place(name) for name in (self.record.parts, self.record.latents) if name]

    def _place(self, name: str) -> Path:
        # A record may come from anywhere, and what it names is read, copied and removed.
        if Path(name).name != name or name.startswith(".") or not name.endswith(".npz"):
            raise BrokenRecordError(f"{self.path} names a file outside its own folder, or of another kind: {name}")
        return self.path.parent / name

    def _beside(self, name: str | None, digest: str | None) -> dict[str, NDArray[Any]]:
        if name is None:
            return {}
        path = self._place(name)
        data = path.read_bytes() if path.is_file() else None
        if data is None or sha256(data).hexdigest() != digest:
            raise BrokenRecordError(f"{path} is missing or is not the file that {self.path.name} was written with")
        return read_npz(data)


@dataclass(frozen=True)
class CellName:
    """What a record's file is called: task, method, what a derived control is built from, seed, and the cell's hash."""

    task: str
    method: str
    of: str | None
    seed: int
    cell: str

    def path(self, folder: Path) -> Path:
        """Return where the record lies under ``folder``."""
        # Not every file system, and no relative link, takes a colon.
        method, of = (name.replace(":", "-") if name else "" for name in (self.method, self.of))
        of = f"of-{of}-" if of else ""
        return folder / "results" / self.task / method / f"{of}seed{self.seed}-{self.cell[:12]}.json"


def record_path(folder: Path, record: Record) -> Path:
    """Return where a record lies under ``folder``."""
    name = CellName(record.task.name, record.method.name, record.method.of, record.seed, record.cell)
    return name.path(folder)


def save_record(
    folder: Path,
    record: Record,
    parts: Parts,
    latents: Mapping[str, NDArray[Any]] | None = None,
    items: Sequence[Item] = (),
) -> StoredRecord:
    """Write what lies beside the record, then the record that names its hashes; a kill in between leaves no record."""
    path, record = record_path(folder, record), _finite(record)
    for field, suffix, columns in (("parts", ".npz", parts), ("latents", ".latents.npz", latents)):
        if columns:
            table = path.with_suffix(suffix)
            packed = _pack(columns)
            write_atomic(table, lambda stream, packed=packed: stream.write(packed))  # type: ignore[misc]
            record = record.model_copy(update={field: table.name, f"{field}_sha256": sha256_file(table)})
    if items:
        record = record.model_copy(update={"items_sha256": save_items(path.parent.parent, items)})
    text = record.model_dump_json(indent=1)
    write_text(path, text + "\n")
    return StoredRecord(Record.model_validate_json(text), path)


def _finite(record: Record) -> Record:
    """Return the record as JSON can hold it: what is not a finite number is left out, and a warning names it."""
    numbers = {"fit": record.fit, "details": record.details}
    lost = [f"{part}.{name}" for part, held in numbers.items() for name in held if not math.isfinite(held[name])]
    kept = {part: {k: v for k, v in held.items() if math.isfinite(v)} for part, held in numbers.items()}
    warnings = (*record.warnings, f"left out, not finite: {', '.join(lost)}") if lost else record.warnings
    task = record.task.model_copy(update={"spec": in_words(record.task.spec)})
    method = record.method.model_copy(update={"params": in_words(record.method.params)})
    return record.model_copy(update={**kept, "warnings": warnings, "task": task, "method": method})


def _pack(parts: Mapping[str, NDArray[Any]]) -> bytes:
    # Gram matrices grow with the square of the clusters; single precision keeps 7 digits of a correction term.
    packed = {name: value.astype(np.float32) if name.endswith("gram") else value for name, value in parts.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **packed)
    return buffer.getvalue()


def load_record(path: Path) -> StoredRecord:
    """Read one record; raises ``BrokenRecordError`` where it is not whole, ``UserError`` on an unknown schema."""
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = value["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenRecordError(f"{path} is not a whole record: {error}") from error
    if version != SCHEMA:
        raise UserError(f"{path}: record schema {version} is not known here; this version reads schema {SCHEMA}.")
    try:
        return StoredRecord(Record.model_validate(value), path)
    except ValidationError as error:
        raise BrokenRecordError(f"{path} is not a whole record: {error.errors()[0]['msg']}") from error


def check_results(folder: Path, option: str = "") -> None:
    """Raise ``UserError`` where a folder is none that a run wrote; ``option`` is how it was given."""
    if not (folder / "results").is_dir():
        where = f"{option}: " if option else ""
        raise UserError(f"{where}'{folder}' holds no results; give a folder that `harness eval --output-path` wrote")


def find_records(folder: Path) -> Iterator[Path]:
    """Yield every record file under ``FOLDER/results``, in a stable order; temporary files are not records."""
    found = (path for path in (folder / "results").glob("*/*/*.json") if not path.name.startswith("."))
    yield from sorted(found, key=attrgetter("parts"))  # as paths compare, and twice as quick for ten thousand of them
