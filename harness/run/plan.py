"""From names to cells: which methods meet which tasks, with which controls and seeds, and what that is worth in hashes.

Nothing here imports torch: a plan is made, checked and printed before any model loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.checkpoints.site import check_site
from harness.content import PACKAGE
from harness.data.apart import check_apart
from harness.data.rows import Corpus, load_corpus
from harness.errors import UserError
from harness.lm.catalog import RANDOM
from harness.lm.catalog import resolve as find_model
from harness.lm.facts import facts
from harness.lm.fingerprints import fingerprint
from harness.metrics.contract import all_metrics
from harness.specs.code import code_hash, with_imports
from harness.specs.identity import Origin, digest, fit_key, method_identity
from harness.specs.library import FoundMethod, Library, merge_params
from harness.specs.resolve import Overrides, ResolvedTask, resolve
from harness.specs.strict import Role


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        methods: names, or paths of YAML files.
        tasks: names, or paths of YAML files.
        seeds: seeds of the contestants; the task's own where empty.
        derived_seeds: seeds on which derived controls are built; every seed where None.
        layers: blocks that replace the task's site, one resolved task each.
        overrides: model, limit and ``--set`` of the task.
        params: ``--set params.…`` of the methods.
        controls: whether the task's controls are run.
        revision: of a hub model.
        dtype: of the language model.
        data_dir: folder of mirrors.
    """

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...] = ()
    derived_seeds: tuple[int, ...] | None = None
    layers: tuple[int, ...] = ()
    overrides: Overrides = field(default_factory=Overrides)
    params: Mapping[str, Any] = field(default_factory=dict)
    controls: bool = True
    revision: str | None = None
    dtype: str = "float32"
    data_dir: Path | None = None


@dataclass(frozen=True)
class Entry:
    """A method as it enters a group: its parameters and the role it plays in the task."""

    found: FoundMethod
    params: dict[str, Any]
    role: Role | None


@dataclass(frozen=True)
class Cell:
    """One method × resolved task × seed.

    Attributes:
        key: hash of everything that decides the numbers; names the record.
        fit: hash under which the fitted method is kept.
        identity: hash of the method alone.
        uses: the cells whose methods this one is built on; ``of`` for a derived control.
        at_blocks: the same for methods that are fitted at every block of the task: one cell for each.
        block: the block, of such a cell.
        again: the cell whose method this control fits and measures again, on another language model.
    """

    entry: Entry
    seed: int
    key: str
    fit: str
    identity: str
    uses: Mapping[str, Cell] = field(default_factory=dict)
    again: Cell | None = None
    at_blocks: Mapping[str, tuple[Cell, ...]] = field(default_factory=dict)
    block: int | None = None

    @property
    def fitted(self) -> Entry:
        """What is fitted: the method itself, or the one that is fitted again."""
        return self.again.entry if self.again else self.entry

    @property
    def of(self) -> Cell | None:
        """The cell a derived control is built from."""
        return self.again or (self.uses.get("of") if self.entry.found.spec.derived else None)

    @property
    def label(self) -> str:
        """What to call it in progress bars and messages."""
        of = f" of {self.of.entry.found.slug}" if self.of else ""
        at = f" at block {self.block}" if self.block is not None else ""
        return f"{self.entry.found.slug}{of}{at}, seed {self.seed}"


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


def make_plan(library: Library, request: Request) -> list[PlannedGroup]:
    """Return the groups of a request; raises ``UserError`` for anything that can be known before a model loads."""
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
            groups += _groups(library, request, task, contestants)
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
    library: Library, request: Request, task: ResolvedTask, contestants: list[tuple[FoundMethod, dict[str, Any]]]
) -> list[PlannedGroup]:
    """Return the group of a task, behind that of its controls on another language model where it has some."""
    for found, _ in contestants:
        for used in _check_fits(library, task, found):
            _check_checkpoint(task, used, request.revision)
    corpus = load_corpus(task.spec, data_dir=request.data_dir, limit=request.overrides.limit)
    fit_corpus = corpus
    if task.corpus:
        fit_corpus = load_corpus(task.fit.spec, data_dir=request.data_dir, limit=request.overrides.limit)
        check_apart(task.spec, corpus, task.fit.spec, fit_corpus)
    model, dtype = None, None
    if task.spec.model is not None:
        model, dtype = fingerprint(find_model(task.spec.model, request.revision)), request.dtype
    origin = Origin(model, dtype, fit_corpus.fingerprint)
    table = digest([task.measured(), model, dtype, corpus.fingerprint, fit_corpus.fingerprint])
    builder = _CellBuilder(library, task, origin, table)
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
    cells = _CellBuilder(library, task, origin, group.table).again(entries, group.cells, request)
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
    missing = [need for need in needs if need not in card.offers]
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


class _CellBuilder:
    """Makes the cells of one group."""

    def __init__(self, library: Library, task: ResolvedTask, origin: Origin, table: str) -> None:
        self.library, self.task, self.origin, self.table = library, task, origin, table
        self.card = library.track(task.spec.track)
        metrics = all_metrics()
        track = code_hash(*with_imports(PACKAGE / "tracks" / f"{task.spec.track}.py", "tracks", "training", "stats"))
        self.measure = [[(name, metrics[name].version) for name in task.spec.metrics], track]

    def cells(self, entries: Sequence[Entry], request: Request) -> list[Cell]:
        """Return contestants and plain controls on every seed, then derived controls on theirs."""
        seeds = request.seeds or self.task.spec.seeds
        plain = [
            self._cell(entry, seed)
            for entry in entries
            if not entry.found.spec.derived
            for seed in (seeds if self._varies(entry.found) else seeds[:1])
        ]
        derived = [self._cell(e, of.seed, of) for e, of in self._controlled(entries, plain, request)]
        return plain + derived

    def again(self, entries: Sequence[Entry], cells: Iterable[Cell], request: Request) -> list[Cell]:
        """Return, for controls that are methods on another model (this builder's), a cell for each contestant's."""
        return [self._again(entry, of) for entry, of in self._controlled(entries, cells, request)]

    def _again(self, entry: Entry, of: Cell) -> Cell:
        own = self._cell(of.entry, of.seed)
        identity = method_identity(entry.found, entry.params, {"of": of.identity})
        key = digest([self.table, self.origin.model, identity, of.seed, self.measure, entry.role])
        return Cell(entry, of.seed, key, own.fit, identity, own.uses, of, own.at_blocks)

    def _controlled(
        self, entries: Sequence[Entry], cells: Iterable[Cell], request: Request
    ) -> list[tuple[Entry, Cell]]:
        """Return every derived control with every contestant's cell it is built from."""
        seeds = request.seeds or self.task.spec.seeds
        chosen = request.derived_seeds if request.derived_seeds is not None else seeds
        if absent := sorted(set(chosen) - set(seeds)):
            raise UserError(f"--derived-seeds: {absent[0]} is not among the seeds {', '.join(map(str, seeds))}.")
        contestants = [cell for cell in cells if cell.entry.role is None]
        return [
            (entry, cell)
            for entry in entries
            if entry.found.spec.derived
            for cell in contestants
            if entry.found.spec.controls(cell.entry.found.spec)
            and (cell.seed in chosen or not self._varies(cell.entry.found))
        ]

    def _cell(self, entry: Entry, seed: int, of: Cell | None = None) -> Cell:
        uses: dict[str, Cell] = {}
        at_blocks: dict[str, tuple[Cell, ...]] = {}
        for use, method in entry.found.spec.uses.items():
            if of is not None and method == "any":
                uses[use] = of
                continue
            used = self._used(method, entry)
            # Fitted where the method itself is; a track that fits none has a corpus for what they use.
            if self.card.fits or used.found.spec.kind in self.card.kinds:
                uses[use] = self._cell(used, seed)
            else:
                at_blocks[use] = self._at_blocks(used, seed, entry)
        below = {use: cell.identity for use, cell in uses.items()}
        below |= {use: cells[0].identity for use, cells in at_blocks.items()}
        identity = method_identity(entry.found, entry.params, below)
        # What no seed changes is the same cell whatever seed the user starts from.
        seed = seed if of is not None or self._varies(entry.found) else 0
        fit = fit_key(self.task.fit, self.origin, identity, seed)
        key = digest([self.table, identity, seed, self.measure, entry.role])
        return Cell(entry, seed, key, fit, identity, uses, at_blocks=at_blocks)

    def _at_blocks(self, used: Entry, seed: int, user: Entry) -> tuple[Cell, ...]:
        """Return the cell of a method at every block; another task fits the same one at a block alone."""
        if used.found.checkpoint is None and self.task.corpus is None:
            raise UserError(
                f"method '{user.found.spec.method}' uses '{used.found.slug}', which is fitted on a corpus; task "
                f"'{self.task.spec.task}' has none: give it 'corpus', the name of a task over other problems."
            )
        alone = self._cell(used, seed)
        fits = {
            block: fit_key(self.task.fit_at(block), self.origin, alone.identity, alone.seed)
            for block in self.task.blocks
        }
        return tuple(replace(alone, fit=fit, block=block) for block, fit in fits.items())

    def _varies(self, found: FoundMethod) -> bool:
        """Return whether another seed gives another fit, of the method itself or of one it uses."""
        used = [name for name in found.spec.uses.values() if name != "any"]
        return found.spec.seeded or any(self._varies(self.library.method(name)) for name in used)

    def _used(self, name: str, user: Entry) -> Entry:
        """Return a method that another is built on; it is fitted, not measured."""
        found = self.library.method(name, f"uses of method '{user.found.spec.method}'")
        if any(other == "any" or self.library.method(other).spec.uses for other in found.spec.uses.values()):
            raise UserError(
                f"method '{user.found.spec.method}' uses '{name}', which uses others that use others; two levels are "
                "allowed"
            )
        return Entry(found, found.spec.params, None)
