"""``harness eval --plan``: what would be run, and what is there already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.cli.talk import print_json, print_table, words
from harness.content import cache_dir
from harness.data.rows import estimate_tokens
from harness.lm.catalog import resolve as find_model
from harness.lm.facts import facts
from harness.run.cells import Cell
from harness.run.finished import finished_record
from harness.run.plan import PlannedGroup
from harness.specs.identity import activation_key

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 4}


def print_plan(groups: Sequence[PlannedGroup], folder: Path, as_json: bool) -> None:
    """Print every cell with its state, and the tokens and disk of every group."""
    cells = [_cell(group, cell, folder) for group in groups for cell in group.cells]
    costs = [_cost(group) for group in groups]
    if as_json:
        print_json({"cells": cells, "groups": costs})
        return
    print_table("cells", list(cells[0]), [words(cell) for cell in cells])
    click.echo()
    print_table("groups", list(costs[0]), [words(cost) for cost in costs])


def _cell(group: PlannedGroup, cell: Cell, folder: Path) -> dict[str, Any]:
    if finished_record(folder, group, cell):
        state = "finished"
    elif cell.entry.found.checkpoint or (cache_dir() / "fits" / cell.fit / "fit.json").is_file():
        state = "fitted"
    else:
        state = "to do"
    return {
        "task": group.task.spec.task,
        "layer": group.task.place,
        "method": cell.entry.found.slug,
        "of": cell.of.entry.found.slug if cell.of else "",
        "control": cell.entry.role or "",
        "seed": cell.seed,
        "state": state,
        "key": cell.key,
    }


def _cost(group: PlannedGroup) -> dict[str, Any]:
    spec, fit = group.task.spec, group.task.fit.spec
    # A task without a corpus may have nothing to fit on: its methods are fitted in folds of the test split.
    tokens = {"train": 0, "val": 0, **estimate_tokens(group.fit_corpus, fit.budget)}
    tokens["test"] = estimate_tokens(group.corpus, spec.budget)["test"]
    cached = {split: not tokens[split] or _cached(group, split) for split in ("train", "val")}
    new = sum(tokens[split] for split in cached if not cached[split])
    return {
        "task": spec.task,
        "model": spec.model,
        "layer": group.task.place,
        **{f"{split} tokens": tokens[split] for split in ("train", "val", "test")},
        "spliced tokens per cell": spec.budget.splice_tokens or 0,
        "new disk, MB": round(new * _token_bytes(group) / 1e6, 1),
        "activations cached": all(cached.values()),
    }


def _token_bytes(group: PlannedGroup) -> int:
    """Return what one token takes on disk, at every block; drawn activations are never stored."""
    if group.origin.dtype is None:
        return 0
    return facts(find_model(group.task.model)).width * _BYTES[group.origin.dtype] * len(group.task.blocks)


def _cached(group: PlannedGroup, split: str) -> bool:
    if not group.task.blocks:
        return False
    key = activation_key(group.task.fit, group.origin, split)
    folder = cache_dir() / "activations" / key
    return all((folder / f"block-{block}" / "manifest.json").is_file() for block in group.task.blocks)
