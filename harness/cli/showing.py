"""``harness show``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.options import include_path
from harness.cli.talk import print_json
from harness.errors import unknown
from harness.specs.library import Library
from harness.specs.reading import in_words


@click.command("show")
@click.argument("name")
@include_path
def show_command(name: str, include_path: tuple[str, ...]) -> int:
    """Show a method, a task, a metric, a track, or the record in a file, as JSON."""
    if name.endswith(".json") and Path(name).is_file():
        print_json(_record(Path(name)))
        return 0
    library = Library([Path(folder) for folder in include_path])
    print_json(in_words(_card(library, name)))
    return 0


def _record(path: Path) -> Any:
    from harness.errors import UserError
    from harness.store.records import BrokenRecordError, load_record

    try:
        return load_record(path).record.model_dump(mode="json")
    except BrokenRecordError as error:
        raise UserError(str(error)) from None


def _card(library: Library, name: str) -> Any:
    is_file = name.endswith((".yaml", ".yml")) or ":" in name
    if library.is_method(name) if is_file else name in library.names("methods"):
        found = library.method(name)
        return {**found.spec.model_dump(), "file": str(found.code_path or found.folder)}
    if is_file or name in library.names("tasks"):
        return library.task(name).model_dump(exclude_none=True)
    if name in library.tracks():
        return library.track(name).model_dump(mode="json")
    return _metric(library, name)


def _metric(library: Library, name: str) -> Any:
    from dataclasses import asdict

    from harness.metrics.contract import add_metric_folders, all_metrics

    add_metric_folders(library.folders("metrics"))
    metrics = all_metrics()
    if name not in metrics:
        every = [*library.names("methods"), *library.names("tasks"), *library.tracks(), *metrics]
        raise unknown("method, task, track or metric", name, every)
    metric = metrics[name]
    card = {key: value for key, value in asdict(metric).items() if key != "value"}
    return {**card, "definition": (metric.value.__doc__ or "").strip(), "reliability": _reliability(name)}


def _reliability(metric: str) -> dict[str, Any]:
    """Return what the committed cards say of a metric, by task."""
    from harness.specs.reliability import cards_of

    cards = [card for card in cards_of().values() if card.metric == metric]
    return {card.task: {"verdict": card.verdict, "failed": list(card.failed)} for card in cards}
