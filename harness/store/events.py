"""What a run did and when: ``FOLDER/events.jsonl``, one JSON object a line, only ever appended to.

Every line holds ``schema`` (``SCHEMA``), ``run`` (of one call of ``harness eval``), ``time`` (UTC), ``elapsed``
(seconds since the run started, on a clock that never goes back), ``event``, and the fields that ``FIELDS`` lists for
it. A run that was killed has no last event. Records are the truth: nothing reads this file to decide what is measured.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.specs.reading import in_words
from harness.store.masking import masked_values

SCHEMA = 1
FILE = "events.jsonl"
FIELDS: dict[str, tuple[str, ...]] = {
    "run_started": ("command", "options", "version", "commit", "groups", "cells"),
    "group_started": ("task", "table", "to_measure"),
    # tokens: rows of the split; seconds: of all splits of the group together, small where they were found in the cache
    "activations_read": ("fingerprint", "block", "split", "tokens", "width", "dtype", "shards", "plan", "seconds"),
    "fit_started": ("cell", "method", "of", "seed"),
    # found: it was in the cache, or is a checkpoint; seconds are those of the fit, whenever that was
    "fit_finished": ("cell", "method", "of", "seed", "seconds", "found"),
    "cell_recorded": ("cell", "task", "method", "of", "seed", "path"),
    "cell_failed": ("cell", "task", "method", "of", "seed", "path", "reason"),
    "cell_skipped": ("cell", "task", "method", "of", "seed", "path"),
    "warning": ("cell", "text"),
    "run_finished": ("records", "failed", "skipped"),
    "run_interrupted": ("reason",),
}
# A line that says what became of a cell, or of the run, outlives a power cut.
_DURABLE = ("cell_recorded", "cell_failed", "run_finished", "run_interrupted")


class EventLog:
    """Appends the events of one run to its folder; where the disk refuses one, the run goes on without it."""

    def __init__(self, folder: Path) -> None:
        self.run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._path = folder / FILE
        self._start = time.monotonic()

    def add(self, event: str, **fields: Any) -> None:
        """Append one event, with passwords masked; raises ``ValueError`` on fields other than ``FIELDS`` lists."""
        if set(fields) != set(FIELDS.get(event, ())) or event not in FIELDS:
            raise ValueError(f"event '{event}' has the fields {FIELDS.get(event)}, got {tuple(fields)}")
        line = {
            "schema": SCHEMA,
            "run": self.run,
            "time": utc_now(),
            "elapsed": round(time.monotonic() - self._start, 3),
            "event": event,
            **in_words(masked_values(fields)),
        }
        text = json.dumps(line, ensure_ascii=True, allow_nan=False)
        with suppress(OSError):
            _append(self._path, text.encode("ascii") + b"\n", event in _DURABLE)


def utc_now() -> str:
    """Return the time in UTC as text, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _append(path: Path, line: bytes, durable: bool) -> None:
    """Append with one write, which other processes that append to the file cannot come between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        # What a power cut left of the last line must not swallow this one.
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, b"\n" + line if torn else line)
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a run folder in the order they were written.

    A line that is torn or of another schema is passed over: the log of a killed run still tells what it can.
    """
    path = folder / FILE
    if not path.is_file():
        return
    with path.open("rb") as lines:
        for line in lines:
            try:
                event = json.loads(line, parse_constant=_refuse)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and event.get("schema") == SCHEMA and _whole(event):
                yield event


def _whole(event: dict[str, Any]) -> bool:
    fields = FIELDS.get(str(event.get("event")))
    return fields is not None and {"run", "time", "elapsed", *fields} <= set(event)


def runs_of_cells(folder: Path) -> dict[str, str]:
    """Return which run recorded each cell of a folder, as far as its log tells."""
    written = ("cell_recorded", "cell_failed")
    return {event["cell"]: event["run"] for event in read_events(folder) if event["event"] in written}


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
