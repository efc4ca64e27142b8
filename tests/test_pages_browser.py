"""Pages in a browser, from files: they ask for nothing, work by mouse and keyboard, and the address holds the view."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from board_cases import realistic
from board_records import Case, Cell, Quality, save
from browsing import HOSTILE, MARKS, audit, visit

from harness.board import build, load_board, write_pages
from harness.board.rows import Reference
from harness.exchange.imported import Imported, ImportedValue, save_imported

pytestmark = MARKS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages with everything a page may hold: a diagnostic metric and a quoted row besides what records give."""
    folder = tmp_path_factory.mktemp("site")
    realistic(folder)
    none = ImportedValue(task="core", metric="sparsity/l0", value=None, reason="null in the file")
    values = (none, ImportedValue(task="core", metric=HOSTILE, value=63.0, stderr=0.5))
    save_imported(
        folder,
        Imported(
            tool="saebench", tool_version="1", subject=HOSTILE, model="m" * 200, measured=None, file="f.json",
            sha256="a" * 64, values=values,
        ),
    )  # fmt: skip
    board = load_board(folder)
    quoted = Reference("TopK, k 64", "arXiv 2406.04093, figure 1", "another model", {"fvu": 0.0123}, "other data")
    tables = tuple(
        replace(
            table,
            references=(quoted,),
            columns=tuple(replace(c, diagnostic="a reason") if c.name == "agree1" else c for c in table.columns),
        )
        for table in board.tables
    )
    write_pages(replace(board, tables=tables), folder)
    return folder


def page_path(site: Path, kind: str) -> Path:
    patterns = {
        "overview": "index.html",
        "task": "tasks/gsm_symbolic-*.html",
        "cell": "cells/gsm_symbolic-*/topk-*.html",
        "imported": "imported.html",
    }
    (found,) = site.glob(patterns[kind])
    return found


@pytest.fixture
def desk(browser: Any, site: Path) -> Iterator[Any]:
    """The page of a task, on a desk."""
    found = visit(browser, viewport={"width": 1440, "height": 900})
    yield found.open(page_path(site, "task"))
    assert found.complaints == []
    assert [url for url in found.requests if not url.startswith("file://")] == []
    found.page.context.close()


def names(page: Any, body: int = 0) -> list[str]:
    rows = page.locator("table.scores tbody").nth(body).locator("tr:not(.group):visible th a")
    return [text.strip() for text in rows.all_inner_texts()]


def head(page: Any, key: str) -> Any:
    return page.locator(f"table.scores thead th[data-key={key}]")


def view(page: Any) -> str:
    return str(page.evaluate("location.hash"))


@pytest.mark.parametrize("kind", ["overview", "task", "cell", "imported"])
def test_a_page_loads_itself_and_nothing_else(browser: Any, site: Path, kind: str) -> None:
    found = visit(browser)
    path = page_path(site, kind)
    found.open(path)
    assert found.requests == [path.as_uri()]
    assert found.complaints == []
    found.page.context.close()


def test_hostile_records_do_nothing_in_a_browser(browser: Any, tmp_path: Path) -> None:
    case = Case(title=HOSTILE, model=HOSTILE, mirror=HOSTILE)
    for seed in (0, 1, 2):
        save(tmp_path, case, Cell("topk", seed, title=HOSTILE, warnings=(HOSTILE,)))
        save(tmp_path, case, Cell(HOSTILE.replace("/", ""), seed, Quality(0.2)))
    save(tmp_path, case, Cell("gated", 0, failed=HOSTILE))
    build(tmp_path, tmp_path / "pages")
    paths = sorted((tmp_path / "pages").rglob("*.html"))
    assert len(paths) == 1 + 1 + 3
    for path in paths:
        found = visit(browser)
        page = found.open(path)
        assert (found.complaints, len(found.requests)) == ([], 1), path
        assert page.locator("img").count() == 0
        assert HOSTILE.replace("/", "") in page.inner_text("body").replace("/", "")
        page.context.close()


def test_a_click_sorts_each_group_best_first_and_a_second_turns_it_round(desk: Any) -> None:
    assert names(desk) == ["batchtopk", "topk", "relu_l1", "jumprelu"]
    button = head(desk, "agree1").locator("button")
    button.click()
    assert head(desk, "agree1").get_attribute("aria-sort") == "descending"
    assert names(desk)[-1] == "relu_l1"
    button.click()
    assert head(desk, "agree1").get_attribute("aria-sort") == "ascending"
    assert names(desk)[0] == "relu_l1"
    head(desk, "fvu").locator("button").click()
    assert head(desk, "agree1").get_attribute("aria-sort") == "none"
    assert names(desk) == ["batchtopk", "topk", "jumprelu", "relu_l1"]
    assert names(desk, 1)[:2] == ["identity", "pca"]
    shown = desk.locator("tbody").nth(2).locator("tr:not(.group) td:nth-child(2)").all_inner_texts()
    assert [float(text) for text in shown] == sorted(float(text) for text in shown)


def test_the_address_holds_the_view_and_the_back_button_brings_views_back(desk: Any, browser: Any) -> None:
    head(desk, "kl_splice").locator("button").click()
    desk.get_by_label("Show").select_option("methods")
    desk.locator("details.columns summary").click()
    desk.get_by_label("mse_elem", exact=True).uncheck()
    desk.get_by_label("Find").fill("topk")
    assert view(desk) == "#sort=kl_splice.up&find=topk&show=methods&hide=mse_elem"
    other = visit(browser).open(Path(desk.url.split("#")[0].removeprefix("file://")), view(desk))
    assert names(other) == names(desk) == ["batchtopk", "topk"]
    assert head(other, "kl_splice").get_attribute("aria-sort") == "ascending"
    assert not head(other, "mse_elem").is_visible()
    assert other.get_by_label("Show").input_value() == "methods"
    assert other.get_by_label("Find").input_value() == "topk"
    other.context.close()
    desk.go_back()
    assert head(desk, "mse_elem").is_visible()
    desk.go_back()
    assert len(names(desk, 1)) == 4
    desk.go_back()
    assert head(desk, "kl_splice").get_attribute("aria-sort") == "none"
    assert names(desk) == ["batchtopk", "topk", "relu_l1", "jumprelu"]
    desk.go_forward()
    assert head(desk, "kl_splice").get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize(
    "given", ["#sort=nothing.up", "#sort=fvu", "#show=<b>&hide=,,x&find=%", "#how=1&=&&", "#%E0%A4"]
)
def test_an_address_that_makes_no_sense_shows_everything(browser: Any, site: Path, given: str) -> None:
    found = visit(browser)
    page = found.open(page_path(site, "task"), given)
    assert page.locator("th[aria-sort]:not([aria-sort=none])").count() == 0
    assert head(page, "fvu").is_visible()
    assert found.complaints == []
    page.context.close()


def test_the_keyboard_reaches_every_heading_sorts_and_keeps_its_place(desk: Any) -> None:
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.textContent") == "Skip to the scores"
    desk.keyboard.press("Enter")
    assert desk.evaluate("document.activeElement.id") == "content"
    desk.locator("details.columns summary").focus()
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.className") == "scroll", "the box that scrolls"
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.textContent") == "Method"
    desk.keyboard.press("Enter")
    assert names(desk) == ["batchtopk", "jumprelu", "relu_l1", "topk"]
    assert desk.evaluate("document.activeElement.textContent") == "Method"
    desk.keyboard.press("Tab")
    desk.keyboard.press("Space")
    assert head(desk, "fvu").get_attribute("aria-sort") == "ascending"
    assert names(desk)[0] == "batchtopk"
    outline = desk.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_rows_without_a_value_stand_last_either_way(browser: Any, tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        save(tmp_path, Case(), Cell("topk", seed))
        save(tmp_path, Case(), Cell("gated", seed, failed="NaN"))
    build(tmp_path, tmp_path)
    page = visit(browser).open(page_path(tmp_path, "task"))
    for _ in range(2):
        head(page, "fvu").locator("button").click()
        assert names(page) == ["topk", "gated"]
    page.context.close()


def test_text_and_roles_filter_rows(desk: Any) -> None:
    desk.get_by_label("Find").fill("topk")
    assert names(desk) == ["batchtopk", "topk"]
    assert sorted(names(desk, 2)) == ["permuted_decoder of batchtopk", "permuted_decoder of topk"]
    assert desk.locator(".count").inner_text() == "4 of 12 rows"
    desk.get_by_label("Show").select_option("methods")
    assert not desk.locator("tbody").nth(2).is_visible()
    desk.get_by_label("Find").fill("nothing like it")
    assert names(desk) == []
    assert desk.locator(".count").inner_text() == "0 of 12 rows"
    desk.get_by_label("Find").fill("")
    desk.get_by_label("Show").select_option("controls")
    assert (len(names(desk, 1)), len(names(desk, 2))) == (4, 4)
    assert not desk.locator("tbody").nth(0).is_visible()


def test_columns_can_be_chosen_and_the_menu_closed_by_keyboard(desk: Any) -> None:
    place = head(desk, "mse_elem").evaluate("e => e.cellIndex") + 1
    desk.locator("details.columns summary").click()
    desk.get_by_label("mse_elem", exact=True).uncheck()
    assert not head(desk, "mse_elem").is_visible()
    assert desk.locator(f".scores tbody tr:not(.group) > :nth-child({place}):visible").count() == 0
    assert desk.locator(f".scores tbody tr:not(.group) > :nth-child({place + 1}):visible").count() == 12
    desk.keyboard.press("Escape")
    assert desk.locator("details.columns").get_attribute("open") is None
    assert desk.evaluate("document.activeElement.tagName") == "SUMMARY"
    desk.locator("details.columns summary").click()
    desk.get_by_label("mse_elem", exact=True).check()
    assert head(desk, "mse_elem").is_visible()


def test_from_the_overview_to_a_cell_and_back_to_the_same_view(browser: Any, site: Path) -> None:
    found = visit(browser)
    page = found.open(page_path(site, "overview"))
    page.locator("thead button", has_text="Method").click()
    page.locator("thead button", has_text="Method").click()
    assert names(page)[0] == "topk"
    page.locator("thead a", has_text="gsm_").click()
    assert page.locator("h1").inner_text() == "Grade-school arithmetic, generated (GSM-Symbolic)"
    head(page, "fvu").locator("button").click()
    page.locator("tbody th a", has_text="jumprelu").first.click()
    assert page.locator("h1").inner_text() == "jumprelu"
    assert "harness eval --method jumprelu --task gsm_symbolic" in page.locator("pre").all_inner_texts()
    page.go_back()
    assert head(page, "fvu").get_attribute("aria-sort") == "ascending"
    page.go_back()
    page.go_back()
    assert names(page)[0] == "topk", "the overview is still sorted"
    page.locator("tbody td a").first.click()
    page.get_by_role("link", name="Leaderboard").click()
    assert page.locator("h1").inner_text() == "Leaderboard"
    assert found.complaints == []
    assert all(url.startswith("file://") for url in found.requests)
    page.context.close()


def test_tracks_shrink_with_their_columns(browser: Any, site: Path) -> None:
    page = visit(browser).open(page_path(site, "overview"))
    span = page.locator("th[scope=colgroup]", has_text="reconstruction")
    assert span.evaluate("e => e.colSpan") == 2
    page.locator("details.columns summary").click()
    page.get_by_label("squad", exact=True).uncheck()
    assert span.evaluate("e => e.colSpan") == 1
    page.get_by_label("gsm_symbolic", exact=True).uncheck()
    assert not span.is_visible()
    page.context.close()


def test_dark_is_chosen_kept_on_the_next_page_and_undone(browser: Any, site: Path) -> None:
    page = visit(browser, color_scheme="light").open(page_path(site, "task"))
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.get_by_role("button", name="Dark page")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    dark = page.evaluate(ground)
    assert dark != light
    assert button.get_attribute("aria-pressed") == "true"
    page.locator("tbody th a").first.click()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Dark page").click()
    assert page.evaluate(ground) == light
    page.context.close()
    system = visit(browser, color_scheme="dark").open(page_path(site, "task"))
    assert system.evaluate(ground) == dark
    system.context.close()


def test_a_button_copies_the_command(browser: Any, site: Path) -> None:
    page = visit(browser, permissions=["clipboard-read", "clipboard-write"]).open(page_path(site, "cell"))
    page.get_by_role("button", name="Copy").first.click()
    assert page.get_by_role("status").inner_text() == "Copied."
    assert page.evaluate("navigator.clipboard.readText()") == "harness eval --method topk --task gsm_symbolic"
    page.context.close()


def test_marks_are_told_in_words(desk: Any) -> None:
    told = desk.locator("table.scores").aria_snapshot()
    row = next(line for line in told.splitlines() if "batchtopk" in line and "bar missed" in line)
    assert re.search(r"rank 1=?", row)
    assert re.search(r"bar met", row)
    assert "over pca" in row


def test_without_scripts_everything_is_shown(browser: Any, site: Path) -> None:
    page = visit(browser, java_script_enabled=False).open(page_path(site, "task"))
    assert page.locator("table.scores tbody tr:not(.group):visible").count() == 12
    assert page.locator(".tools:visible, .theme:visible").count() == 0
    page.context.close()


@pytest.mark.parametrize("kind", ["overview", "task", "cell", "imported"])
@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_a_page_never_scrolls_sideways_only_its_tables_do(browser: Any, site: Path, kind: str, width: int) -> None:
    page = visit(browser, viewport={"width": width, "height": 800}).open(page_path(site, kind))
    page.evaluate("document.querySelectorAll('details:not(.columns)').forEach(e => { e.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator(".scroll").first
    if width < 400:
        assert box.evaluate("e => e.scrollWidth > e.clientWidth")
        box.evaluate("e => { e.scrollLeft = 200 }")
    if kind not in ("cell", "imported"):
        label = page.locator("tbody th a").first.bounding_box()
        assert 0 <= label["x"] < width, "the name stays in sight"
    page.context.close()


@pytest.mark.parametrize("kind", ["overview", "task", "cell", "imported"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(browser: Any, site: Path, kind: str, scheme: str, width: int) -> None:
    page = visit(browser, viewport={"width": width, "height": 900}, color_scheme=scheme).open(page_path(site, kind))
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert audit(page) == []
    page.context.close()


@pytest.mark.parametrize("kind", ["overview", "task", "cell", "imported"])
def test_headings_and_controls_have_names_in_order(browser: Any, site: Path, kind: str) -> None:
    page = visit(browser).open(page_path(site, kind))
    levels = [int(tag[1]) for tag in page.locator("h1, h2, h3").evaluate_all("all => all.map(e => e.tagName)")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    unnamed = page.locator("input, select").evaluate_all("all => all.filter(e => e.labels.length === 0).length")
    assert unnamed == 0
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator(".scroll:not([tabindex='0'])").count() == 0
    page.context.close()


def test_paper_has_no_tools(desk: Any) -> None:
    desk.emulate_media(media="print")
    assert desk.locator(".tools:visible, .theme:visible, nav:visible").count() == 0
    assert desk.locator("table.scores:visible").count() == 1
    assert desk.locator(".scroll").first.evaluate("e => getComputedStyle(e).overflowX") == "visible"
