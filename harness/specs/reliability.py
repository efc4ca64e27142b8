"""Reliability cards: what is known about a metric on a task, one JSON file each: ``CARDS/TASK/METRIC.json``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.content import PACKAGE
from harness.errors import UserError
from harness.metrics.contract import Metric

SCHEMA = 1
# Cards that come with the package.
PACKAGED = PACKAGE / "metrics" / "cards"


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_Plain):
    """One property that was tried.

    Attributes:
        value: what was found; ``lo`` and ``hi`` are its interval, where it has one.
        threshold: what the value was held against, as ``rule`` says.
        passed: None where the check does not apply, could not be tried, or its evidence decides nothing (``reason``).
        reason: why there is no verdict, or what stands behind one.
        rule: the rule in words.
        decides: whether a failure makes the metric diagnostic; else the check is for information.
    """

    value: float | None
    lo: float | None = None
    hi: float | None = None
    threshold: float | None = None
    passed: bool | None
    reason: str | None = None
    rule: str = ""
    decides: bool = True


class CardProvenance(_Plain):
    """What would be needed to make the card again."""

    command: str
    version: str
    commit: str | None
    dirty: bool | None
    finished: str


class ReliabilityCard(_Plain):
    """What an audit found about one metric on one task.

    Attributes:
        metric: name; the card holds only for this ``version`` of it.
        task: where it was audited.
        table: hash of the resolved task.
        verdict: ``diagnostic`` where a check that decides failed: boards show the metric and neither rank nor margin.
        methods: the methods it was audited on, seeds behind each name.
        left_out: why other methods were not among them, as a board would not rank them.
        checks: by name, in the order they are shown; ``harness.audits`` says what each of them is.
        detectable: the least true difference between two methods that is told apart with 80 % power, by seeds; None
            where so many cannot tell.
    """

    schema_version: int = SCHEMA
    metric: str
    version: int
    task: str
    table: str
    verdict: Literal["reliable", "diagnostic"]
    methods: dict[str, int] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)
    checks: dict[str, Check]
    detectable: dict[int, float | None]
    provenance: CardProvenance

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed and decide."""
        return tuple(name for name, check in self.checks.items() if check.passed is False and check.decides)


def card_path(cards: Path, task: str, metric: str) -> Path:
    """Return where a card lies under a folder of cards."""
    return cards / task / f"{metric}.json"


# By task, table and metric.
Cards = Mapping[tuple[str, str, str], ReliabilityCard]


def cards_of(*folders: Path) -> Cards:
    """Return the cards that come with the package and those in ``FOLDER/cards``, which win. Raises ``UserError``."""
    return read_cards([PACKAGED, *(folder / "cards" for folder in folders)])


def read_cards(folders: Iterable[Path]) -> Cards:
    """Return the cards of several folders of cards; a later folder wins. Raises ``UserError``."""
    return {(card.task, card.table, card.metric): card for folder in folders for card in _cards(folder)}


def own_card(cards: Cards, metric: Metric, task: str, table: str) -> ReliabilityCard | None:
    """Return the card of a metric, in this version, on this very table."""
    card = cards.get((task, table, metric.name))
    return card if card is not None and card.version == metric.version else None


def diagnostic(cards: Cards, metric: Metric, task: str, table: str) -> str | None:
    """Return why a metric has neither ranks nor margins in a table, or None.

    The table's own card decides, where there is one for this version of the metric; without one, a card that fails
    anywhere else does: nobody has shown that the metric can be trusted here.
    """
    own = own_card(cards, metric, task, table)
    found = [own] if own else [card for card in cards.values() if (card.metric, card.version) == _id(metric)]
    failing = sorted((card for card in found if card.verdict == "diagnostic"), key=lambda card: (card.task, card.table))
    if not failing:
        return None
    checks = ", ".join(failing[0].failed) or "a check"
    tasks = ", ".join(dict.fromkeys(card.task for card in failing))
    where = "in this table" if own else f"on {tasks}, and it is not audited in this table"
    return f"its reliability card fails {checks} {where}"


def _id(metric: Metric) -> tuple[str, int]:
    return metric.name, metric.version


def _cards(folder: Path) -> Iterator[ReliabilityCard]:
    for path in sorted(folder.glob("*/*.json")):
        try:
            card = ReliabilityCard.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, ValidationError) as error:
            raise UserError(f"{path} is not a reliability card: {str(error).splitlines()[0]}") from error
        if card.schema_version != SCHEMA or path != card_path(folder, card.task, card.metric):
            raise UserError(
                f"{path} is not where the card of {card.metric} on {card.task} belongs, or of another schema"
            )
        yield card
