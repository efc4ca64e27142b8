"""The whole report as Markdown, and its bars and verdicts as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.board.escaping import inert
from harness.reporting.decoding import words
from harness.reporting.decoding.baselines import SHOWN
from harness.reporting.decoding.findings import (
    Anchors,
    Answers,
    Bar,
    Decoders,
    Domains,
    Explained,
    Findings,
    Reading,
    Reward,
    Row,
)
from harness.reporting.writing import ROLES, code, grid, signed

COLUMNS = ("asked", "level", "row", "where", "found", "outcome", "record")


def lines(findings: Findings) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return bars and verdicts as a table; a bar without a number has the command that measures it."""
    rows = [row for bar in findings.bars for row in _bar_lines(bar)]
    for reward in findings.rewards:
        rows += [
            [
                "reward", f"{reward.divergence}, {regime.title}", reward.label, words.place(reward.where),
                signed(regime.arms[0].change),
                regime.word, _first(reward.records),
            ]
            for regime in reward.regimes
        ]  # fmt: skip
    for table in findings.explained:
        rows += [
            ["explanations", metric, label, words.place(table.where), "", standing, ""]
            for label, metric, standing in words.standings(table)
        ]
    return COLUMNS, rows


def _bar_lines(bar: Bar) -> Iterator[list[str]]:
    for one in bar.methods:
        found = words.figure(one.found, bar.unit)
        yield [bar.title, bar.rule, one.label, one.where, found, one.outcome, _first(one.records)]
    for command in bar.commands:
        yield [bar.title, bar.rule, "", "", "", words.NOT_MEASURED, command]


def _first(records: Sequence[str]) -> str:
    return "" if not records else records[0] + (f" and {len(records) - 1} more" if len(records) > 1 else "")


def markdown(findings: Findings) -> str:
    """Return everything as Markdown in which no text of a record is markup."""
    parts = [f"# {words.TITLE}", "", f"## {words.SECTIONS['bars']}", ""]
    for bar in findings.bars:
        parts += _bar(bar)
    sections = (
        ("decoders", [line for one in findings.decoders for line in _decoders(one)]),
        ("answers", [line for one in findings.answers for line in _answers(one)]),
        ("rewards", [line for one in findings.rewards for line in _reward(one)]),
        ("domains", [line for one in findings.domains for line in _domains(one)]),
        ("explained", [line for one in findings.explained for line in _explained(one)]),
    )
    for name, told in sections:
        parts += ["", f"## {words.SECTIONS[name]}", "", *(told or _lacking(findings.missing[name]))]
    parts += _anchors(findings.anchors)
    parts += ["", "## How to read this", "", *(f"- {text}" for text in words.READING), ""]
    return "\n".join(parts)


def _lacking(commands: Sequence[str]) -> Iterator[str]:
    yield "Not measured."
    yield ""
    yield from (f"- {code(command)}" for command in commands)


def _bar(bar: Bar) -> Iterator[str]:
    yield f"### {bar.title}: {bar.rule} — {words.told(bar)}"
    yield ""
    yield f"{inert(bar.about)} {inert(words.of_controls(bar))}".rstrip()
    yield ""
    if bar.readings:
        heads = ("row", "where", "found", "outcome", "because", "records")
        yield from grid(heads, [_reading(bar, one) for one in bar.readings])
    if bar.commands:
        yield from _lacking(bar.commands)
    yield ""


def _reading(bar: Bar, one: Reading) -> list[str]:
    found = f"{words.figure(one.found, bar.unit)}, {words.seeds(one.seeds)}" if one.seeds else ""
    records = "<br>".join(inert(record) for record in one.records)
    outcome = f"**{one.outcome}**" if one.role is None else one.outcome
    return [_label(one), inert(one.where), found, outcome, inert(words.because(one)), records]


def _label(row: Row | Reading) -> str:
    return inert(row.label) + ROLES.get(row.role, "")


def _decoders(found: Decoders) -> Iterator[str]:
    yield from (f"### {inert(found.where.title)}", "", f"{inert(words.size(found))}.", "")
    heads = (
        "row",
        "block",
        *(words.HEADS[name] for name in SHOWN),
        "tokens/s",
        "memory of the fit",
        "parameters",
        "fits",
    )
    rows = [
        [
            _label(row),
            row.layer,
            *(words.figure(row.metrics[name]) for name in SHOWN),
            *words.cost(row),
            words.seeds(row.seeds),
        ]
        for row in found.rows
    ]
    yield from grid(heads, rows)
    yield from (*(f"- {inert(note)}" for note in found.notes), "")


def _answers(found: Answers) -> Iterator[str]:
    yield from (f"### {inert(found.where.title)}", "", f"{found.items} answers; {inert(found.where.model)}.", "")
    rows = [[_label(row), *(words.figure(row.metrics[name]) for name in found.metrics)] for row in found.rows]
    yield from grid(("row", *found.metrics), rows)
    yield from (*(f"- {inert(note)}" for note in found.notes), "")


def _reward(found: Reward) -> Iterator[str]:
    yield from (
        f"### {inert(found.label)}, by {found.divergence}: {inert(words.place(found.where))}",
        "",
        f"{inert(words.started(found))}.",
        "",
    )
    for one in found.regimes:
        yield f"- **{one.word}** {one.title}. {one.meaning} {inert(one.reason)}."
    yield ""
    rows = [[name, what, *map(signed, changes)] for name, what, changes in words.arm_rows(found)]
    yield from grid(("arm", "what it trains on", *(one.title for one in found.regimes)), rows)
    yield from (*(f"- {inert(note)}" for note in found.notes), "")


def _domains(found: Domains) -> Iterator[str]:
    yield from (f"### {inert(found.outside.task)}, {found.outside.layer}", "", f"{inert(words.pair(found))}.", "")
    heads = (
        "row", "KL in domain", "KL out", "same first token in", "out", "kept", "points lost in", "judged", "out",
        "judged",
    )  # fmt: skip
    rows = [
        [
            inert(row.label) + ROLES.get(row.role, ""),
            *(words.figure(one) for one in (*row.kl, *row.agree)),
            words.figure(row.kept, "%"),
            words.points(row.drop[0]), row.inferior[0], words.points(row.drop[1]), row.inferior[1],
        ]
        for row in found.rows
    ]  # fmt: skip
    yield from grid(heads, rows)
    yield from (*(f"- {inert(note)}" for note in found.notes), "")


def _explained(found: Explained) -> Iterator[str]:
    yield from (f"### {inert(found.where.title)}, {found.where.layer}", "", f"{inert(found.where.model)}.", "")
    rows = [[name, *(words.figure(row.metrics[name]) for row in found.rows)] for name in found.metrics]
    yield from grid(("metric", *(_label(row) for row in found.rows)), rows)
    if found.versus:
        yield from (f"{words.judged(found)}.", "")
        yield from (f"- **{inert(label)}** {inert(said)} in {name}" for label, name, said in words.standings(found))
        yield ""
        heads = ("row", "beats", "in", "verdict", "margin", "with all others")
        of_pairs = [
            [
                inert(one.label), inert(one.other) + ROLES.get(one.role, ""), one.metric, f"**{one.beats}**",
                signed(one.margin), signed(one.adjusted),
            ]
            for one in found.versus
        ]  # fmt: skip
        yield from grid(heads, of_pairs)
    yield from (*(f"- {inert(note)}" for note in found.notes), "")


def _anchors(found: Anchors) -> Iterator[str]:
    yield from ("", "## Why the penalty ties the decoder to its start", "", f"{words.anchored(found)}", "")
    arms = words.arms(found.rows)
    rows = [[one.penalty, *(words.ratio(one, arm) for arm in arms), one.allowed] for one in found.rows]
    yield from grid(("penalty", *arms, "here"), rows)
