"""Scores of every row, and margins over every floor, paired over the clusters."""

from __future__ import annotations

from collections.abc import Mapping

from harness.board.pool import Entry
from harness.metrics.contract import Metric, Parts, get_metric
from harness.reporting.contract import Measure, Source, measure
from harness.reporting.errors.findings import Score, Versus
from harness.stats.estimate import Plan
from harness.stats.memo import remembered
from harness.stats.paired import difference
from harness.stats.summary import summarise

RANKED = "auroc"
# Beside it: none of these is ranked here.
BESIDE = ("bal_acc", "added_auroc", "selectivity", "leak_check", "train_test_gap")
# Of which a conclusion is drawn.
JUDGED = ("added_auroc", "selectivity", "leak_check")
ALPHA = 0.05


def comparisons(source: Source) -> int:
    """Return how many intervals are judged in a table: of every contestant, those over floors and of ``JUDGED``."""
    return len(source.contestants) * (len(source.controls) + len(JUDGED))


def family_level(tests: int) -> float:
    """Return the level of each interval at which all of so many hold together (Bonferroni)."""
    return 1 - ALPHA / max(tests, 1)


def scores(source: Source) -> tuple[Score, ...]:
    """Return a row for every contestant, then for what is derived from one, then for floors and ceilings."""
    metrics = {name: remembered(get_metric(name)) for name in (RANKED, *BESIDE)}
    chosen = [*source.contestants, *_derived(source), *(e for e in source.entries if e.role in ("floor", "ceiling"))]
    return tuple(_score(source, entry, metrics) for entry in chosen)


def _derived(source: Source) -> list[Entry]:
    names = {entry.head.method.name for entry in source.contestants}
    return [entry for entry in source.entries if entry.role == "derived" and entry.head.method.of in names]


def _score(source: Source, entry: Entry, metrics: Mapping[str, Metric]) -> Score:
    parts = list(entry.measured.values())
    found = {name: measure(summarise(metric, parts)) for name, metric in metrics.items()}
    versus = [_versus(source, entry, control, metrics[RANKED]) for control in source.controls if control is not entry]
    plan = Plan(level=family_level(comparisons(source)))
    adjusted = {name: measure(summarise(metrics[name], parts, plan)) for name in JUDGED}
    return Score(entry.label, entry.role, found, adjusted, tuple(versus), entry.warnings)


def _versus(source: Source, entry: Entry, control: Entry, metric: Metric) -> Versus:
    sides = list(entry.measured.values()), list(control.measured.values())
    margins = [_margin(metric, *sides, Plan(level=level)) for level in (0.95, family_level(comparisons(source)))]
    return Versus(control.label, *margins)


def _margin(metric: Metric, ours: list[Parts], theirs: list[Parts], plan: Plan) -> Measure:
    return measure(difference(metric, ours, theirs, plan, paired_seeds=False))
