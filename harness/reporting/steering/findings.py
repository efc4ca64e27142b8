"""What the report on steering finds: plain data, the same for the page, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.reporting.contract import Measure

Outcome = Literal["helped", "harmed", "unchanged"]
Gap = Literal["control", "arm"]


@dataclass(frozen=True)
class Count:
    """Problems of a kind, the mean over seeds, and their share with its interval."""

    problems: float
    share: Measure


@dataclass(frozen=True)
class Arm:
    """One row: what it changed, and what it comes to.

    Attributes:
        label: of the row.
        role: of a control; None for a contestant.
        seeds: fits behind it.
        verdict: in a word.
        reason: the numbers it was reached by.
        choice: how strong it was and where that was chosen, in words.
        metrics: by name.
        helped: wrong without the edit and right under it.
        harmed: the reverse.
        p: exact p-value that as many are helped as harmed (McNemar); None where problems hang together or the row has
            several seeds.
    """

    label: str
    role: str | None
    seeds: int
    verdict: str
    reason: str
    choice: str
    metrics: Mapping[str, Measure]
    helped: Count
    harmed: Count
    p: float | None


@dataclass(frozen=True)
class Point:
    """One dose that was tried; of several seeds the mean.

    Attributes:
        strength: in the method's own unit; None where it has none that is finite.
        dose: where it stands on the axis; None where that is not finite.
        level: mean ln p that a word of the task begins, over the test problems.
        change: of it, against the model as it is.
        hm, accuracy, reflect_rate: on validation problems, by which a dose was chosen.
        chosen: in so many seeds.
    """

    strength: float | None
    dose: float | None
    level: Measure
    change: Measure
    hm: float | None
    accuracy: float | None
    reflect_rate: float | None
    chosen: int


@dataclass(frozen=True)
class Response:
    """The dose–response of one row.

    Attributes:
        unit: of its doses, in words.
        start: mean ln p of the model as it is.
        points: the weakest dose first.
        slope: per unit of the dose.
        random: slopes of the random directions, per unit of the same dose.
        reason: why there is nothing to draw.
    """

    label: str
    role: str | None
    seeds: int
    unit: str
    start: Measure
    points: tuple[Point, ...]
    slope: Measure
    random: tuple[float, ...]
    reason: str | None = None


@dataclass(frozen=True)
class Written:
    """What was written for a problem: whether it is right, and how often it holds a word of the task."""

    text: str
    right: bool | None
    hits: float | None


@dataclass(frozen=True)
class Pair:
    """One problem: what the model writes as it is (None where that was not kept), and under an arm."""

    problem: str
    prompt: str
    label: str
    outcome: Outcome
    clean: Written | None
    steered: Written


@dataclass(frozen=True)
class Texts:
    """Generations of one row beside those of the model as it is: how many of each outcome, and the first of each."""

    label: str
    role: str | None
    counts: Mapping[Outcome, int]
    pairs: tuple[Pair, ...]
    reason: str | None = None


@dataclass(frozen=True)
class Missing:
    """What a table lacks, and what measures it: a command, or why there is none."""

    kind: Gap
    labels: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class Table:
    """Everything about one table.

    ``positions``: which activations were changed, in words. ``words`` are the spellings that are marked in texts, or
    ``unmarked`` says why none is.
    """

    task: str
    title: str
    table: str
    model: str
    layer: str
    positions: str
    problems: int
    clusters: int
    validation: int
    words: tuple[str, ...]
    unmarked: str | None
    arms: tuple[Arm, ...]
    responses: tuple[Response, ...]
    texts: tuple[Texts, ...]
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Share:
    """A published share with Wilson's interval of as many right answers of ``n``."""

    right: int
    n: int
    share: float
    lo: float
    hi: float


@dataclass(frozen=True)
class Steered:
    """A published row: a share for every benchmark, and thousands of tokens of a trace."""

    label: str
    shares: tuple[Share, ...]
    tokens: tuple[float, ...]


@dataclass(frozen=True)
class Shares:
    """A published table of shares; ``note`` says what this analysis adds."""

    label: str
    source: str
    setting: str
    benchmarks: tuple[str, ...]
    rows: tuple[Steered, ...]
    note: str


@dataclass(frozen=True)
class Ranked:
    """A published row of scores, by column; None where none was given."""

    label: str
    scores: tuple[float | None, ...]


@dataclass(frozen=True)
class Ranking:
    """A published ranking."""

    label: str
    source: str
    setting: str
    columns: tuple[str, ...]
    rows: tuple[Ranked, ...]
    note: str


@dataclass(frozen=True)
class Findings:
    """The whole report; what is quoted is never ranked with what was measured."""

    tables: tuple[Table, ...]
    shares: tuple[Shares, ...]
    rankings: tuple[Ranking, ...]
