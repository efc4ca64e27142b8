"""A finding in words and figures; every output of a comparison says them alike."""

from __future__ import annotations

from harness.board import formats
from harness.comparison.findings import ClusterGap, Comparison, Gap, MetricFinding, TableFinding

HOW_TO_READ = (
    "A − B is the difference in the metric's unit, with a 95 % interval that is paired over clusters (documents, "
    "problems) and holds for new clusters and, with several seeds, for new seeds; the seeds of A and of B count as "
    "unrelated, also where they are the same numbers. A method without randomness is fixed. Where a metric has no "
    "value per cluster the interval is Welch's, over seeds.",
    "p is adjusted for all metrics of the table: studentised step-down min-P over clusters, Welch with Holm over "
    "seeds, each kind with its share of the 5 %. Tables are families of their own.",
    "A side is called better where p is below .05 and the interval excludes 0, where both use equally many latents per "
    "token, and where each side that varies with the seed has the 3 seeds a rank needs.",
    "Boards test in the same way, but ask another question: all pairs of methods under one metric, where a comparison "
    "asks all metrics of one pair. So a board may separate two methods that a comparison does not, and the other way "
    "round.",
    "The effect is the difference over the standard deviation of the clusters' differences (d_z); for a metric over "
    "seeds, over the pooled standard deviation between seeds (Cohen's d, of very few numbers).",
    "What cannot be seen is anything below the least true difference that a comparison of this size finds in 80 % of "
    "all cases, before adjustment.",
    "Where each side wins was looked at after the fact: it says where to look, and decides nothing.",
)


def verdict(found: MetricFinding) -> str:
    """Return the verdict; where nothing was seen, with what could not have been."""
    if found.verdict == "no difference seen" and found.detectable is not None:
        return f"no difference seen (cannot see less than {formats.significant(found.detectable, 2)})"
    return found.verdict


def value(found: float | None) -> str:
    """Return a value of one side."""
    return formats.DASH if found is None else formats.significant(found, 4)


def places(gap: Gap) -> int:
    """Return the decimals that suit a difference and its ends."""
    return formats.decimals([abs(end) for end in (gap.value, gap.lo, gap.hi) if end])


def shift(gap: Gap) -> str:
    """Return a difference with its sign."""
    return formats.DASH if gap.value is None else formats.signed(gap.value, places(gap))


def interval(gap: Gap) -> str:
    """Return the interval of a difference, or a dash."""
    if gap.lo is None or gap.hi is None:
        return formats.DASH
    return f"[{formats.signed(gap.lo, places(gap))}, {formats.signed(gap.hi, places(gap))}]"


def p(found: MetricFinding) -> str:
    """Return the adjusted p-value, or a dash where there is none."""
    return formats.DASH if found.p is None else formats.significant(found.p, 2)


def effect(found: MetricFinding) -> str:
    """Return the effect with its interval."""
    gap = found.effect
    return formats.DASH if gap.value is None else f"{shift(gap)} {interval(gap)}"


def relative(found: MetricFinding) -> str:
    """Return the relative change in per cent."""
    return formats.DASH if found.relative is None else f"{100 * found.relative:+.1f} %"


def clusters_won(found: MetricFinding) -> str:
    """Return in how many clusters each side is better."""
    if found.places is None:
        return formats.DASH
    count = found.places.count
    return f"A {count.a}, B {count.b}" + (f", neither {count.ties}" if count.ties else "")


def named(gaps: tuple[ClusterGap, ...]) -> str:
    """Return clusters with their differences."""
    return ", ".join(f"{g.cluster} ({formats.signed(g.difference, 3)})" for g in gaps) or formats.DASH


def margin(found: MetricFinding) -> str:
    """Return whether A is no worse than B by the margin that was asked about; empty where none was."""
    if found.margin is None:
        return ""
    said = {"pass": "yes", "fail": "no, it is worse", "inconclusive": "cannot be told"}[found.margin.verdict]
    return f"A no worse than B by {found.margin.tolerance:g}: {said}"


def needed(found: MetricFinding) -> str:
    """Return how much data would see the difference that was asked about; empty where none was."""
    if found.needed is None:
        return ""
    clusters = "no number of" if found.needed.clusters is None else str(found.needed.clusters)
    seeds = "no number of" if found.needed.seeds is None else str(found.needed.seeds)
    return f"to see {found.needed.delta:g}: {clusters} clusters at these seeds, or {seeds} seeds at these clusters"


def l0(table: TableFinding) -> str:
    """Return the two L0; empty where the track has no codes."""
    if table.l0_a is None or table.l0_b is None:
        return ""
    said = f"L0 (active latents per token): A {table.l0_a:.4g}, B {table.l0_b:.4g}"
    return said if table.matched else f"UNMATCHED: {said}, more than 5 % apart; no side is called better"


def size(table: TableFinding) -> str:
    """Return how much data is behind a table."""
    seeds = f"{table.seeds_a}" if table.seeds_a == table.seeds_b else f"{table.seeds_a} (A) and {table.seeds_b} (B)"
    return f"{table.clusters} clusters, {seeds} seed{'' if seeds == '1' else 's'}"


def standing(table: TableFinding) -> str:
    """Return the verdicts of a table, counted."""
    verdicts = dict.fromkeys(("A better", "B better", *(found.verdict for found in table.metrics)))
    counts = [f"{name} on {table.count(name)}" for name in verdicts if table.count(name)]
    return f"{', '.join(counts)} of {len(table.metrics)} metrics" if counts else "no metric to compare"


def title(comparison: Comparison, table: TableFinding) -> str:
    """Return what a table of a comparison is called."""
    several = sum(other.task == table.task and other.row == table.row for other in comparison.tables) > 1
    name = f"{table.task} ({table.table[:8]})" if several else table.task
    return f"{name}: {table.row}" if table.row else name
