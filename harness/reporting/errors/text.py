"""The whole report as Markdown, and its conclusions as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.board import formats
from harness.board.escaping import inert
from harness.reporting.contract import Measure
from harness.reporting.errors.decisions import TOLD
from harness.reporting.errors.findings import (
    Calibration,
    Effects,
    Example,
    Examples,
    Findings,
    Localisation,
    Score,
    Shown,
    Table,
)
from harness.reporting.errors.summary import BESIDE, RANKED
from harness.reporting.errors.words import READING, adjusted, controls, count, figure, notes, size, threshold
from harness.reporting.writing import grid, signed

COLUMNS = ("task", "method", "question", "verdict", "because")
_PLACES = (
    "place", "AUROC alone", "exchanged labels", "drop without", "exchanged labels", "above", "exchanged labels",
    "of the top 100", "exchanged labels",
)  # fmt: skip


def lines(findings: Findings) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return the conclusions as a table."""
    rows = [[t.task, c.label, c.question, c.verdict, c.because] for t in findings.tables for c in t.conclusions]
    return COLUMNS, rows


def markdown(findings: Findings, rules: Sequence[str]) -> str:
    """Return everything as Markdown in which no text of a record is markup."""
    parts = ["# Which answers are wrong", ""]
    for table in findings.tables:
        parts += _table(table)
    parts += _published(findings)
    parts += ["## How to read this", "", *(f"- {text}" for text in (*READING, *rules)), ""]
    return "\n".join(parts)


def _table(table: Table) -> Iterator[str]:
    yield from (f"## {inert(table.title)}", "", f"{inert(table.task)}: {inert(size(table))}.", "")
    yield from ("### Conclusions", "", f"{adjusted(table)}.", "")
    yield from grid(
        COLUMNS[1:],
        [[inert(c.label), inert(c.question), f"**{c.verdict}**", inert(c.because)] for c in table.conclusions],
    )
    yield from ("### Scores", "")
    over = controls(table)
    yield from grid(
        ("row", RANKED, *(f"over {inert(name)}" for name in over), *BESIDE), [_score(s, over) for s in table.scores]
    )
    yield from (*(f"- {inert(note)}" for note in notes(table)), "")
    of_method = zip(table.localisations, table.effects, table.calibrations, table.examples, strict=True)
    for place, sizes, calibrated, told in of_method:
        yield from (f"### {inert(sizes.label)}", "")
        yield from _localisation(place)
        yield from _effects(sizes)
        yield from _calibration(calibrated)
        yield from _examples(told)


def _score(score: Score, over: Sequence[str]) -> list[str]:
    margins = {one.control: signed(one.margin) for one in score.versus}
    beside = [figure(score.metrics[name]) for name in BESIDE]
    return [
        inert(score.label), figure(score.metrics[RANKED]), *(margins.get(n, formats.DASH) for n in over), *beside
    ]  # fmt: skip


def _localisation(found: Localisation) -> Iterator[str]:
    yield from ("#### Places", "")
    if found.reason:
        yield from (f"Not shown: {inert(found.reason)}.", "")
        return
    rows = []
    for block in found.blocks:
        name = f"{block.layer}, {block.position}{' (leads)' if block.leads else ''}"
        pairs = (
            _pair(block.alone, figure),
            _pair(block.drop, signed),
            _pair(block.above, count),
            _pair(block.top, count),
        )
        rows.append([inert(name), *(text for pair in pairs for text in pair)])
    yield from grid(_PLACES, rows)


def _pair(shown: Shown, write: Callable[[Measure], str]) -> tuple[str, str]:
    return write(shown.own), write(shown.null)


def _effects(found: Effects) -> Iterator[str]:
    yield from ("#### Effect sizes", "", f"{inert(threshold(found))}.", "")
    if found.top:
        rows = [
            [
                str(f.index), inert(f.place), f"{f.d:+.3f}", f"{f.g:+.3f}", "yes" if f.above else "no",
                figure(Measure(f.auroc)), signed(Measure(f.fire_gap)),
            ]
            for f in found.top
        ]  # fmt: skip
        yield from grid(("feature", "place", "d", "g", "above the threshold", "AUROC", "fires more if wrong"), rows)


def _calibration(found: Calibration) -> Iterator[str]:
    yield from ("#### Calibration", "")
    rows = [
        [f"{one.lo:.1f} to {one.hi:.1f}", str(one.n), figure(Measure(one.mean)), figure(one.share)]
        for one in found.bins
    ]
    yield from grid(("P(wrong)", "answers", "mean", "share wrong"), rows)


def _examples(found: Examples) -> Iterator[str]:
    yield from ("#### Examples", "", f"{', '.join(f'{kind}: {n}' for kind, n in found.counts.items())}.", "")
    if found.reason:
        yield from (f"No texts: {inert(found.reason)}.", "")
    for kind in TOLD:
        for one in found.kinds.get(kind, ()):
            yield from _example(kind, one)


def _example(kind: str, one: Example) -> Iterator[str]:
    said = "".join(f", {inert(name)} {p:.3f}" for name, p in one.said.items())
    author = f", by {inert(one.author)}" if one.author else ""
    yield f"- **{kind}**: P(wrong) {one.p:.3f}{said}; label {inert(one.label)}{author}; group {inert(one.group)}"
    yield f"  - prompt: {inert(one.prompt)}"
    yield f"  - answer: {inert(one.answer)}"
    yield from (f"  - {inert(name)}: {value:.3f}" for name, value in one.numbers.items())
    yield ""


def _published(findings: Findings) -> Iterator[str]:
    yield from ("## A published probe under this analysis", "", "Quoted, never ranked.", "")
    for found in findings.published:
        yield from (f"**{inert(found.label)}** ({inert(found.source)}): {inert(found.setting)}.", "")
        rows = [[inert(q.figure), inert(q.published), inert(q.analysed)] for q in found.quotes]
        yield from grid(("figure", "as published", "under this analysis"), rows)
