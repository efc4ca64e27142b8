"""``harness.run.export``: a fitted dictionary leaves the cache in a format that other tools read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.api import Setting, Trained
from harness.checkpoints.card import Portable
from harness.checkpoints.export import saelens_files, write_files
from harness.content import cache_dir
from harness.errors import UserError
from harness.lm.catalog import resolve as find_model
from harness.lm.facts import facts
from harness.registry import build_method
from harness.run.cells import Cell
from harness.run.evaluate import Options, make_request
from harness.run.plan import PlannedGroup, make_plan
from harness.specs.strict import Seed
from harness.store.fits import load_fit


@dataclass(frozen=True)
class Exported:
    """What was written, and where."""

    folder: Path
    files: tuple[str, ...]


def export(method: str, task: str, seed: Seed, to: Path, options: Options) -> Exported:
    """Write a fitted dictionary in SAELens' format.

    Args:
        method: name of one method; ``path:DIR`` turns somebody else's format into SAELens'.
        task: name of the task it was fitted on.
        seed: seed of the fit.
        to: folder to write; files that are there are not overwritten.
        options: whatever of model, layer, limit and settings it was fitted with.

    Raises:
        UserError: it was not fitted, or is not a dictionary of one hidden layer with a common activation.
    """
    library, request = make_request(method, task, {**options, "seeds": (seed,), "controls": False})
    groups = make_plan(library, request)
    if len(groups) != 1 or len(groups[0].cells) != 1:
        raise UserError("export: give one method, one task and one layer")
    group, cell = groups[0], groups[0].cells[0]
    dictionary = _fitted(group, cell, request.revision)
    if not isinstance(dictionary, Portable):
        raise UserError(
            f"method '{cell.entry.found.slug}' cannot be exported: other libraries have no dictionary of its kind"
        )
    files = saelens_files(dictionary.portable(), group.task.model, group.task.layer)
    write_files(files, to)
    return Exported(to, tuple(files))


def _fitted(group: PlannedGroup, cell: Cell, revision: str | None) -> Trained:
    """Return the method of a cell as the cache holds it; raises ``UserError`` where it does not."""
    budget, found = group.task.budget, cell.entry.found
    if budget.latents is None or budget.l0 is None or cell.uses or cell.at_blocks:
        raise UserError(f"method '{found.slug}' cannot be exported: it is not one dictionary by itself")
    width = facts(find_model(group.task.model, revision)).width
    method: Trained = build_method(found, cell.entry.params, Setting(width, budget.latents, budget.l0, cell.seed))
    if found.checkpoint is not None:
        return method
    kept = load_fit(cache_dir() / "fits", cell.fit)
    if kept is None:
        raise UserError(
            f"method '{found.slug}' is not fitted on task '{group.task.spec.task}' with seed {cell.seed} and these "
            "options; run `harness eval` with them first"
        )
    method.load(kept[0])
    return method
