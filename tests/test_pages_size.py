"""Pages stay small: what fifty methods on twenty tasks come to, with every control a task demands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from board_cases import controls, three
from board_records import Case, Quality, save

from harness.board import load_board
from harness.board.pages import Pages
from harness.board.rows import Board, Row, Table
from harness.store.files import sha256_text

pytestmark = pytest.mark.usefixtures("no_cards")

METHODS, TASKS = 50, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wide")
    for name, fvu in (("topk", 0.15), ("jumprelu", 0.16)):
        three(path, name, Quality(fvu, 64.0 if name == "topk" else 71.6), warnings=("densities are of few tokens",))
    for cell in controls(("topk", "jumprelu")):
        save(path, Case(), cell)
    return path


def wide(table: Table) -> tuple[Row, ...]:
    """Return the rows of many methods, each with the control derived from it; every other method is unranked."""
    by_label = {row.label: row for row in table.rows}
    made: list[Row] = []
    for i in range(METHODS):
        source, name = ("topk", "jumprelu")[i % 2], f"dictionary_{i:02d}"
        own, derived = by_label[source], by_label[f"permuted_decoder of {source}"]
        made.append(replace(own, label=name, name=name, key=name, title=f"A dictionary of usual title {i}"))
        made.append(replace(derived, label=f"permuted_decoder of {name}", of=name, key=f"permuted_decoder-{name}"))
    shared = [row for row in table.controls if row.role != "derived"]
    assert len(shared) == 4
    return (*sorted(made, key=lambda row: row.role is not None), *shared)


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    found = load_board(folder)
    rows = wide(found.tables[0])
    tables = [
        replace(
            found.tables[0], task=f"task_of_usual_name_{i:02d}", title=f"A task with a title of usual length {i}",
            hash=sha256_text(str(i)), key=f"task_of_usual_name_{i:02d}-{sha256_text(str(i))[:8]}", rows=rows,
        )
        for i in range(TASKS)
    ]  # fmt: skip
    return replace(found, tables=tuple(tables))


def test_fifty_methods_on_twenty_tasks_stay_under_three_megabytes(board: Board, folder: Path) -> None:
    pages = Pages(board, folder)
    overview = pages.overview()
    assert overview.count("<tr><th") == METHODS + 1
    one = pages.task(board.tables[0])
    assert one.count('<tr><th scope="row">') == 2 * METHODS + 4 + len(board.tables[0].references)
    assert one.count("<circle") == 2 * METHODS, "every method stands in both plots"
    total = len(overview.encode()) + sum(len(pages.task(table).encode()) for table in board.tables)
    assert total < 3_000_000


def test_the_page_of_a_row_stays_under_200_kilobytes(board: Board, folder: Path) -> None:
    table = board.tables[0]
    sizes = [len(Pages(board, folder).cell(table, row).encode()) for row in table.rows[:2]]
    assert max(sizes) < 200_000
