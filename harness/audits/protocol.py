"""What an audit is of, and what it runs: the methods asked for, all that knows the truth, and the task's controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.board.read import Cell
from harness.errors import UserError, unknown
from harness.metrics.contract import add_metric_folders, all_metrics
from harness.run.evaluate import Options, Prepared, prepare
from harness.run.plan import PlannedGroup
from harness.specs.library import Library
from harness.specs.method import MethodSpec
from harness.specs.task import TaskSpec


def metrics_by_task(
    library: Library, name: str, tasks: Sequence[str], metrics: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return what to audit: metrics by task; raises ``UserError``.

    Args:
        library: where tasks are found.
        name: a metric, audited on every task that draws a world and measures it, and on ``tasks``; or a task.
        tasks: further tasks of a metric.
        metrics: of a task, those to audit; all of its own where empty.
    """
    add_metric_folders(library.folders("metrics"))
    if name in library.names("tasks") or name.endswith((".yaml", ".yml")):
        if tasks:
            raise UserError(f"--task: '{name}' is a task itself; give --metric to choose among its metrics")
        return {name: _own(library.task(name), metrics)}
    if name not in all_metrics():
        raise unknown("metric or task", name, [*all_metrics(), *library.names("tasks")])
    if metrics:
        raise UserError(f"--metric: '{name}' is a metric itself; give --task to choose where it is audited")
    worlds = [task for task in library.names("tasks") if library.task(task).model is None]
    chosen = tuple(dict.fromkeys([*(task for task in worlds if name in library.task(task).metrics), *tasks]))
    if not chosen:
        raise UserError(f"no world measures '{name}': name a task that does with --task")
    return {task: _own(library.task(task), (name,)) for task in chosen}


def _own(task: TaskSpec, metrics: Sequence[str]) -> tuple[str, ...]:
    for name in metrics:
        if name not in task.metrics:
            raise unknown("metric", name, task.metrics, f"task '{task.task}'")
    return tuple(metrics) or task.metrics


@dataclass(frozen=True)
class Asked:
    """One task of an audit, with the methods that a board would rank and how they are run.

    Attributes:
        task: its name.
        methods: methods that a board would rank.
        kin: methods that know the truth, each with the one it is a damaged version of; empty where no truth is known.
        slugs: what records call each of them.
        options: of the run.
        folder: run folder.
        held: the cells of other folders, which count too.
    """

    task: str
    methods: tuple[str, ...]
    kin: Mapping[str, str | None]
    slugs: Mapping[str, str]
    options: Options
    folder: Path
    held: tuple[Cell, ...]

    def prepared(self, methods: Sequence[str], controls: bool) -> Prepared:
        """Return a checked run of some methods; raises ``UserError``."""
        options: Options = {**self.options, "controls": controls}
        return prepare(methods, self.task, self.folder, options)

    def group(self) -> PlannedGroup:
        """Return the cells of the methods and controls; raises ``UserError``, also where they make several tables."""
        groups = self.prepared(self.methods, controls=True).groups
        if len({group.table for group in groups}) > 1:
            raise UserError("--layers: give one block; a card is about one resolved task")
        return groups[-1]

    def to_run(self, group: PlannedGroup) -> list[Prepared]:
        """Return the runs whose records are not held: methods with their controls, and what knows the truth.

        What the run folder itself holds is skipped when they are run.
        """
        held = {(c.record.method.name, c.record.seed) for c in self.held if c.ok and c.record.task.table == group.table}
        runs = []
        if missing := self._missing(self.methods, group, held):
            runs.append(self.prepared(missing, controls=True))
        if self.kin:
            known = self.prepared(tuple(self.kin), controls=False)
            if missing := self._missing(tuple(self.kin), known.groups[-1], held):
                runs.append(self.prepared(missing, controls=False))
        return runs

    def _missing(self, methods: Sequence[str], group: PlannedGroup, held: set[tuple[str, int]]) -> list[str]:
        lacking = {c.entry.found.slug for c in group.cells if (c.entry.found.slug, c.seed) not in held}
        return [name for name in methods if self.slugs[name] in lacking]

    @property
    def recorded_kin(self) -> dict[str, str | None]:
        """``kin`` by the names that records carry."""
        return {self.slugs[name]: self.slugs[above] if above else None for name, above in self.kin.items()}


def knows_truth(library: Library, task: TaskSpec) -> dict[str, str | None]:
    """Return the methods that need the truth, each with the one it degrades; none where the track has no truth.

    Raises ``UserError`` where a method degrades one that does not know the truth.
    """
    if "truth" not in library.track(task.track).offers:
        return {}
    specs = [library.method(name).spec for name in library.names("methods")]
    kin = {spec.method: spec.degrades for spec in specs if "truth" in spec.needs}
    for name, above in kin.items():
        if above is not None and above not in kin:
            raise unknown("method that needs the truth", above, kin, f"degrades of method '{name}'")
    return kin


def contestants(library: Library, task: TaskSpec, cells: Iterable[Cell], given: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the methods that ``cells`` of the task are of, with those ``given``; where there are none, every method.

    Those are the methods of the library that the track takes, that no task uses as a control, that stand on their own,
    and that no YAML makes a variant of another; those that a seed changes, where there are any.
    """
    known = set(library.names("methods")) - set(knows_truth(library, task))
    records = [cell.record for cell in cells if cell.record.task.name == task.task]
    recorded = {r.method.name for r in records if r.method.role is None and r.method.name in known}
    return tuple(dict.fromkeys((*sorted(recorded), *given))) or _every(library, task)


def _every(library: Library, task: TaskSpec) -> tuple[str, ...]:
    used = [library.task(name).controls for name in library.names("tasks")]
    controls = {name for roles in used for name in (*roles.ceiling, *roles.floor, *roles.derived)}
    card, codes = library.track(task.track), set[str]()
    offers, found = set(card.offers) - {"truth"}, list[MethodSpec]()
    for name in library.names("methods"):
        spec = library.method(name).spec
        own = card.takes(spec) and not spec.uses and set(spec.needs) <= offers and name not in controls
        # Of a method and its variants, which share their code, the one whose file the code is named after.
        if own and spec.code not in codes and spec.code is not None and spec.code.startswith(f"{name}.py:"):
            codes.add(spec.code)
            found.append(spec)
    seeded = [spec for spec in found if spec.seeded]
    return tuple(spec.method for spec in seeded or found)
