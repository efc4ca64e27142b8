"""The whole report as Markdown, and its verdicts as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.board.escaping import inert
from harness.reporting.steering import words
from harness.reporting.steering.arms import SHOWN
from harness.reporting.steering.findings import (
    Arm,
    Findings,
    Pair,
    Ranking,
    Response,
    Shares,
    Table,
    Texts,
    Written,
)
from harness.reporting.steering.marking import split
from harness.reporting.writing import ROLES, code, grid

COLUMNS = ("task", "arm", "role", "verdict", "because", "choice")
_DOSES = (
    "dose", "strength", "mean ln p", "change", "hm on val", "accuracy on val", "words on val", "chosen",
)  # fmt: skip


def lines(findings: Findings) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return the verdicts as a table."""
    rows = [
        [table.task, arm.label, arm.role or "", arm.verdict, arm.reason, arm.choice]
        for table in findings.tables
        for arm in table.arms
    ]
    return COLUMNS, rows


def markdown(findings: Findings) -> str:
    """Return everything as Markdown in which no text of a record is markup."""
    parts = [f"# {words.TITLE}", ""]
    for table in findings.tables:
        parts += _table(table)
    parts += ["## Published figures: quoted, never ranked", ""]
    for shares in findings.shares:
        parts += _shares(shares)
    for ranking in findings.rankings:
        parts += _ranking(ranking)
    parts += ["## How to read this", "", *(f"- {said}" for said in words.READING)]
    parts += [f"- {verdict}: {meaning}." for verdict, meaning in words.MEANINGS.items()]
    return "\n".join([*parts, ""])


def _table(table: Table) -> Iterator[str]:
    yield from (f"## {inert(table.title)}", "", f"{inert(table.task)}: {inert(words.size(table))}.", "")
    yield from ("### Verdicts", "")
    verdicts = [[_label(one), f"**{one.verdict}**", inert(one.reason), inert(one.choice)] for one in table.arms]
    yield from grid(("arm", "verdict", "because", "choice"), verdicts)
    yield from ("### Arms in numbers", "")
    heads = ("arm", *(words.HEADS[name] for name in SHOWN), "helped", "harmed", "p", "seeds")
    yield from grid(heads, [_arm(arm, table) for arm in table.arms])
    for gap in table.missing:
        yield from (f"{inert(words.gap(gap))}.", "", f"- {code(gap.command)}", "")
    yield from ("### Dose–response", "")
    for response in table.responses:
        yield from _response(response)
    yield from ("### Side by side", "", inert(words.words(table)), "")
    for texts in table.texts:
        yield from _texts(texts, table.words)
    yield from (*(f"- {inert(note)}" for note in table.notes), "")


def _label(found: Arm | Response | Texts) -> str:
    return inert(found.label) + ROLES.get(found.role, "")


def _arm(arm: Arm, table: Table) -> list[str]:
    figures = [words.figure(arm.metrics[name], name in words.SIGNED) for name in SHOWN]
    counts = [f"{words.count(one, table)}, {words.figure(one.share)}" for one in (arm.helped, arm.harmed)]
    return [_label(arm), *figures, *counts, words.p(arm), str(arm.seeds)]


def _response(found: Response) -> Iterator[str]:
    yield from (f"#### {_label(found)}", "", f"{inert(words.response(found))}.", "")
    if found.points:
        start = ["0", "", words.figure(found.start), "", "", "", "", ""]
        rows = [
            [
                words.number(one.dose), words.number(one.strength), words.figure(one.level),
                words.figure(one.change, True), words.number(one.hm), words.number(one.accuracy),
                words.number(one.reflect_rate), words.chosen(one, found),
            ]
            for one in found.points
        ]  # fmt: skip
        yield from grid(_DOSES, [start, *rows])


def _texts(found: Texts, spelled: Sequence[str]) -> Iterator[str]:
    yield from (f"#### {_label(found)}", "", f"{inert(words.outcomes(found))}.", "")
    for pair in found.pairs:
        yield from _pair(pair, spelled)


def _pair(pair: Pair, spelled: Sequence[str]) -> Iterator[str]:
    yield f"- **{pair.outcome}**: problem {inert(pair.problem)}, answer {inert(pair.label)}: {inert(pair.prompt)}"
    clean = f"as it is: {_written(pair.clean, spelled)}" if pair.clean else f"as it is: {words.NO_CLEAN}"
    yield f"  - {clean}"
    yield f"  - steered: {_written(pair.steered, spelled)}"
    yield ""


def _written(found: Written, spelled: Sequence[str]) -> str:
    pieces = (f"**{inert(piece)}**" if word else _between(piece) for piece, word in split(found.text, spelled))
    return f"({words.right(found)}, {words.hits(found)}) {''.join(pieces)}"


def _between(piece: str) -> str:
    """Escape a piece of text, with a space for the blanks at either end."""
    ends = (" " if piece[:1].isspace() else "", " " if piece[-1:].isspace() else "")
    return f"{ends[0]}{inert(piece)}{ends[1]}"


def _shares(found: Shares) -> Iterator[str]:
    yield from (f"### {inert(found.label)}", "", f"{inert(found.source)}. {inert(found.setting)}.", "")
    heads = [head for name in found.benchmarks for head in (f"{name}, %", "thousand tokens")]
    rows = [
        [row.label]
        + [
            text
            for share, tokens in zip(row.shares, row.tokens, strict=True)
            for text in (f"{words.share(share)} {words.share_ends(share)}", f"{tokens:.1f}")
        ]
        for row in found.rows
    ]
    yield from grid(("row (quoted)", *heads), rows)
    yield from (inert(found.note), "")


def _ranking(found: Ranking) -> Iterator[str]:
    yield from (f"### {inert(found.label)}", "", f"{inert(found.source)}. {inert(found.setting)}.", "")
    yield from grid(
        ("row (quoted)", *found.columns), [[row.label, *map(words.score, row.scores)] for row in found.rows]
    )
    yield from (inert(found.note), "")
