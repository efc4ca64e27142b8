"""A small task and a small method as YAML, and libraries of such files, for the tests of specs and commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from harness.specs.library import Library

TASK = """\
task: made
version: 1
title: Made up
track: reconstruction
model: tiny-random
data:
  source: folder
  path: rows
  group: id
  splits: {train: 0.5, val: 0.2, test: 0.3}
text: "{{ text }}"
site: {depth: 0.5}
budget: {context: 16, train_tokens: 100, val_tokens: 50, passes: 1, latents: 32, l0: 4, test_tokens: 100}
metrics: [fvu, l0]
controls:
  floor: [nought]
bars: {fvu: {max: 0.5}}
seeds: [0, 1]
"""

# Fitted where ``made`` is, measured on prompts of its own.
PROMPTS = """\
task: asked
version: 1
title: Prompts
track: reconstruction
model: tiny-random
corpus: made
data:
  source: prompts
  group: id
  prompts:
    sums: [{prompt: one and one}, {prompt: two and two}]
text: "{{ prompt }}"
site: {depth: 0.5}
budget: {context: 16, test_tokens: 100}
metrics: [fvu]
seeds: [0]
"""

METHOD = """\
method: nought
title: Always nought
kind: dictionary
code: nought.py:Nought
source: tests
params: {size: 1, optim: {lr: 1e-3, steps: 5}}
"""

DERIVED = """\
method: shadow
title: Built from each method
kind: dictionary
code: nought.py:Nought
source: tests
uses: {of: any}
"""


def edit(text: str, *changes: tuple[str, str]) -> str:
    """Return ``text`` with each old part, which must occur exactly once, replaced."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    return text


def line_of(text: str, part: str) -> int:
    """Return the line, from 1, on which ``part`` stands."""
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


def write_content(
    folder: Path, tasks: Mapping[str, str] | None = None, methods: Mapping[str, str] | None = None
) -> Path:
    """Write YAML files by name, and the code file they name, as an include folder; returns it."""
    for kind, files in (("tasks", tasks or {"made": TASK}), ("methods", methods or {"nought": METHOD})):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / kind / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "methods" / "nought.py").touch()
    return folder


def library_of(
    folder: Path, tasks: Mapping[str, str] | None = None, methods: Mapping[str, str] | None = None
) -> Library:
    """Return a library that holds these files besides the package's own."""
    return Library([write_content(folder, tasks, methods)])


def write_rows(folder: Path, count: int = 12) -> Path:
    """Write ``count`` rows with an id and a text; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ({"id": f"r{i}", "text": f"row number {i} of some"} for i in range(count))
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder
