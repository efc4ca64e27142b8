"""Methods become cells: each on its seeds, with what it uses and the controls built from it; and their hashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.content import PACKAGE
from harness.errors import UserError
from harness.metrics.contract import all_metrics
from harness.run.request import Request
from harness.specs.code import code_hash, with_imports
from harness.specs.identity import Origin, digest, fit_key, method_identity
from harness.specs.library import FoundMethod, Library
from harness.specs.resolve import ResolvedTask
from harness.specs.strict import Role


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


class CellBuilder:
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
        fit = fit_key(self.task.fit, self.origin, self._learner(entry, identity), seed)
        key = digest([self.table, identity, seed, self.measure, entry.role])
        return Cell(entry, seed, key, fit, identity, uses, at_blocks=at_blocks)

    def _learner(self, entry: Entry, identity: str) -> str:
        """Return the identity of a method with what else of the task it learns from, where it learns from any."""
        taught = self.task.taught(entry.found.spec.needs)
        return digest([identity, *taught]) if taught else identity

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
