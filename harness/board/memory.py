"""Tables that were built before, kept in the cache until a record, a card, or the code that reads them changes."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from harness.board.packing import unpacked
from harness.board.scan import Found, remember
from harness.board.tabulate import Tabulated
from harness.content import PACKAGE, cache_dir
from harness.metrics.contract import Metric
from harness.specs.reliability import Cards
from harness.store.files import sha256_text, write_text

# The packages whose code decides what a table holds.
_CODE = ("board", "metrics", "specs", "stats", "store")
_RECORDS = "records.json"


class Memory:
    """What is remembered of one board's folder. An entry that cannot be read counts as none."""

    def __init__(self, folder: Path) -> None:
        self._folder = cache_dir() / "board" / sha256_text(str(folder.resolve()))[:24]

    def records(self) -> Mapping[str, Sequence[Any]]:
        """Return what ``scan`` needs to know of each record, by path."""
        try:
            value = json.loads((self._folder / _RECORDS).read_bytes())
        except (OSError, ValueError):
            return {}
        whole = isinstance(value, dict) and all(isinstance(v, list) and len(v) == 4 for v in value.values())
        return value if whole else {}

    def table(self, key: str) -> Tabulated | None:
        """Return the table that was kept under ``key``."""
        try:
            digest, _, text = (self._folder / f"{key}.json").read_text(encoding="utf-8").partition("\n")
            return unpacked(text) if digest == sha256_text(text) else None
        except (OSError, ValueError):
            return None

    def keep(self, key: str, text: str) -> None:
        """Keep a packed table. A cache that cannot be written to only costs time."""
        with contextlib.suppress(OSError):
            write_text(self._folder / f"{key}.json", f"{sha256_text(text)}\n{text}")

    def close(self, records: Iterable[Found], keys: Iterable[str]) -> None:
        """Keep what ``scan`` needs, and forget tables that are no more."""
        rested = {record.path: remember(record) for record in records if record.rested}
        if not rested and not self._folder.is_dir():
            return
        kept = {_RECORDS, *(f"{key}.json" for key in keys)}
        with contextlib.suppress(OSError):
            if rested != self.records():
                write_text(self._folder / _RECORDS, json.dumps(rested))
            for path in self._folder.glob("*.json"):
                if path.name not in kept:
                    path.unlink(missing_ok=True)


def key_of(records: Sequence[Found], settled: str) -> str:
    """Return the name of the table of some records: a hash of the state of their files and of what is ``settled``."""
    return sha256_text(json.dumps([settled, [[*remember(record), record.path, record.stamps] for record in records]]))


def settled(metrics: Mapping[str, Metric], cards: Cards) -> str:
    """Return a hash of everything but records that tables are made from: code, libraries, metrics and cards."""
    foreign = {sys.modules[metric.value.__module__].__file__ for metric in metrics.values()}
    digest = sha256(f"{sys.version} {np.__version__} {scipy.__version__}".encode())
    for path in sorted({*_own(), *(Path(file) for file in foreign if file)}):
        digest.update(sha256(path.read_bytes()).digest())
    for _, card in sorted(cards.items()):
        digest.update(card.model_dump_json().encode())
    return digest.hexdigest()


@cache
def _own() -> tuple[Path, ...]:
    return tuple(path for package in _CODE for path in sorted((PACKAGE / package).glob("*.py")))
