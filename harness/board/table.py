"""From a folder of records to the board: its tables, what sets them apart, and what is quoted beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.board.apart import imported_results
from harness.board.facts import differences
from harness.board.memory import Memory, key_of, settled
from harness.board.packing import unpacked
from harness.board.quoted import references
from harness.board.rows import Board, Row, Table
from harness.board.scan import Found, scan
from harness.board.tabulate import Tabulated
from harness.board.workers import packed_tables
from harness.metrics.contract import all_metrics
from harness.specs.reliability import cards_of
from harness.store.files import sha256_text


def load_board(folder: str | Path) -> Board:
    """Read every record under ``FOLDER/results`` and return the board; values come from parts, never from the JSON.

    Tables whose records have not changed since they were built last come from the cache, and are the same.
    """
    folder = Path(folder)
    memory = Memory(folder)
    records, problems = scan(folder, memory.records())
    built = _tables(folder, records, memory)
    tables = _set_apart(built, folder)
    imported, unreadable = imported_results(folder)
    problems += [*(problem for found in built for problem in found.problems), *unreadable]
    return Board(
        tables=tuple(sorted(tables, key=lambda table: (table.task, _reversed(table.newest), table.key))),
        problems=tuple(sorted(problems, key=lambda problem: problem.path)),
        records=sum(found.records for found in built),
        newest=max((found.newest for found in built if found.newest), default=None),
        versions=tuple(sorted({version for found in built for version in found.versions})),
        imported=imported,
    )


def _tables(folder: Path, records: Sequence[Found], memory: Memory) -> list[Tabulated]:
    """Return the table of each resolved task, from the cache where nothing changed."""
    metrics, cards = all_metrics(), cards_of(folder)
    code = settled(metrics, cards)
    by_table: dict[tuple[str, str], list[Found]] = {}
    for record in records:
        by_table.setdefault((record.task, record.table), []).append(record)
    owned = [own for _, own in sorted(by_table.items())]
    keys = [key_of(own, code) for own in owned]
    kept = {key: found for key in keys if (found := memory.table(key)) is not None}
    new = [(key, own) for key, own in zip(keys, owned, strict=True) if key not in kept]
    texts = packed_tables(folder, [[record.path for record in own] for _, own in new], metrics, cards)
    for (key, own), text in zip(new, texts, strict=True):
        if all(record.rested for record in own):
            memory.keep(key, text)
        kept[key] = unpacked(text)
    memory.close(records, keys)
    return [kept[key] for key in keys]


def _reversed(text: str) -> tuple[int, ...]:
    # Of several tables of a task the newest stands first, while tasks go by name.
    return tuple(-ord(letter) for letter in text)


def _set_apart(built: Sequence[Tabulated], folder: Path) -> list[Table]:
    """Say of each table how it differs from the others of its task, and where its records lie."""
    tables = []
    for own in built:
        if own.table is not None:
            same = [other.traits for other in built if other.table and other.table.task == own.table.task]
            differs = differences(own.traits, same, own.table.hash)
            rows = tuple(_placed(row, folder) for row in own.table.rows)
            quoted = references(own.table.track)
            digest = sha256_text(f"{own.table.digest} {differs} {quoted}")
            tables.append(replace(own.table, rows=rows, differs=differs, references=quoted, digest=digest))
    return tables


def _placed(row: Row, folder: Path) -> Row:
    return replace(row, seeds=tuple(replace(seed, folder=folder) for seed in row.seeds))
