"""``harness.audit``: what the command does, for Python callers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.api import silent
from harness.audits.checks import record_checks
from harness.audits.detectable import detectable_differences
from harness.audits.evidence import Evidence, gather
from harness.audits.invariance import Again, batch_size, measure_again, permutation
from harness.audits.protocol import Asked, contestants, knows_truth, metrics_by_task
from harness.board.read import Cell, read_cells
from harness.errors import UserError
from harness.metrics.contract import Metric, get_metric
from harness.run.environment import commit, package_version
from harness.run.evaluate import Options
from harness.specs.library import Library
from harness.specs.reliability import CardProvenance, ReliabilityCard, card_path
from harness.store.files import output_folder, write_text


@dataclass(frozen=True)
class Request:
    """What an audit is of, and how.

    Attributes:
        name: a metric or a task.
        tasks: further tasks of a metric, besides the worlds.
        metrics: of a task, those to audit; all where empty.
        methods: what to audit on, besides the methods of ``records``; every method a board ranks where both are empty.
        records: folders with records that count too (a published board), so that they are not run again.
        records_only: whether nothing is run.
        output_path: run folder, where records and by default cards go.
        cards: folder of cards; ``OUTPUT/cards`` where None.
        options: of the runs, see ``harness.evaluate``.
    """

    name: str
    tasks: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    records: tuple[Path, ...] = ()
    records_only: bool = False
    output_path: Path = Path("runs")
    cards: Path | None = None
    options: Options = field(default_factory=lambda: Options())


def audit(request: Request, command: str, progress: Any = silent) -> list[ReliabilityCard]:
    """Make the reliability cards of a metric or a task, write them and return them.

    Raises:
        UserError: anything wrong that can be known before something is run, and a task without any method's record.
    """
    library = Library([Path(folder) for folder in request.options.get("include_path", ())])
    chosen = metrics_by_task(library, request.name, request.tasks, request.metrics)
    option = "--cards" if request.cards else "--output-path"
    folder = output_folder(request.cards or request.output_path / "cards", option)
    held = tuple(cell for records in request.records for cell in read_cells(records)[0])
    asked = {task: _asked(library, task, request, held) for task in chosen}
    cards = []
    for task, metrics in chosen.items():
        for card in _cards(asked[task], metrics, request.records_only, command, progress):
            write_text(card_path(folder, card.task, card.metric), card.model_dump_json(indent=1) + "\n")
            cards.append(card)
    return cards


def _asked(library: Library, task: str, request: Request, held: tuple[Cell, ...]) -> Asked:
    spec = library.task(task)
    methods = contestants(library, spec, held, request.methods)
    kin = knows_truth(library, spec)
    if both := sorted(set(methods) & set(kin)):
        raise UserError(f"--method: '{both[0]}' knows the truth: methods are held against it, it is not one of them")
    slugs = {name: library.method(name).slug for name in (*methods, *kin)}
    return Asked(task, methods, kin, slugs, request.options, request.output_path, held)


def _cards(
    asked: Asked, metrics: Sequence[str], records_only: bool, command: str, progress: Any
) -> Iterator[ReliabilityCard]:
    group = asked.group()
    again: Again | None = None
    if not records_only:
        for prepared in asked.to_run(group):
            prepared.run(progress, command)
        again = measure_again(group, asked.prepared(asked.methods, controls=False).resources(progress))
    cells = (*asked.held, *read_cells(asked.folder)[0])
    evidence = gather(cells, group.task.spec.task, group.table, asked.recorded_kin)
    for name in metrics:
        yield _card(get_metric(name), evidence, again, command)


def _card(metric: Metric, evidence: Evidence, again: Again | None, command: str) -> ReliabilityCard:
    checks = {
        **record_checks(metric, evidence),
        "permutation": permutation(metric, again),
        "batch_size": batch_size(metric, again),
    }
    failed = any(check.passed is False and check.decides for check in checks.values())
    revision, dirty = commit()
    rows = (*evidence.methods, *evidence.damaged)
    return ReliabilityCard(
        metric=metric.name,
        version=metric.version,
        task=evidence.head.task.name,
        table=evidence.head.task.table,
        verdict="diagnostic" if failed else "reliable",
        methods={row.label: len(row.measured) for row in rows},
        left_out=dict(evidence.left_out),
        checks=checks,
        detectable=detectable_differences(metric, evidence),
        provenance=CardProvenance(
            command=command,
            version=package_version(),
            commit=revision,
            dirty=dirty,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )
