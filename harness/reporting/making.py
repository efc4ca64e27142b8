"""``harness.report``: a finished run folder becomes one page, Markdown and JSON."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness.reporting
from harness.board import formats
from harness.board.escaping import plain, shown
from harness.board.page import environment, inline, package_version
from harness.board.pairs import Read, tables_of
from harness.board.pool import Entry
from harness.board.printable import printable
from harness.errors import UserError, unknown
from harness.reporting.contract import Source, TrackReport
from harness.store.files import write_text
from harness.store.records import check_results


@dataclass(frozen=True)
class Report:
    """What records in a run folder come to; ``name`` is the report's own."""

    name: str
    run: str
    findings: Any
    kind: TrackReport[Any]

    def html(self) -> str:
        """Return the page. Everything is inside it, and its policy forbids loading anything else."""
        page = (
            environment()
            .get_template(self.kind.template)
            .render(
                report=self,
                found=self.findings,
                formats=formats,
                version=package_version(),
                digest="",
                **self.kind.views(self.findings),
                **inline(("board.css", "pages.css", *self.kind.styles), ("theme.js",)),
            )
        )
        return shown(page)

    def markdown(self) -> str:
        """Return the report as Markdown in which no text of a record is markup."""
        return shown(self.kind.markdown(self.findings))

    def jsonable(self) -> dict[str, Any]:
        """Return everything as plain data; numbers have ten figures."""
        return {"report": self.name, **_rounded(asdict(self.findings))}

    def write(self, folder: Path) -> list[Path]:
        """Write ``NAME.html``, ``.md`` and ``.json`` into a folder; equal findings give equal bytes."""
        text = json.dumps(self.jsonable(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        texts = {".html": self.html(), ".md": self.markdown(), ".json": text}
        for suffix, content in texts.items():
            write_text(folder / f"{self.name}{suffix}", content)
        return [folder / f"{self.name}{suffix}" for suffix in texts]


def report(name: str, run: str | Path = "runs", *, tasks: Sequence[str] = (), methods: Sequence[str] = ()) -> Report:
    """Report what a run folder holds of the tracks that a report reads.

    Args:
        name: one of ``report_names()``.
        run: a folder that a run or ``harness leaderboard`` wrote.
        tasks: report on these alone; all of the report's tracks by default.
        methods: labels of contestants, as boards name their rows; all by default. Controls are always shown.

    Raises:
        UserError: an unknown report, folder, task or method; no measured record of its tracks.
    """
    if name not in report_names():
        raise unknown("report", name, report_names())
    folder = Path(run)
    check_results(folder, "--run")
    kind: TrackReport[Any] = importlib.import_module(f"harness.reporting.{name}").REPORT
    sources = _sources(folder, kind, tasks, methods)
    return Report(name, str(run), kind.findings(sources), kind)


def report_names() -> tuple[str, ...]:
    """Return the names of all reports."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(harness.reporting.__path__) if m.ispkg))


def _sources(folder: Path, kind: TrackReport[Any], tasks: Sequence[str], methods: Sequence[str]) -> list[Source]:
    tables, problems = _of_tracks(folder, kind.tracks)
    names = {task for task, _ in tables}
    for task in tasks:
        if task not in names:
            raise unknown("task", task, names, "--task")
    kept = {key: entries for key, entries in tables.items() if not tasks or key[0] in tasks}
    labels = {entry.label for entries in kept.values() for entry in entries if entry.role is None}
    for method in methods:
        if method not in labels:
            raise unknown("method", method, labels, "--method")
    notes = tuple(f"{problem.path}: {problem.reason}" for problem in problems)
    sources = []
    for (task, table), entries in kept.items():
        measured = tuple(entry for entry in entries if entry.measured)
        chosen = tuple(e.label for e in measured if e.role is None and (not methods or e.label in methods))
        failed = tuple(f"{e.label} has no measured cell" for e in entries if not e.measured)
        bare = bool(measured) and not methods and measured[0].head.task.track in kind.bare
        if chosen or bare:
            sources.append(Source(folder, task, table, measured, chosen, (*notes, *failed)))
    if not sources:
        raise UserError(f"--run: no method of '{folder}' was measured on a task of {_named(kind.tracks)} as asked for")
    return sources


def _named(tracks: Sequence[str]) -> str:
    names = ", ".join(f"'{track}'" for track in tracks)
    return f"track {names}" if len(tracks) == 1 else f"tracks {names}"


def _of_tracks(folder: Path, tracks: Sequence[str]) -> Read:
    tables, problems = tables_of(folder)
    found: dict[tuple[str, str], list[Entry]] = {
        key: entries for key, entries in tables.items() if entries and entries[0].head.task.track in tracks
    }
    if not found:
        others = sorted({entries[0].head.task.track for entries in tables.values() if entries})
        raise UserError(
            f"--run: '{folder}' holds no record of {_named(tracks)}; tracks there: {', '.join(others) or 'none'}"
        )
    return found, problems


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return printable(value)
    return [_rounded(inner) for inner in value] if isinstance(value, (list, tuple)) else value
