"""Which records are to be verified. Imports no torch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.store.records import find_records


def choose(given: Sequence[str | Path], sample: int | None = None, seed: int = 0) -> list[Path]:
    """Return the record files that are named, and those of the folders that are; ``sample`` of them where given.

    Raises:
        UserError: a name is neither a file nor a folder with results, or nothing is named.
    """
    found = [path for name in given for path in _named(Path(name))]
    each = list(dict.fromkeys(found))
    if sample is None or sample >= len(each):
        return each
    return sorted(random.Random(seed).sample(each, sample))


def _named(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"'{path}' is neither a record nor a folder with records")
    records = list(find_records(path))
    if not records:
        raise UserError(f"'{path}' holds no records; give a folder that `harness eval --output-path` wrote")
    return records
