"""The plot: harmless SVG with words for those who cannot see it, and no row left out in silence."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from board_cases import realistic
from board_records import Case, Cell, Quality, save

from harness.board import load_board
from harness.board.axes import Axis, axis_of, wide
from harness.board.chart import LEADING, LETTERS, MOST, Point, heights, pareto, plot
from harness.board.maps import picture
from harness.board.rows import DocumentMap, Table

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    path = tmp_path_factory.mktemp("board")
    realistic(path)
    return load_board(path).tables[0]


def test_the_plot_names_itself_and_every_row_it_draws(table: Table) -> None:
    drawn = plot(table, "fvu", "a")
    assert drawn is not None
    root = ElementTree.fromstring(drawn.svg)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "a-title a-desc"
    assert root.findtext(f"{SVG}title") == "fvu against L0"
    description = root.findtext(f"{SVG}desc") or ""
    labels = {"".join(node.itertext()) for node in root.iter(f"{SVG}text")}
    for row in table.rows:
        told = [text for text in drawn.undrawn if text.startswith(f"{row.label} (")]
        short = row.label if len(row.label) <= LETTERS else f"{row.label[: LETTERS - 1]}…"
        assert bool(told) != (short in labels), row.label
        assert bool(told) != (row.label in description), row.label
    assert [text.split(" ")[0] for text in drawn.undrawn] == ["identity", "mean_only"]


def test_marks_differ_by_shape_and_only_those_drawn_are_explained(table: Table) -> None:
    drawn = plot(table, "kl_splice", "a")
    assert drawn is not None
    assert drawn.marks == (("●", "method"), ("○", "unranked method"), ("□", "floor"), ("◇", "derived"))


def test_equal_tables_are_drawn_alike(table: Table) -> None:
    assert plot(table, "fvu", "a") == plot(table, "fvu", "a")


def test_a_table_with_one_point_or_without_the_metric_has_no_plot(tmp_path: Path, table: Table) -> None:
    assert plot(table, "cosine", "a") is None
    save(tmp_path, Case(), Cell("topk", 0))
    assert plot(load_board(tmp_path).tables[0], "fvu", "a") is None


def test_labels_cannot_leave_their_text(tmp_path: Path) -> None:
    for name in ("one", 'x"><script>alert(1)</script>'.replace("/", "")):
        for seed in (0, 1, 2):
            save(tmp_path, Case(), Cell(name, seed, Quality(0.1 + len(name) / 100)))
    drawn = plot(load_board(tmp_path).tables[0], "fvu", "a")
    assert drawn is not None
    assert "<script" not in drawn.svg
    assert "&lt;script&gt;" in drawn.svg


def point(label: str, x: float, y: float, kind: str = "method") -> Point:
    return Point(label, kind, x, y, (x, x), (y, y))


def test_the_front_holds_whom_nobody_beats_at_their_sparsity(table: Table) -> None:
    columns = {column.name: column for column in table.columns}
    points = [
        point("a", 10, 0.5), point("worse", 20, 0.6), point("b", 30, 0.3), point("equal", 40, 0.3),
        point("c", 50, 0.2, "unranked method"), point("null", 5, 0.0, "floor"),
    ]  # fmt: skip
    assert [p.label for p in pareto(points, columns["fvu"])] == ["a", "b", "c"]
    assert [p.label for p in pareto(points, columns["agree1"])] == ["a", "worse"]
    assert pareto(points, columns["l0"]) == []


def marks(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [*root.iter(f"{SVG}path"), *root.iter(f"{SVG}circle")]


def test_every_row_is_drawn_and_as_many_are_named_as_there_is_room(table: Table) -> None:
    methods = [row for row in table.rows if row.label in ("topk", "batchtopk")]
    copies = [replace(row, label=f"{row.label}_{i}") for row in methods for i in range(20)]
    rows = (*copies, *table.controls)
    drawn = plot(replace(table, rows=rows), "fvu", "a")
    assert drawn is not None
    root = ElementTree.fromstring(drawn.svg)
    labels = ["".join(node.itertext()) for node in root.iter(f"{SVG}text") if node.get("class") == "label"]
    tips = [tip for node in marks(root) if (tip := node.findtext(f"{SVG}title"))]
    assert len(labels) == MOST == len(set(labels))
    assert len(tips) == 40 + 2, "methods, and the floors near them"
    assert (drawn.unnamed, drawn.left_out) == (42 - MOST, 4)
    assert {tip.split(" ")[0] for tip in tips} >= {row.label for row in copies}


def test_marks_stand_where_their_values_are(table: Table) -> None:
    drawn = plot(table, "fvu", "a")
    assert drawn is not None
    root = ElementTree.fromstring(drawn.svg)
    written = [node for node in root.iter(f"{SVG}text") if node.get("class") == "tick y"]
    ticks = [(float(node.get("y") or 0) - 4, float(node.text or 0)) for node in written]
    (y0, v0), (y1, v1) = ticks[0], ticks[-1]
    checked = 0
    for node in marks(root):
        tip = node.findtext(f"{SVG}title")
        if tip:
            value = float(tip.rsplit(" ", 1)[1].rstrip(")"))
            y = float(node.get("cy") or (node.get("d") or "").split("m")[0].split(" ")[1])
            share = (math.log(value) - math.log(v0)) / (math.log(v1) - math.log(v0))
            assert y == pytest.approx(y0 + share * (y1 - y0), abs=0.6), tip
            checked += 1
    assert checked > 6


def test_a_map_draws_every_document_once(table: Table) -> None:
    found = DocumentMap((0.0, 1.0, 0.5, 0.2), (5.0, 6.0, 5.5, 5.1), ("a", "b", "a", "<b>"))
    drawn = picture(replace(table.rows[0], map=found), found, "m")
    root = ElementTree.fromstring(drawn.svg)
    places = [node.get("points", "").split(" ") for node in root.iter(f"{SVG}polyline")]
    assert sorted(map(len, places)) == [2, 2, 3], "each class, and its mark in the legend"
    assert root.findtext(f"{SVG}desc") == "1 of <b>, 2 of a, 1 of b"
    flat = replace(found, x=(1.0, 1.0, 1.0, 1.0))
    assert "nan" not in picture(table.rows[0], flat, "m").svg


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.1, 0.2], False), ([0.1, 2.0], True), ([0.0, 0.1, 2.0], True), ([-0.1, 0.1, 2.0], False), ([1.0], False)],
)
def test_an_axis_is_logarithmic_only_for_a_wide_range_without_negative_values(
    values: list[float], expected: bool
) -> None:
    assert wide(values) is expected


def test_axes_hold_their_values_and_invert() -> None:
    for axis in (axis_of([0.2, 5.0], True, 100), axis_of([60.0, 70.0], False, 100)):
        assert axis.low < axis.high
        assert axis.value(axis.place(axis.low)) == pytest.approx(axis.low)
        assert axis.value(axis.place(axis.high * 0.9)) == pytest.approx(axis.high * 0.9)
    assert axis_of([3.0, 3.0], False, 100).low < 3.0 < axis_of([3.0, 3.0], False, 100).high
    assert axis_of([0.0, 3.0], False, 100).low == 0.0


def test_ticks_are_round_numbers_inside_theaxis_of() -> None:
    assert Axis(0.15, 6.0, True, 100).decades() == [0.2, 0.5, 1.0, 2.0, 5.0]
    assert Axis(0.5, 20000.0, True, 100).decades() == [1.0, 10.0, 100.0, 1000.0, 10000.0]


def test_ticks_of_an_even_axis_are_round_and_inside() -> None:
    for low, high in ((0.0, 1.0), (63.2, 72.4), (-0.3, 0.4), (1e-6, 9e-6), (0.0, 31.0)):
        ticks = Axis(low, high, False, 100).ticks()
        assert 4 <= len(ticks) <= 8, (low, high, ticks)
        assert low <= ticks[0] < ticks[-1] <= high
        assert all(len(f"{tick:.10g}".strip("-0.").replace(".", "").split("e")[0]) <= 3 for tick in ticks)


def test_labels_never_cover_each_other() -> None:
    axis = Axis(0.0, 1.0, False, 100)
    points = [Point(str(i), "method", 1.0, y, (1.0, 1.0), (y, y)) for i, y in enumerate((0.99, 1.0, 1.0, 0.98, 0.1))]
    places = sorted(axis.place(value) for value in heights(points, axis).values())
    assert all(b - a >= LEADING - 1e-9 for a, b in itertools.pairwise(places))
    assert places[0] == pytest.approx(10)
    assert places[-1] <= 100 + 1e-9
