"""``harness.gate``: a run against a baseline, both read from records; nothing is run and no torch is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.board import asked
from harness.board.facts import differences, traits
from harness.board.pairs import Pair, Pairs, Tables, paired, tables_of
from harness.board.pool import newest
from harness.errors import UserError
from harness.gates.loss import Loss, loss
from harness.gates.outcome import Comparison, FailedCell, Gate
from harness.gates.tolerance import Tolerance, Tolerances, parse_tolerances
from harness.gates.verdict import Judgement, judge
from harness.metrics.contract import Metric, all_metrics
from harness.specs.record import Record
from harness.specs.reliability import Cards, cards_of, diagnostic, own_card
from harness.store.records import check_results


def gate(
    run: str | Path,
    baseline: str | Path,
    tolerances: Mapping[str, str | float] | None = None,
    controls: bool = False,
) -> Gate:
    """Compare a run with a baseline: pass, fail or inconclusive per method, table and metric.

    Args:
        run: a run folder.
        baseline: another; both are read from their records alone. Reliability cards in its ``cards`` count too.
        tolerances: by metric, ``TASK/METRIC`` or ``default``; see ``parse_tolerances``.
        controls: whether controls are judged like methods. By default only their failed cells count: they are the scale
            that methods are read on, and every further comparison makes a regression harder to show.

    Raises:
        UserError: a folder without results, a tolerance that means nothing, or no table that both folders share.
    """
    run, baseline = Path(run), Path(baseline)
    chosen = parse_tolerances(tolerances or {})
    for folder in (run, baseline):
        check_results(folder)
    read, read_before = tables_of(run), tables_of(baseline)
    now, before = read[0], read_before[0]
    _check_shared(run, now, baseline, before)
    pairs = paired(run, read, baseline, read_before)
    cards = cards_of(baseline)
    notes: dict[str, None] = {}
    judged = [pair for pair in pairs.pairs if controls or pair.b.role is None]
    asked_for = [(pair, metric) for pair in judged for metric in _judged(pair, cards, chosen, notes)]
    losses = [loss(metric, pair, own_card(cards, metric, pair.task, pair.table)) for pair, metric in asked_for]
    limits = [_tolerance(chosen, pair, metric, before) for pair, metric in asked_for]
    verdicts = judge([found.evidence for found in losses], [limit.value for limit in limits])
    comparisons = [_comparison(*row) for row in zip(asked_for, losses, limits, verdicts, strict=True)]
    missing = tuple(_missing(now, before, controls))
    return Gate(tuple(comparisons), tuple(_failed(pairs)), missing, pairs.unpaired, tuple(notes), pairs.problems)


def _comparison(asked_for: tuple[Pair, Metric], found: Loss, limit: Tolerance, judgement: Judgement) -> Comparison:
    pair, metric = asked_for
    return Comparison(
        task=pair.task,
        table=pair.table,
        method=pair.b.label,
        role=pair.b.role,
        metric=metric.name,
        unit=metric.unit,
        direction=metric.direction,
        before=found.before,
        after=found.after,
        evidence=found.evidence,
        tolerance=limit,
        judgement=judgement,
    )


def _tolerance(chosen: Tolerances, pair: Pair, metric: Metric, before: Tables) -> Tolerance:
    return chosen.of(pair.task, metric, pair.b, before[pair.task, pair.table])


def _judged(pair: Pair, cards: Cards, chosen: Tolerances, notes: dict[str, None]) -> Iterator[Metric]:
    """Yield the metrics that are judged, and note why others are not.

    A metric that cannot rank methods may still tell a method from what it was (dead latents): whoever names a tolerance
    for a diagnostic metric wants it judged.
    """
    known = all_metrics()
    for name in dict.fromkeys((*asked.metrics(pair.b.head), *asked.metrics(pair.a.head))):
        if name not in known:
            notes[f"{name} is not a metric of this version and is not judged"] = None
            continue
        if known[name].interval == "none":
            notes[f"{name} has no interval and is not judged"] = None
        elif why := diagnostic(cards, known[name], pair.task, pair.table):
            wanted = chosen.named(pair.task, known[name])
            said = (
                "judged, since it has a tolerance of its own" if wanted else "not judged without a tolerance of its own"
            )
            notes[f"{name} is diagnostic in {pair.task} and is {said}: {why}"] = None
            if wanted:
                yield known[name]
        else:
            yield known[name]


def _failed(pairs: Pairs) -> Iterator[FailedCell]:
    """Yield the cells of the run that failed where the baseline's did not."""
    for pair in pairs.pairs:
        lost = {seed for seed, cell in pair.b.cells.items() if not cell.ok}
        for seed, cell in sorted(pair.a.cells.items()):
            # A seed the baseline does not have is held against what its other seeds did.
            before = seed in lost if seed in pair.b.cells else bool(lost)
            if not cell.ok and not before:
                yield FailedCell(pair.task, pair.b.label, seed, cell.record.reason or "no reason recorded")


def _missing(ours: Tables, before: Tables, controls: bool) -> Iterator[str]:
    """Yield what the baseline measured and the run has no row of: nothing is known of it, so it cannot have passed."""
    for (task, table), entries in before.items():
        rows = {entry.key[:2] for entry in ours.get((task, table), ())}
        wanted = [entry for entry in entries if entry.measured and (controls or entry.role is None)]
        labels = dict.fromkeys(entry.label for entry in wanted if entry.key[:2] not in rows)
        yield from (f"{task}: {label} is in the baseline and not in the run" for label in labels)


def _check_shared(run: Path, ours: Tables, baseline: Path, theirs: Tables) -> None:
    """Raise ``UserError`` where the folders share no table, naming what differs."""
    if ours.keys() & theirs.keys():
        return
    heads = [
        (_head(ours, task, mine), _head(theirs, task, other))
        for task, mine in ours
        for name, other in theirs
        if name == task
    ]
    texts = [f"{a.task.name}: {_differing(a, b)}" for a, b in heads]
    tasks = f"their tasks are {_names(ours)} and {_names(theirs)}"
    raise UserError(
        f"'{run}' and '{baseline}' share no resolved task, so nothing can be compared; {'; '.join(texts) or tasks}"
    )


def _differing(run: Record, baseline: Record) -> str:
    own = [traits(record) for record in (run, baseline)]
    tables = (run.task.table, baseline.task.table)
    return _differs(*(differences(one, own, table) for one, table in zip(own, tables, strict=True)))


def _head(found: Tables, task: str, table: str) -> Record:
    return newest([cell for entry in found[task, table] for cell in entry.cells.values()])


def _differs(run: Sequence[tuple[str, str]], baseline: Sequence[tuple[str, str]]) -> str:
    there = dict(baseline)
    return ", ".join(
        f"{label} is {text} in the run and {there.get(label, 'not set')} in the baseline" for label, text in run
    )


def _names(found: Tables) -> str:
    return ", ".join(sorted({task for task, _ in found})) or "none"
