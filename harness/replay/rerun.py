"""One cell measured anew, in a folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from harness.api import Progress
from harness.content import cache_dir
from harness.errors import UserError
from harness.lm.loading import LoadOptions
from harness.registry import check_method
from harness.run.engine import Call, run
from harness.run.plan import PlannedGroup
from harness.run.reporting import Reports
from harness.specs.record import Record
from harness.store.records import StoredRecord
from harness.tracks.contract import Resources

# More threads than any machine has are a mistake in the record, and would take this one down.
MOST_THREADS = 1024


@dataclass
class Rerunner:
    """Runs cells under the setting of their records. What several of them share is made once.

    Attributes:
        folder: a temporary folder; holds the new records, activations and fits.
        cached_fit: whether fits and activations may come from the cache, so that only measuring is done again.
        device: where to run, in place of the record's device.
        progress: called with (label, done, total).
    """

    folder: Path
    cached_fit: bool
    device: str | None
    progress: Progress
    _resources: dict[tuple[object, ...], Resources] = field(default_factory=dict)

    def run(self, record: Record, group: PlannedGroup) -> StoredRecord:
        """Return the record of the one cell of ``group``, run again; raises ``UserError``."""
        cell = group.cells[0]
        check_method(cell.fitted.found, cell.fitted.params)
        with _threads(record.provenance.threads):
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            call = Call(folder, self._shared(record), "harness verify", Reports(folder, {}))
            outcome = run([group], call)
        return outcome.records[0]

    def _shared(self, record: Record) -> Resources:
        then = record.provenance
        if then.batch_tokens < 1:
            raise UserError(f"its batches of {then.batch_tokens} tokens hold none")
        dtype = record.model.dtype if record.model else "float32"
        device = self.device or _device(then.device)
        # Activations and fits of another setting are not those of this one.
        key = (then.threads, then.batch_tokens, dtype, device)
        if key not in self._resources:
            cache = cache_dir() if self.cached_fit else Path(tempfile.mkdtemp(dir=self.folder))
            self._resources[key] = Resources(cache, LoadOptions(device, dtype), then.batch_tokens, self.progress)
        return self._resources[key]


def _device(then: str) -> str:
    """Return the record's device where this machine has it, else the best it has."""
    kind = then.partition(":")[0]
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return then if here.get(kind) else "auto"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with as many threads as the record was made with, for their number decides the order of sums."""
    before = torch.get_num_threads()
    if 1 <= count <= MOST_THREADS:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
