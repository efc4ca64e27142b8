"""``harness.verify``: records are run again and compared with what they say."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

from harness.api import Progress, silent
from harness.errors import UserError
from harness.lm.loading import pick_device
from harness.metrics.contract import Parts, add_metric_folders, all_metrics
from harness.replay.changes import Changes, content_changes, setting_changes
from harness.replay.choose import choose
from harness.replay.comparing import compare, tolerances
from harness.replay.rebuild import Sources, rebuild
from harness.replay.rerun import Rerunner
from harness.replay.verdict import MetricCheck, Verdict, Verification
from harness.specs.library import Library
from harness.specs.record import Record
from harness.store.records import BrokenRecordError, StoredRecord, load_record


class VerifyOptions(TypedDict, total=False):
    """Options of ``verify``, as on the command line."""

    sample: int | None
    seed: int
    tolerance: float | None
    cached_fit: bool
    device: str | None
    checkpoints: Sequence[str | Path]
    data_dir: str | Path | None
    include_path: Sequence[str | Path]


def verify(
    *records: str | Path, progress: Progress = silent, **options: Unpack[VerifyOptions]
) -> Iterator[Verification]:
    """Run records again and yield, one by one, whether they agree with what comes of it.

    Each is fitted and measured anew in a temporary folder, under the threads, batch, dtype and device it was made with.

    Args:
        records: record files, and folders with results.
        progress: called with (label, done, total).
        options: ``sample`` of the records, drawn with ``seed``; ``tolerance``, relative, in place of those of
            ``harness.replay.comparing``; ``cached_fit``: fits and activations may come from the cache; ``device`` in
            place of the record's; ``checkpoints``: folders of other people's dictionaries that records name;
            ``data_dir``: folder of mirrors; ``include_path``: folders of methods, tasks and metrics.

    Raises:
        UserError: a name that is no record, or a device that is not here, before anything is run. What is wrong with
            one record is its verdict.
    """
    paths = choose(records, options.get("sample"), options.get("seed", 0))
    if device := options.get("device"):
        pick_device(device)
    library = Library([Path(folder) for folder in options.get("include_path", ())])
    add_metric_folders(library.folders("metrics"))
    data_dir = options.get("data_dir")
    checkpoints = tuple(Path(folder) for folder in options.get("checkpoints", ()))
    sources = Sources(library, checkpoints, Path(data_dir) if data_dir else None)
    return _each(paths, sources, progress, options)


def _each(paths: list[Path], sources: Sources, progress: Progress, options: VerifyOptions) -> Iterator[Verification]:
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as folder:
        rerunner = Rerunner(Path(folder), options.get("cached_fit", False), options.get("device"), progress)
        for path in paths:
            yield _Check(path, sources, rerunner, options.get("tolerance")).verification()


@dataclass
class _Check:
    """One record on its way to a verdict."""

    path: Path
    sources: Sources
    rerunner: Rerunner
    tolerance: float | None
    wrong: list[str] = field(default_factory=list)
    unable: list[str] = field(default_factory=list)

    def verification(self) -> Verification:
        try:
            stored = load_record(self.path)
        except (BrokenRecordError, UserError) as error:
            return Verification(self.path, self.path.name, "cannot", (str(error),))
        parts = self._parts(stored)
        again, changes = self._again(stored)
        exact = again is not None and not changes.setting
        checks = self._compare(stored.record, parts, again, exact)
        self.wrong += [f"{c.metric}: {c.reason}" for c in checks if c.verdict == "disagree"]
        if again is not None:
            self.unable += [f"{c.metric}: {c.reason}" for c in checks if c.verdict == "cannot"]
        verdict: Verdict = "disagree" if self.wrong else "cannot" if self.unable else "agree"
        reasons = (*self.wrong, *self.unable)
        return Verification(self.path, name_of(stored.record), verdict, reasons, changes.all, exact, checks)

    def _parts(self, stored: StoredRecord) -> Parts | None:
        name = stored.record.parts
        if name is None:
            if stored.record.status == "ok":
                self.wrong.append("it says it was measured, and names no parts")
            return None
        if Path(name).name != name:
            self.wrong.append(f"it names parts outside its own folder: {name}")
            return None
        if not (stored.path.parent / name).is_file():
            self.unable.append(f"its parts {name} are missing")
            return None
        try:
            return stored.parts()
        except BrokenRecordError:
            self.wrong.append(f"its parts {name} are not the file it was written with")
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            self.wrong.append(f"its parts {name} cannot be read: {error}")
        return None

    def _again(self, stored: StoredRecord) -> tuple[StoredRecord | None, Changes]:
        """Return the record of the re-run, or None with the reason among ``unable``; and what has changed."""
        content: tuple[str, ...] = ()
        try:
            folder = Path(tempfile.mkdtemp(dir=self.rerunner.folder))
            group = rebuild(stored, self.sources, folder)
            content = content_changes(stored.record, group)
            again = self.rerunner.run(stored.record, group)
        except UserError as error:
            self.unable.append(str(error))
            return None, Changes(content, ())
        return again, Changes(content, setting_changes(stored.record, again.record))

    def _compare(
        self, record: Record, parts: Parts | None, again: StoredRecord | None, exact: bool
    ) -> tuple[MetricCheck, ...]:
        if again is not None and (record.status, record.reason) != (again.record.status, again.record.reason):
            then, now = (f"{r.status}{f' ({r.reason})' if r.reason else ''}" for r in (record, again.record))
            self.wrong.append(f"the cell was {then}, run again it is {now}")
        if record.status == "failed":
            return ()
        metrics = all_metrics()
        measured = again is not None and again.record.status == "ok"
        new = again.parts() if measured and again is not None else None
        return compare(record, metrics, parts, new, tolerances(metrics, exact, self.tolerance))


def name_of(record: Record) -> str:
    """Return what to call a record in messages."""
    of = f" of {record.method.of}" if record.method.of else ""
    return f"{record.task.name}: {record.method.name}{of}, seed {record.seed}"
