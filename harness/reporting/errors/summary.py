"""Scores of every row, and margins over every floor, paired over the clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.board.pool import Entry
from harness.metrics.contract import Metric, Parts, get_metric
from harness.reporting.contract import Measure, Source, measure
from harness.reporting.errors.findings import Score, Versus
from harness.stats.crossed import crossed_se, difference_se, t_interval
from harness.stats.estimate import Estimate, Plan
from harness.stats.memo import remembered
from harness.stats.paired import difference
from harness.stats.summary import metric_pseudo_values, summarise

RANKED = "auroc"
# Beside it: none of these is ranked here.
BESIDE = ("bal_acc", "added_auroc", "selectivity", "leak_check", "train_test_gap")
# Of which a conclusion is drawn.
JUDGED = ("added_auroc", "selectivity", "leak_check")
ALPHA = 0.05
# Of the standard error of a score from J folds, whose answers fit each other's probes: the root of
# (1/J + 1/(J - 1)) / (1/J) for J = 5 (Nadeau and Bengio 2003, Machine Learning 52, section 3).
REFITS = 1.5


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
    parts, level = list(entry.measured.values()), family_level(comparisons(source))
    found = {name: summarise(metric, parts) for name, metric in metrics.items()}
    versus = [_versus(entry, control, metrics[RANKED], level) for control in source.controls if control is not entry]
    adjusted = {name: together(metrics[name], found[name], [parts], level) for name in JUDGED}
    plain = {name: measure(one) for name, one in found.items()}
    return Score(entry.label, entry.role, plain, adjusted, tuple(versus), entry.warnings)


def _versus(entry: Entry, control: Entry, metric: Metric, level: float) -> Versus:
    sides = list(entry.measured.values()), list(control.measured.values())
    margin = difference(metric, *sides, paired_seeds=False)
    return Versus(control.label, measure(margin), together(metric, margin, sides, level))


def together(metric: Metric, found: Estimate, sides: Sequence[Sequence[Parts]], level: float) -> Measure:
    """Return what was found of one side, or of the difference of two, with the interval of a level that many need.

    Student's t on what each cluster contributes: of 2 000 resamples one in a thousand is two, which is no quantile.
    Widened by ``REFITS``, since the clusters of a fold also fitted the probes of the others.
    """
    if found.value is None or found.lo is None:
        return measure(found)
    pseudo = [metric_pseudo_values(metric, side) for side in sides]
    se, df = crossed_se(pseudo[0]) if len(pseudo) == 1 else difference_se(pseudo[0], pseudo[1])
    return measure(t_interval(found.value, REFITS * se, df, pseudo[0], Plan(level=level)))
