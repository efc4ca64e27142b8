"""From names to cells: which methods meet which tasks, with which controls and seeds, and what that is worth in hashes.

Nothing here imports torch: a plan is made, checked and printed before any model loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.checkpoints.site import check_site
from harness.data.apart import check_apart
from harness.data.rows import Corpus, load_corpus
from harness.errors import UserError
from harness.lm.catalog import RANDOM
from harness.lm.catalog import resolve as find_model
from harness.lm.facts import facts
from harness.lm.fingerprints import fingerprint
from harness.lm.sentences import Sentences, Told
from harness.run.cells import Cell, CellBuilder, Entry
from harness.run.request import Request
from harness.specs.identity import Origin, digest
from harness.specs.library import FoundMethod, Library, merge_params
from harness.specs.method import OF_A_MODEL
from harness.specs.resolve import ResolvedTask, resolve


@dataclass(frozen=True)
class PlannedGroup:
    """The cells of one table that share model, data and site, and so one forward pass.

    ``elsewhere`` are the controls of the table that run on another language model, in a group of their own before this.
    """

    task: ResolvedTask
    corpus: Corpus
    fit_corpus: Corpus
    origin: Origin
    table: str
    cells: tuple[Cell, ...]
    elsewhere: tuple[Cell, ...] = ()

    @property
    def again(self) -> bool:
        """Whether the cells are methods of another group, on another language model."""
        return any(cell.again for cell in self.cells)


def make_plan(library: Library, request: Request, progress: Told | None = None) -> list[PlannedGroup]:
    """Return the groups of a request; raises ``UserError`` for anything that can be known before a model loads.

    ``progress`` is told where documents are compared, which may take minutes the first time.
    """
    by = Sentences(progress=progress)
    blocks: dict[str, int] = {}

    def blocks_of(model: str) -> int:
        if model not in blocks:
            blocks[model] = facts(find_model(model, request.revision)).blocks
        return blocks[model]

    contestants = _contestants(library, request)
    _check_model_options(library, request)
    groups = []
    for name in request.tasks:
        runs_model = library.task(name).model is not None
        for layer in (request.layers if runs_model else ()) or (None,):
            task = resolve(library, name, request.overrides, layer, blocks_of)
            groups += _groups(library, request, task, contestants, by)
    return groups


def _check_model_options(library: Library, request: Request) -> None:
    """Refuse options of the language model where no task of the call runs one; beside one that does, they are its."""
    given = {"--model": request.overrides.model, "--layers": request.layers, "--revision": request.revision}
    option = next((name for name, value in given.items() if value), None)
    if option and all(library.task(name).model is None for name in request.tasks):
        raise UserError(
            f"{option}: no language model runs for {', '.join(request.tasks)}, whose activations are drawn."
        )


def _contestants(library: Library, request: Request) -> list[tuple[FoundMethod, dict[str, Any]]]:
    found = [library.method(name) for name in request.methods]
    takers = 0
    result = []
    for method in found:
        if method.spec.derived:
            raise UserError(
                f"'{method.spec.method}' is built from another method: name that one, and the task adds it."
            )
        takes = set(request.params) <= set(method.spec.params)
        takers += takes
        change = request.params if takes else {}
        result.append((method, merge_params(method.spec.params, dict(change), "--set params", method.spec.method)))
    if request.params and not takers:
        # Reported against the first method, so that the message can name the nearest parameter.
        merge_params(found[0].spec.params, dict(request.params), "--set params", found[0].spec.method)
    return result


def _groups(
    library: Library,
    request: Request,
    task: ResolvedTask,
    contestants: list[tuple[FoundMethod, dict[str, Any]]],
    by: Sentences,
) -> list[PlannedGroup]:
    """Return the group of a task, behind that of its controls on another language model where it has some."""
    for found, _ in contestants:
        for used in _check_fits(library, task, found):
            _check_checkpoint(task, used, request.revision)
    corpus = load_corpus(task.spec, data_dir=request.data_dir, limit=request.overrides.limit, by=by)
    fit_corpus = corpus
    if task.corpus:
        fit_corpus = load_corpus(task.fit.spec, data_dir=request.data_dir, limit=request.overrides.limit, by=by)
        check_apart(task.spec, corpus, task.fit.spec, fit_corpus)
    model, dtype = None, None
    if task.spec.model is not None:
        model, dtype = fingerprint(find_model(task.spec.model, request.revision)), request.dtype
    origin = Origin(model, dtype, fit_corpus.fingerprint)
    table = digest([task.measured(), model, dtype, corpus.fingerprint, fit_corpus.fingerprint])
    builder = CellBuilder(library, task, origin, table)
    entries = _entries(library, request, task, contestants)
    cells = builder.cells([entry for entry in entries if not entry.found.spec.model], request)
    group = PlannedGroup(task, corpus, fit_corpus, origin, table, tuple(cells))
    other = _reinitialised(library, request, group, [entry for entry in entries if entry.found.spec.model])
    return [other, replace(group, elsewhere=other.cells)] if other else [group]


def _reinitialised(
    library: Library, request: Request, group: PlannedGroup, entries: Sequence[Entry]
) -> PlannedGroup | None:
    """Return the group that runs a group's contestants on the re-initialised model; its cells share the table."""
    name = group.task.spec.model
    if not entries or name is None or name.startswith(RANDOM):
        return None
    task = group.task.on_model(RANDOM + name)
    origin = replace(group.origin, model=fingerprint(find_model(task.model, request.revision)))
    cells = CellBuilder(library, task, origin, group.table).again(entries, group.cells, request)
    return replace(group, task=task, origin=origin, cells=tuple(cells))


def _check_checkpoint(task: ResolvedTask, found: FoundMethod, revision: str | None) -> None:
    if found.checkpoint is None:
        return
    if task.spec.model is None:
        raise UserError(f"'{found.slug}' codes the activations of a language model; task '{task.spec.task}' runs none.")
    if len(task.blocks) > 1:
        raise UserError(
            f"'{found.slug}' was trained at one block; task '{task.spec.task}' reads blocks "
            f"{', '.join(map(str, task.blocks))}. Choose one with --layers."
        )
    check_site(found.slug, found.checkpoint.card, facts(find_model(task.model, revision)).width, task.layer)


def _check_fits(library: Library, task: ResolvedTask, found: FoundMethod) -> tuple[FoundMethod, ...]:
    """Return the method and those it uses; raises ``UserError`` where the task cannot measure it."""
    card, spec = library.track(task.spec.track), found.spec
    if not card.takes(spec):
        fits = [n for n in library.names("methods") if card.takes(library.method(n).spec)]
        raise UserError(
            f"method '{spec.method}' is {spec.what}; task '{task.spec.task}' (track '{card.track}') takes "
            f"{card.taken}. Methods that fit: {', '.join(fits)}."
        )
    where = f"uses of method '{spec.method}'"
    every = (found, *(library.method(name, where) for name in spec.uses.values() if name != "any"))
    needs = dict.fromkeys(need for one in every for need in one.spec.needs)
    offers = card.offers if task.spec.model is not None else [need for need in card.offers if need not in OF_A_MODEL]
    missing = [need for need in needs if need not in offers]
    if missing:
        raise UserError(
            f"method '{spec.method}' needs {', '.join(missing)}, which task '{task.spec.task}' cannot give."
        )
    return every


def _entries(
    library: Library, request: Request, task: ResolvedTask, contestants: Iterable[tuple[FoundMethod, dict[str, Any]]]
) -> list[Entry]:
    controls = task.spec.controls
    entries = {f.slug: Entry(f, params, controls.role(f.spec.method)) for f, params in contestants}
    if request.controls:
        for name in (*controls.ceiling, *controls.floor, *controls.derived):
            found = library.method(name)
            entries.setdefault(found.slug, Entry(found, found.spec.params, controls.role(name)))
    return list(entries.values())
