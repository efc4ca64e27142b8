"""What was written under each arm, beside what the model writes as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.board.pool import Entry
from harness.board.printable import printable
from harness.reporting.contract import Source
from harness.reporting.rows import in_order
from harness.reporting.steering.arms import unedited
from harness.reporting.steering.findings import Outcome, Pair, Texts, Written
from harness.store.items import Item

# Of each outcome the first so many are shown, in the order of the problems.
LISTED = 4
OUTCOMES: tuple[Outcome, ...] = ("helped", "harmed", "unchanged")
_LEFT = "the texts did not come along with the records; boards leave them in the run folder"


def generations(source: Source) -> tuple[Texts, ...]:
    """Return the texts of every row that changes something, from its first seed."""
    clean = next((entry for entry in source.entries if unedited(entry)), None)
    beside = {} if clean is None else {item.id: item for item in source.stored(clean).items() or ()}
    return tuple(_texts(source, entry, beside) for entry in in_order(source) if not unedited(entry))


def _texts(source: Source, entry: Entry, beside: Mapping[str, Item]) -> Texts:
    stored = source.stored(entry)
    items = stored.items()
    if items is None:
        reason = "texts were not kept with these records" if stored.record.items_sha256 is None else _LEFT
        return Texts(entry.label, entry.role, {}, (), reason)
    by_outcome: dict[Outcome, list[Item]] = {name: [] for name in OUTCOMES}
    for item in items:
        by_outcome[outcome(item)].append(item)
    shown = [_pair(item, beside.get(item.id)) for some in by_outcome.values() for item in some[:LISTED]]
    return Texts(entry.label, entry.role, {name: len(some) for name, some in by_outcome.items()}, tuple(shown))


def outcome(item: Item) -> Outcome:
    """Say what steering did to one problem's answer."""
    return next((name for name in OUTCOMES if item.numbers.get(name)), "unchanged")


def _pair(item: Item, clean: Item | None) -> Pair:
    same = clean is not None and _same(item, clean)
    problem, prompt, label = (printable(text) for text in (item.id, item.prompt, item.label))
    return Pair(problem, prompt, label, outcome(item), _written(clean) if clean and same else None, _written(item))


def _same(item: Item, clean: Item) -> bool:
    """Say whether a text is the one that the other was held against, by what is counted of both."""
    counted: Sequence[str] = ("right", "tokens", "hits")
    alike = all(clean.numbers.get(name) == item.numbers.get(f"{name}_clean") for name in counted)
    return alike and clean.prompt == item.prompt


def _written(item: Item) -> Written:
    right, hits = item.numbers.get("right"), item.numbers.get("hits")
    return Written(printable(item.answer), None if right is None else right > 0, hits)
