"""What a comparison says: plain data only. ``a`` and ``b`` are the two sides in the order they were given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.board.rows import Problem
from harness.stats.paired import Verdict as NonInferiority

Side = Literal["A", "B"]
Verdict = Literal[
    "A better",
    "B better",
    "no difference seen",
    "unmatched L0",
    "too few seeds",
    "diagnostic",
    "no interval",
    "no value",
]


@dataclass(frozen=True)
class Gap:
    """A difference ``A - B`` in some unit, with its 95 % interval; what is None has a ``reason``."""

    value: float | None
    lo: float | None
    hi: float | None
    how: str
    reason: str | None = None

    @property
    def excludes_0(self) -> bool:
        """Whether there is an interval and 0 lies outside of it."""
        return self.lo is not None and self.hi is not None and (self.lo > 0 or self.hi < 0)


@dataclass(frozen=True)
class Margin:
    """Whether A is no worse than B by ``tolerance``: one-sided, 95 %."""

    tolerance: float
    verdict: NonInferiority


@dataclass(frozen=True)
class Needed:
    """How much data would see a true difference of ``delta`` with 80 % power; None where no amount would."""

    delta: float
    clusters: int | None
    seeds: int | None


@dataclass(frozen=True)
class ClusterGap:
    """One cluster: its number, what it adds to ``A - B``, and the tokens (or items) it holds."""

    cluster: int
    difference: float
    tokens: float


@dataclass(frozen=True)
class Count:
    """In how many clusters each side is better, and in how many neither."""

    a: int
    b: int
    ties: int


@dataclass(frozen=True)
class ClassGap:
    """The clusters of one class (a domain, a label): the mean of what they add, with a t interval over them.

    Classes are looked at after the fact and not adjusted for: they say where to look, and decide nothing.
    """

    name: str
    count: Count
    difference: Gap


@dataclass(frozen=True)
class Places:
    """Where each side wins: counts, the clusters with the largest differences for each side, and classes."""

    count: Count
    for_a: tuple[ClusterGap, ...]
    for_b: tuple[ClusterGap, ...]
    classes: tuple[ClassGap, ...]


@dataclass(frozen=True)
class MetricFinding:
    """One metric on one table.

    Attributes:
        difference: ``A - B`` in the metric's unit, paired over clusters, seeds unrelated; over seeds alone (Welch)
            where the metric has no value per cluster.
        p: adjusted within the table; None where the metric is not tested, as none is with too few seeds.
        effect: the difference over its standard deviation between clusters (``d_z``), or, for a metric over seeds,
            over the pooled standard deviation between seeds (Cohen's d).
        relative: ``(A - B) / |B|``; None where B is 0.
        detectable: the least true difference that is seen with 80 % power at this size, before adjustment.
        places: where each side wins; None for metrics over seeds and where there is no difference to divide.
        why: why the verdict is none of better, worse or no difference seen, or what qualifies it.
    """

    metric: str
    unit: str
    direction: Literal["up", "down"]
    over: Literal["clusters", "seeds"]
    a: float | None
    b: float | None
    difference: Gap
    p: float | None
    effect: Gap
    relative: float | None
    detectable: float | None
    verdict: Verdict
    why: str | None = None
    places: Places | None = None
    margin: Margin | None = None
    needed: Needed | None = None

    @property
    def better(self) -> Side | None:
        """The side that the verdict says is better."""
        return {"A better": "A", "B better": "B"}.get(self.verdict)  # type: ignore[return-value]

    @property
    def sign(self) -> int:
        """+1 where a positive difference means that A is better."""
        return 1 if self.direction == "up" else -1


@dataclass(frozen=True)
class TableFinding:
    """Two rows of one table, compared.

    Attributes:
        key: unique in the comparison, fit for an anchor.
        row: what is compared, where it is one method of two folders; empty where A and B are the methods.
        l0_a: mean active latents per token; None where the track has no codes.
        matched: whether the two L0 are within 5 %; True where there are none.
        notes: what a reader has to know before the numbers.
        left_out: metrics that are not compared, and why.
    """

    key: str
    task: str
    title: str
    table: str
    row: str
    seeds_a: int
    seeds_b: int
    clusters: int
    l0_a: float | None
    l0_b: float | None
    matched: bool
    notes: tuple[str, ...]
    metrics: tuple[MetricFinding, ...]
    left_out: tuple[tuple[str, str], ...]

    def count(self, verdict: Verdict) -> int:
        """Return how many metrics have a verdict."""
        return sum(found.verdict == verdict for found in self.metrics)


@dataclass(frozen=True)
class Comparison:
    """A against B, on every table that has both.

    Attributes:
        a: what A is: the label of a method, or a folder.
        kind: whether A and B are methods of one folder or two folders.
        unpaired: what one side has alone, in words.
        problems: files that could not be used.
    """

    a: str
    b: str
    kind: Literal["methods", "folders"]
    tables: tuple[TableFinding, ...]
    unpaired: tuple[str, ...]
    problems: tuple[Problem, ...]
