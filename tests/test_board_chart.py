"""The plot: harmless SVG with words for those who cannot see it, and no row left out in silence."""

from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest
from board_cases import realistic
from board_records import Case, Cell, Quality, save

from harness.board import load_board
from harness.board.axes import Axis, axis_of, wide
from harness.board.chart import LEADING, Point, heights, plot
from harness.board.rows import Table
from harness.board.svg import safe_svg

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
        assert bool(told) != (row.label in labels), row.label
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


def test_svg_keeps_drawing_only_and_its_ids_apart() -> None:
    source = (
        '<svg xmlns="http://www.w3.org/2000/svg" onload="x()" style="fill:red"><defs><clipPath id="clip0"><rect/>'
        '</clipPath></defs><g clip-path="url(#clip0)" href="http://x"><line x1="1" stroke-width="2"/></g></svg>'
    )
    safe = safe_svg(source, "k", "t", "d")
    assert "onload" not in safe
    assert "style" not in safe
    assert "href" not in safe
    assert 'id="k-clip0"' in safe
    assert 'clip-path="url(#k-clip0)"' in safe
    assert 'x1="1" stroke-width="2"' in safe


@pytest.mark.parametrize("inside", ["<script>1</script>", "<foreignObject/>", '<image href="http://x"/>', "<a/>"])
def test_svg_with_anything_else_is_refused(inside: str) -> None:
    with pytest.raises(ValueError, match="not drawn into pages"):
        safe_svg(f'<svg xmlns="http://www.w3.org/2000/svg">{inside}</svg>', "k", "t", "d")


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


def test_labels_never_cover_each_other() -> None:
    axis = Axis(0.0, 1.0, False, 100)
    points = [Point(str(i), "method", 1.0, y, (1.0, 1.0), (y, y)) for i, y in enumerate((0.99, 1.0, 1.0, 0.98, 0.1))]
    places = sorted(axis.place(value) for value in heights(points, axis).values())
    assert all(b - a >= LEADING - 1e-9 for a, b in itertools.pairwise(places))
    assert places[0] == pytest.approx(10)
    assert places[-1] <= 100 + 1e-9
