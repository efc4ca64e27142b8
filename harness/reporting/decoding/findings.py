"""What the report on decoders finds: plain data, the same for the page, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.reporting.contract import Measure

# Units in which a share is written a hundredfold.
SHARES = ("%", "points")
Outcome = Literal["met", "missed", "undecided", "not measured"]
Beats = Literal["yes", "no", "undecided", "not measured"]


@dataclass(frozen=True)
class Where:
    """A table in words: the task, the block that was read, and the model."""

    task: str
    title: str
    table: str
    layer: str
    model: str


@dataclass(frozen=True)
class Reading:
    """One row held against one bar.

    Attributes:
        label: of the row.
        role: of a control; None for a contestant.
        where: task and block, in words.
        quantity: what was measured.
        found: value and interval, in the unit of the bar.
        outcome: by the whole interval.
        because: what has to be known to read the outcome; may be empty.
        seeds: fits behind it.
        records: files it was computed from, under the run folder.
    """

    label: str
    role: str | None
    where: str
    quantity: str
    found: Measure
    outcome: Outcome
    because: str
    seeds: int
    records: tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    """A level that was set before, and every row that was held against it.

    Attributes:
        key: short and unique.
        title: what is asked for.
        rule: the level in words.
        about: what is measured, and how it is judged.
        unit: of the level; shares are in ``%``, differences of shares in ``points``.
        readings: contestants first.
        commands: what measures it, where no contestant was measured; a command, or why there is none.
    """

    key: str
    title: str
    rule: str
    about: str
    unit: str
    readings: tuple[Reading, ...]
    commands: tuple[str, ...]

    @property
    def methods(self) -> tuple[Reading, ...]:
        """Readings of contestants."""
        return tuple(one for one in self.readings if one.role is None)

    @property
    def controls(self) -> tuple[Reading, ...]:
        """Readings of controls."""
        return tuple(one for one in self.readings if one.role is not None)


@dataclass(frozen=True)
class Row:
    """One row of a table: numbers by name, and what it cost. ``speed`` is tokens per second of the row alone.

    ``layer`` is the block it reads, where rows of several stand in one table.
    """

    label: str
    role: str | None
    seeds: int
    metrics: Mapping[str, Measure]
    speed: float | None = None
    peak_mb: float | None = None
    parameters: float | None = None
    layer: str = ""


@dataclass(frozen=True)
class Decoders:
    """Decoders of one task by block: the model itself first, then every row from the lowest block to the highest.

    ``vocabulary`` tokens are told apart, all where it is None; ``domain`` is the task they were fitted on.
    """

    where: Where
    domain: str | None
    vocabulary: int | None
    tokens: int
    clusters: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """Answers that the model writes or chooses, by row: unedited, or with activations replaced."""

    where: Where
    metrics: tuple[str, ...]
    items: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ArmChange:
    """Change of the held-out divergence under one arm, nats per token; below 0 the decoder came nearer."""

    arm: str
    what: str
    change: Measure


@dataclass(frozen=True)
class Regime:
    """One way of training under every arm, and what comes of it.

    Attributes:
        title: without a penalty, or with one.
        word: the verdict.
        reason: the numbers it was reached by.
        meaning: the verdict in a sentence.
        arms: every arm.
        over: the reward less another arm, by what that one is.
    """

    title: str
    word: str
    reason: str
    meaning: str
    arms: tuple[ArmChange, ...]
    over: tuple[ArmChange, ...]


@dataclass(frozen=True)
class Reward:
    """The control of one method's reward by one divergence, ``start`` being that before, nats per token."""

    where: Where
    label: str
    seeds: int
    beta: float | None
    divergence: str
    start: Measure
    vocabulary: int | None
    regimes: tuple[Regime, ...]
    records: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Moved:
    """One row in its own domain and out of it; ``kept`` is the share of agreement that is left."""

    label: str
    role: str | None
    kl: tuple[Measure, Measure]
    agree: tuple[Measure, Measure]
    kept: Measure
    drop: tuple[Measure, Measure]
    inferior: tuple[Outcome, Outcome]
    seeds: int


@dataclass(frozen=True)
class Domains:
    """A task on other texts beside the one its decoders were fitted on."""

    inside: Where
    outside: Where
    vocabulary: int | None
    rows: tuple[Moved, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Versus:
    """A row less another on one metric: positive favours the row. ``adjusted`` holds with all others of the table.

    ``role`` is that of the other.
    """

    label: str
    other: str
    role: str | None
    metric: str
    margin: Measure
    adjusted: Measure
    beats: Beats


@dataclass(frozen=True)
class Explained:
    """Explanations of single predictions: every row's numbers, and who is better than whom."""

    where: Where
    judged: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    versus: tuple[Versus, ...]
    comparisons: int
    level: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Anchor:
    """What arms end at, as a share of the start, under one penalty: smallest and largest over seeds."""

    penalty: str
    allowed: str
    ratios: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Anchors:
    """Why the penalty pulls to the start: the same world under three penalties."""

    setting: str
    start: float
    seeds: int
    rows: tuple[Anchor, ...]


@dataclass(frozen=True)
class Findings:
    """The whole report; ``missing`` names what was not measured by section, with the commands that measure it."""

    bars: tuple[Bar, ...]
    decoders: tuple[Decoders, ...]
    answers: tuple[Answers, ...]
    rewards: tuple[Reward, ...]
    domains: tuple[Domains, ...]
    explained: tuple[Explained, ...]
    anchors: Anchors
    missing: Mapping[str, tuple[str, ...]]
