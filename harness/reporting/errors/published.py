"""A published error probe under this analysis: its figures are quoted, and what noise gives is computed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field

from harness.reporting.errors.findings import Published, Quote
from harness.specs.checking import check
from harness.specs.reading import read_yaml
from harness.specs.strict import Count, Level, Strict
from harness.stats.noise import largest_by_chance
from harness.stats.proportions import wilson

FILE = Path(__file__).resolve().parent / "published.yaml"


class Figures(Strict):
    """What was published: counts of test answers, sizes of the probe, and where its largest effects lie."""

    label: str
    source: str
    setting: str
    right: Count = Field(description="test answers told rightly")
    test: Count
    train_accuracy: Level
    caught: Count
    missed: Count
    false_alarms: Count
    passed: Count
    wrong: Count = Field(description="rows of the effect sizes")
    correct: Count
    features: Count
    dead: Level = Field(description="share of the features that never fire")
    largest: Level = Field(description="largest |d|")
    top: Level = Field(description="mean of the hundred largest |d|")
    pairs: Count
    pairs_alike: Count = Field(description="pairs of near-duplicates with one label")
    layers: tuple[str, ...]
    tokens: tuple[str, ...]
    grid: tuple[tuple[int, ...], ...] = Field(description="of the hundred largest |d|, those at each layer and token")


@cache
def published(path: Path = FILE) -> tuple[Published, ...]:
    """Return the figures with what this analysis says of each. Raises ``UserError`` on a wrong file."""
    found = check(read_yaml(path), Figures, "file of published figures")
    quotes = (_accuracy(found), _decisions(found), _effects(found), _top(found), _location(found), _split(found))
    return (Published(found.label, found.source, found.setting, quotes),)


def _accuracy(found: Figures) -> Quote:
    lo, hi = wilson(found.right, found.test)
    majority = max(found.caught + found.missed, found.false_alarms + found.passed) / found.test
    share = found.right / found.test
    return Quote(
        "accuracy",
        f"{found.right}/{found.test} = {_percent(share)}; {_percent(found.train_accuracy)} on the answers it was "
        "fitted on",
        f"95 % interval [{_percent(lo)}, {_percent(hi)}] (Wilson, as if answers were independent); the larger class "
        f"has {_percent(majority)}. The gap of {100 * (found.train_accuracy - share):.1f} points is what more features "
        "than answers give.",
    )


def _decisions(found: Figures) -> Quote:
    right = found.false_alarms + found.passed
    return Quote(
        "errors of both kinds",
        f"of {found.caught + found.missed} wrong answers {found.caught} caught and {found.missed} missed; of {right} "
        f"right ones {found.false_alarms} flagged",
        f"false alarms for {found.false_alarms}/{right} = {found.false_alarms / right:.0%} of the right answers; the "
        "source has the names of false alarms and misses exchanged.",
    )


def _effects(found: Figures) -> Quote:
    noise = largest_by_chance(found.wrong, found.correct, found.features)
    alive = largest_by_chance(found.wrong, found.correct, round(found.features * (1 - found.dead)))
    where = "inside" if noise.lo <= found.largest <= noise.hi else "above" if found.largest > noise.hi else "below"
    return Quote(
        "largest |d|",
        f"{found.largest} of {found.features} features, {found.wrong} wrong and {found.correct} right answers",
        f"{where} what independent noise gives: mean {noise.mean:.3f}, 90 % from {noise.lo:.3f} to {noise.hi:.3f} "
        f"(without features that never fire: {alive.mean:.3f}, {alive.lo:.3f} to {alive.hi:.3f}). A finding would be "
        f"above {alive.hi:.3f}.",
    )


def _top(found: Figures) -> Quote:
    noise = largest_by_chance(found.wrong, found.correct, found.features)
    side = "below" if found.top < noise.top else "above"
    return Quote(
        f"mean of the {noise.top_k} largest |d|",
        f"{found.top}",
        f"{side} the {noise.top:.3f} that independent noise gives.",
    )


def _location(found: Figures) -> Quote:
    total = sum(map(sum, found.grid))
    layers = ", ".join(f"{name} {sum(row) / total:.0%}" for name, row in zip(found.layers, found.grid, strict=True))
    tokens = ", ".join(f"{name} {sum(row[i] for row in found.grid) / total:.0%}" for i, name in enumerate(found.tokens))
    return Quote(
        "where the hundred largest |d| lie",
        f"{layers}; {tokens}",
        f"no such table under exchanged labels was given. Where the largest effects are those of noise, the table says "
        f"where noise is largest, and that is not even where features that never fire, or that hang together, are not "
        f"spread evenly: an even share is {1 / len(found.layers):.0%} of a layer.",
    )


def _split(found: Figures) -> Quote:
    return Quote(
        "the split",
        f"rows at random; {found.pairs} problems in near-duplicate pairs, {found.pairs_alike} of them "
        f"({found.pairs_alike / found.pairs:.0%}) with one label",
        "the sibling of most test answers, with the same label, can be among those the probe was fitted on. What part "
        "of the accuracy is skill cannot be told from what was published; a split by groups would tell.",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
