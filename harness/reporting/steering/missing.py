"""Arms that a table lacks, and the command that measures them in the same table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.reporting.contract import Source
from harness.reporting.steering.findings import Gap, Missing
from harness.specs.library import Library

# Options that decide a table. Nothing else of a recorded command is repeated: a record may come from anywhere.
_KEPT = ("--seeds", "--seed", "--model", "--layers", "--set", "--limit", "--dtype", "--revision")


def missing(source: Source) -> tuple[Missing, ...]:
    """Return the controls of the task and the methods of its kinds that no measured row is of."""
    measured = {entry.head.method.name for entry in source.entries}
    spec = source.head.head.task.spec
    asked = spec.get("controls")
    named = [name for role in ("ceiling", "floor") for name in (asked.get(role, ()) if isinstance(asked, dict) else ())]
    controls = tuple(str(name) for name in named if name not in measured)
    others = tuple(name for name in _methods(source.track) if name not in measured and name not in named)
    lacking: tuple[tuple[Gap, tuple[str, ...]], ...] = (("control", controls), ("arm", others))
    return tuple(Missing(kind, names, command(source, names)) for kind, names in lacking if names)


@cache
def _methods(track: str) -> tuple[str, ...]:
    """Return the methods a track takes; reading them takes a while."""
    library = Library()
    card = library.track(track)
    specs = ((name, library.method(name).spec) for name in library.names("methods"))
    return tuple(name for name, spec in specs if card.takes(spec) and spec.uses.get("of") != "any")


def command(source: Source, methods: Sequence[str]) -> str:
    """Return what measures methods in the table of a run, with the settings its own command had."""
    kept, tasks = _settings(source.head.head.provenance.command)
    task = next((word for word in tasks if Path(word).stem == source.task), source.task)
    words = ["harness", "eval", "--method", ",".join(methods), "--task", task, *kept]
    return shlex.join([*words, "--output-path", str(source.folder)])


def _settings(given: str) -> tuple[list[str], list[str]]:
    """Return the options of a recorded command that decide its table, and the tasks it names."""
    try:
        words = shlex.split(given)
    except ValueError:
        return [], []
    kept, tasks = [], []
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not equals:
            value = words[i + 1] if i + 1 < len(words) else ""
        if name == "--task":
            tasks = value.split(",")
        # Parameters are of the methods that were asked for.
        if name in _KEPT and value and not (name == "--set" and value.startswith("params.")):
            kept += [name, value]
    return kept, tasks
