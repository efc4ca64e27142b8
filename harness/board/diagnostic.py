"""Which metrics of a task are shown only: those whose reliability card fails."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.content import PACKAGE
from harness.metrics.contract import Metric
from harness.specs.reliability import ReliabilityCard, read_cards

# By task and metric.
Cards = Mapping[tuple[str, str], ReliabilityCard]


def cards_of(folder: Path) -> Cards:
    """Return the cards that come with the package and those in ``FOLDER/cards``, which win. Raises ``UserError``."""
    return read_cards([PACKAGE / "metrics" / "cards", folder / "cards"])


def diagnostic(cards: Cards, metric: Metric, task: str) -> str | None:
    """Return why a metric has neither ranks nor margins on a task, or None.

    The card of this task decides, where there is one for this version of the metric; without one, a card that fails on
    any other task does: nobody has shown that the metric can be trusted here.
    """
    found = [card for card in cards.values() if card.metric == metric.name and card.version == metric.version]
    own = [card for card in found if card.task == task]
    failing = sorted((card for card in own or found if card.verdict == "diagnostic"), key=lambda card: card.task)
    if not failing:
        return None
    checks = ", ".join(failing[0].failed) or "a check"
    here = "on this task" if own else f"on {', '.join(card.task for card in failing)}, and is not audited on this task"
    return f"diagnostic only: its reliability card fails {checks} {here}"
