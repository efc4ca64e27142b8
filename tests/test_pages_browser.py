"""The page in a browser, from a file: it asks for nothing, sorts and filters by mouse and keyboard, and can be read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from board_cases import realistic
from board_records import Case, Cell, Quality, save
from browsing import HOSTILE, MARKS, visit

from harness.board import build

pytestmark = MARKS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    realistic(folder)
    return build(folder, folder / "pages").html


@pytest.fixture
def desk(browser: Any, site: Path) -> Iterator[Any]:
    found = visit(browser, viewport={"width": 1440, "height": 900})
    yield found.open(site)
    assert found.complaints == []
    assert [url for url in found.requests if not url.startswith("file://")] == []
    found.page.context.close()


def names(page: Any, group: str = "methods") -> list[str]:
    rows = page.locator(f"section.table:not([hidden]) tbody[data-group={group}] tr:not(.group):visible .label")
    return [text.strip() for text in rows.all_inner_texts()]


def head(page: Any, column: str) -> Any:
    return page.locator(f"section.table:not([hidden]) thead th[data-column={column}]")


def test_the_page_loads_itself_and_nothing_else(browser: Any, site: Path) -> None:
    found = visit(browser)
    found.open(site)
    assert found.requests == [site.as_uri()]
    assert found.complaints == []
    found.page.context.close()


def test_hostile_records_do_nothing_in_a_browser(browser: Any, tmp_path: Path) -> None:
    case = Case(title=HOSTILE, model=HOSTILE, mirror=HOSTILE)
    for seed in (0, 1, 2):
        save(tmp_path, case, Cell("topk", seed, title=HOSTILE, warnings=(HOSTILE,)))
        save(tmp_path, case, Cell(HOSTILE.replace("/", ""), seed, Quality(0.2)))
    save(tmp_path, case, Cell("gated", 0, failed=HOSTILE))
    found = visit(browser)
    page = found.open(build(tmp_path, tmp_path / "pages").html)
    page.locator("thead button").first.click()
    assert (found.complaints, len(found.requests)) == ([], 1)
    assert page.locator("img").count() == 0
    assert page.locator("h2").first.inner_text() == HOSTILE
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
    assert names(desk, "controls")[:2] == ["identity", "pca"]


def test_the_keyboard_reaches_every_heading_and_sorts(desk: Any) -> None:
    desk.locator("details.columns summary").first.focus()
    desk.keyboard.press("Tab")  # the box that scrolls
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.textContent") == "Method"
    desk.keyboard.press("Enter")
    assert names(desk) == ["batchtopk", "jumprelu", "relu_l1", "topk"]
    desk.keyboard.press("Tab")
    desk.keyboard.press("Space")
    assert head(desk, "fvu").get_attribute("aria-sort") == "ascending"
    assert names(desk)[0] == "batchtopk"


def test_rows_without_a_value_stand_last_either_way(browser: Any, tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        save(tmp_path, Case(), Cell("topk", seed))
        save(tmp_path, Case(), Cell("gated", seed, failed="NaN"))
    page = visit(browser).open(build(tmp_path, tmp_path / "pages").html)
    for _ in range(2):
        head(page, "fvu").locator("button").click()
        assert names(page) == ["topk", "gated"]
    page.context.close()


def test_text_and_roles_filter_rows(desk: Any) -> None:
    section = desk.locator("section.table:not([hidden])")
    section.get_by_label("Find").fill("topk")
    assert names(desk) == ["batchtopk", "topk"]
    assert sorted(names(desk, "controls")) == ["permuted_decoder of batchtopk", "permuted_decoder of topk"]
    assert section.get_by_role("status").inner_text() == "4 of 12 rows"
    section.get_by_label("Show").select_option("method")
    assert names(desk, "controls") == []
    section.get_by_label("Find").fill("nothing like it")
    assert names(desk) == []
    assert section.get_by_role("status").inner_text() == "0 of 12 rows"
    section.get_by_label("Find").fill("")
    section.get_by_label("Show").select_option("control")
    assert len(names(desk, "controls")) == 8


def test_columns_can_be_chosen_and_the_menu_closed_by_keyboard(desk: Any) -> None:
    section = desk.locator("section.table:not([hidden])")
    assert head(desk, "mse_elem").is_visible()
    section.locator("details.columns summary").click()
    section.get_by_label("mse_elem", exact=True).uncheck()
    assert not head(desk, "mse_elem").is_visible()
    assert section.locator("tbody td[data-column=mse_elem]:visible").count() == 0
    assert section.locator("tbody td[data-column=fvu]:visible").count() == 12
    desk.keyboard.press("Escape")
    assert section.locator("details.columns").get_attribute("open") is None
    assert desk.evaluate("document.activeElement.tagName") == "SUMMARY"
    section.locator("details.columns summary").click()
    section.get_by_label("mse_elem", exact=True).check()
    assert head(desk, "mse_elem").is_visible()


def test_tables_can_be_chosen_and_linked_to(desk: Any, browser: Any, site: Path) -> None:
    assert desk.locator("section.table:visible").count() == 1
    chooser = desk.get_by_label("Table", exact=True)
    chooser.select_option(label="Reading comprehension (SQuAD)")
    assert desk.locator("section.table:visible h2").inner_text() == "Reading comprehension (SQuAD)"
    assert "gated" in names(desk)
    target = desk.locator("section.table:visible").get_attribute("id")
    chooser.select_option(label="All tables")
    assert desk.locator("section.table:visible").count() == 2
    other = visit(browser)
    assert other.open(site, f"#{target}").locator("section.table:visible h2").inner_text().startswith("Reading")
    other.page.context.close()


def test_a_rows_name_opens_its_details_with_the_command(desk: Any) -> None:
    command = desk.locator("details.row pre").first
    assert not command.is_visible()
    desk.locator("a.label").first.click()
    assert command.inner_text() == "harness eval --method batchtopk --task gsm_symbolic"


def test_without_scripts_everything_is_shown(browser: Any, site: Path) -> None:
    found = visit(browser, java_script_enabled=False)
    page = found.open(site)
    assert page.locator("section.table:visible").count() == 2
    assert page.locator(".tools:visible").count() == 0
    page.context.close()


@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_the_page_never_scrolls_sideways_only_the_table_does(browser: Any, site: Path, width: int) -> None:
    page = visit(browser, viewport={"width": width, "height": 800}).open(site)
    page.evaluate("document.querySelectorAll('details.row').forEach(e => { e.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator(".scroll").first
    assert box.evaluate("e => e.scrollWidth > e.clientWidth")
    box.evaluate("e => { e.scrollLeft = 400 }")
    label = page.locator("a.label").first.bounding_box()
    assert 0 <= label["x"] < width
    page.context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("light", 390)])
def test_axe_finds_nothing(browser: Any, site: Path, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = visit(browser, viewport={"width": width, "height": 900}, color_scheme=scheme).open(site)
    if scheme == "dark":
        page.get_by_label("Table", exact=True).select_option(label="All tables")
    page.evaluate("document.querySelectorAll('details').forEach((e, i) => { e.open = i < 3 })")
    found = axe.Axe().run(page).response["violations"]
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]][:3]) for rule in found] == []
    page.context.close()


def test_headings_and_controls_have_names_in_order(desk: Any) -> None:
    levels = [int(tag[1]) for tag in desk.locator("h1, h2, h3").evaluate_all("all => all.map(e => e.tagName)")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    unnamed = desk.locator("input, select").evaluate_all("all => all.filter(e => e.labels.length === 0).length")
    assert unnamed == 0
    assert desk.locator("th:not([scope])").count() == 0


def test_paper_has_no_tools(desk: Any) -> None:
    desk.emulate_media(media="print")
    assert desk.locator(".tools:visible").count() == 0
    assert desk.locator("table.scores:visible").count() == 1
