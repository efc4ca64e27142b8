"""Published figures on steering: quoted beside what was measured, with intervals, and never ranked with it."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

from pydantic import Field

from harness.reporting.steering.findings import Ranked, Ranking, Share, Shares, Steered
from harness.specs.checking import check
from harness.specs.reading import read_yaml
from harness.specs.strict import Count, Level, Strict
from harness.stats.proportions import wilson

FILE = Path(__file__).resolve().parent / "published.yaml"
# Beyond it a normal deviate is significant at 5 %, two-sided.
SIGNIFICANT = 1.959964


class Figures(Strict):
    """One row: right answers in percent and thousands of tokens, by benchmark."""

    percent: tuple[Level, ...]
    tokens: tuple[Level, ...]


class SharesFile(Strict):
    """A table of shares."""

    label: str
    source: str
    setting: str
    baseline: str = Field(description="the row that others are held against")
    screened: str = Field(description="the benchmark that rows were chosen on")
    benchmarks: dict[str, Count] = Field(description="problems of each")
    rows: dict[str, Figures]


class RankingFile(Strict):
    """A table of scores."""

    label: str
    source: str
    setting: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[Level | None, ...]]
    note: str


class File(Strict):
    """All of it."""

    shares: tuple[SharesFile, ...]
    rankings: tuple[RankingFile, ...]


@cache
def published(path: Path = FILE) -> tuple[tuple[Shares, ...], tuple[Ranking, ...]]:
    """Return the tables of shares and the rankings. Raises ``UserError`` on a wrong file."""
    found = check(read_yaml(path), File, "file of published figures")
    return tuple(map(_shares, found.shares)), tuple(map(_ranking, found.rankings))


def _shares(found: SharesFile) -> Shares:
    sizes = tuple(found.benchmarks.values())
    rows = tuple(
        Steered(
            label,
            tuple(share_of(percent, n) for percent, n in zip(figures.percent, sizes, strict=True)),
            figures.tokens,
        )
        for label, figures in found.rows.items()
    )
    return Shares(found.label, found.source, found.setting, tuple(found.benchmarks), rows, _note(found, rows))


def share_of(percent: float, n: int) -> Share:
    """Return the share whose count of ``n`` comes nearest to so many percent, with Wilson's interval."""
    right = round(percent * n / 100)
    return Share(right, n, right / n, *wilson(right, n))


def _note(found: SharesFile, rows: tuple[Steered, ...]) -> str:
    baseline = next(row for row in rows if row.label == found.baseline)
    deviates = {
        (row.label, benchmark): deviate(own, base)
        for row in rows
        if row is not baseline
        for benchmark, own, base in zip(found.benchmarks, row.shares, baseline.shares, strict=True)
    }
    (label, benchmark), largest = max(deviates.items(), key=lambda one: abs(one[1]))
    alone = sum(abs(z) > SIGNIFICANT for z in deviates.values())
    said = "no row is significant alone" if alone == 0 else f"{alone} of {len(deviates)} are significant alone"
    return (
        f"Intervals are Wilson's, of the problems of each benchmark. Held against {found.baseline} as two independent "
        f"shares, {said}: of {len(deviates)} comparisons the largest |z| is {abs(largest):.2f} ({label}, {benchmark}; "
        f"{SIGNIFICANT:.2f} would be needed). The latents were screened on {found.screened}, so its column shows what "
        "a choice among many gives. Which problems changed was not published, so nothing here can be paired."
    )


def deviate(own: Share, base: Share) -> float:
    """Return the normal deviate of the difference of two independent shares, with their pooled variance."""
    pooled = (own.right + base.right) / (own.n + base.n)
    return (own.share - base.share) / math.sqrt(pooled * (1 - pooled) * (1 / own.n + 1 / base.n))


def _ranking(found: RankingFile) -> Ranking:
    rows = tuple(Ranked(label, scores) for label, scores in found.rows.items())
    return Ranking(found.label, found.source, found.setting, found.columns, rows, found.note)
