"""What a report on error probes finds: plain data, the same for the page, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.reporting.contract import Measure

Verdict = Literal["yes", "no", "undecided", "not measured"]


@dataclass(frozen=True)
class Versus:
    """AUROC of a row less that of a control, on the same answers: at 95 %, and at the level of all that is judged."""

    control: str
    margin: Measure
    adjusted: Measure


@dataclass(frozen=True)
class Score:
    """One row: its metrics by name, and its margin over every floor; ``adjusted`` ones hold with all that is judged."""

    label: str
    role: str | None
    metrics: Mapping[str, Measure]
    adjusted: Mapping[str, Measure]
    versus: tuple[Versus, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """A number of the probe, and the same under labels that groups have exchanged."""

    own: Measure
    null: Measure


@dataclass(frozen=True)
class Block:
    """One block of the model at one position: what its features tell alone, and what is lost without them.

    Attributes:
        alone: AUROC of the probe on these features alone.
        drop: AUROC of the whole probe less that without these features.
        above: features above the permutation threshold of ``|d|``; under exchanged labels the mean.
        top: of the hundred features with the largest ``|d|``; under exchanged labels the mean.
        leads: whether no other block is told to be better alone (adjusted p of all pairs below .05).
    """

    layer: str
    position: str
    alone: Shown
    drop: Shown
    above: Shown
    top: Shown
    leads: bool | None


@dataclass(frozen=True)
class Localisation:
    """Blocks in reading order, layer by layer; ``informative`` ones have a lower bound of AUROC above one half."""

    label: str
    layers: tuple[str, ...]
    positions: tuple[str, ...]
    blocks: tuple[Block, ...]
    informative: int | None
    informative_null: int | None
    reason: str | None = None


@dataclass(frozen=True)
class Feature:
    """A feature's effect size; where the record holds them, AUROC and ``P(fires | wrong) - P(fires | right)``."""

    index: int
    place: str
    d: float
    g: float
    above: bool
    auroc: float | None
    fire_gap: float | None


@dataclass(frozen=True)
class Effects:
    """Effect sizes of every feature of a probe beside what the largest is by chance.

    Attributes:
        features: how many were read.
        constant: how many do not vary, and have no effect size.
        largest: largest ``|d|``.
        threshold: 95th percentile of the largest ``|d|`` under exchanged labels.
        null: 2.5th percentile, median and 97.5th percentile of it; None in records that do not hold it.
        above: features above the threshold.
        mean_top: mean of the hundred largest, and the same under exchanged labels; None where the record has none.
        edges: of the bars.
        counts: features in each bar of ``|d|``.
        top: the largest ten.
    """

    label: str
    features: int
    constant: int
    largest: float | None
    threshold: float | None
    null: tuple[float, float, float] | None
    above: int
    mean_top: tuple[float, float] | None
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    top: tuple[Feature, ...]
    reason: str | None = None


@dataclass(frozen=True)
class Bin:
    """Answers whose probability lies between ``lo`` and ``hi``: how many, the mean of it, and the share wrong."""

    lo: float
    hi: float
    n: int
    mean: float | None
    share: Measure


@dataclass(frozen=True)
class Calibration:
    """How often answers are wrong that are said to be so with some probability."""

    label: str
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Example:
    """One answer, what the probe said of it, and what every floor said."""

    group: str
    author: str | None
    prompt: str
    answer: str
    label: str
    p: float
    said: Mapping[str, float]
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Examples:
    """How the probe decided at one half, and the answers it was surest of, for each way to be right or wrong.

    Attributes:
        counts: answers by kind: caught, missed, false alarm, passed.
        kinds: examples by kind.
        reason: why there is no text.
    """

    label: str
    counts: Mapping[str, int]
    kinds: Mapping[str, tuple[Example, ...]]
    reason: str | None = None


@dataclass(frozen=True)
class Conclusion:
    """A question, what the evidence says, and the number it says it by; whether a yes speaks for the method."""

    label: str
    question: str
    verdict: Verdict
    because: str
    praise: bool = True


@dataclass(frozen=True)
class Table:
    """Everything about one table."""

    task: str
    title: str
    table: str
    model: str
    data: str
    answers: int
    groups: int
    wrong: float
    level: float
    comparisons: int
    scores: tuple[Score, ...]
    localisations: tuple[Localisation, ...]
    effects: tuple[Effects, ...]
    calibrations: tuple[Calibration, ...]
    examples: tuple[Examples, ...]
    conclusions: tuple[Conclusion, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Quote:
    """A figure as it was published, and what this analysis says of it."""

    figure: str
    published: str
    analysed: str


@dataclass(frozen=True)
class Published:
    """Figures of others under this analysis: quoted, never ranked."""

    label: str
    source: str
    setting: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True)
class Findings:
    """The whole report."""

    tables: tuple[Table, ...]
    published: tuple[Published, ...]
