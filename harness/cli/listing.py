"""``harness list``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.cli.options import as_json, include_path
from harness.cli.talk import print_json, print_table, words
from harness.errors import unknown
from harness.specs.library import Library

Row = dict[str, Any]


@click.command("list")
@click.argument("what", metavar="methods|tasks|metrics|models|tracks")
@include_path
@as_json
def list_command(what: str, include_path: tuple[str, ...], as_json: bool) -> int:
    """List methods, tasks, metrics, models or tracks."""
    if what not in _LISTS:
        raise unknown("listing", what, _LISTS)
    rows = _LISTS[what](Library([Path(folder) for folder in include_path]))
    if as_json:
        print_json(rows)
    elif rows:
        print_table(what, list(rows[0]), [words(row) for row in rows])
    return 0


def _methods(library: Library) -> list[Row]:
    specs = [library.method(name).spec for name in library.names("methods")]
    return [
        {
            "method": s.method,
            "kind": s.kind,
            "title": s.title,
            "source": s.source,
            "origin": library.origin("methods", s.method),
        }
        for s in specs
    ]


def _tasks(library: Library) -> list[Row]:
    specs = [library.task(name) for name in library.names("tasks")]
    return [
        {
            "task": s.task,
            "track": s.track,
            "model": s.model,
            "title": s.title,
            "origin": library.origin("tasks", s.task),
        }
        for s in specs
    ]


def _tracks(library: Library) -> list[Row]:
    cards = [library.track(name) for name in library.tracks()]
    return [{"track": c.track, "kinds": list(c.kinds), "title": c.title, "summary": c.summary} for c in cards]


def _metrics(library: Library) -> list[Row]:
    from harness.metrics.contract import add_metric_folders, all_metrics

    add_metric_folders(library.folders("metrics"))
    return [
        {
            "metric": m.name,
            "unit": m.unit,
            "better": m.direction,
            "version": m.version,
            "interval": m.interval,
            "tracks": list(m.tracks),
            "summary": m.summary,
        }
        for m in all_metrics().values()
    ]


def _models(_library: Library) -> list[Row]:
    from harness.lm.listing import listing

    return listing()


_LISTS: dict[str, Callable[[Library], list[Row]]] = {
    "methods": _methods,
    "tasks": _tasks,
    "metrics": _metrics,
    "models": _models,
    "tracks": _tracks,
}
