"""The feature page in a browser, from a file: it asks for nothing, and can be searched, sorted and read by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import HOSTILE, MARKS, playwright, visit
from feature_files import file, layer

from harness.board.feature_page import write_feature_page

pytestmark = MARKS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site") / "seed0.html"
    write_feature_page(file(layer(9, reasoning=True), layer(11, latents=80)), path, "seed0.json", 40)
    return path


@pytest.fixture
def desk(browser: Any, site: Path) -> Iterator[Any]:
    found = visit(browser, viewport={"width": 1440, "height": 900})
    page = found.open(site)
    yield page
    assert [url for url in found.requests if not url.startswith("file://")] == []
    assert found.complaints == []
    page.context.close()


def rows(page: Any) -> list[str]:
    found: list[str] = page.locator(".features tbody th").all_inner_texts()
    return found


def shows(page: Any, title: str) -> None:
    """Wait until a latent is shown: the address changes at once, and what hears of it a moment later."""
    playwright.expect(page.locator("#feature h3")).to_have_text(title)


def head(page: Any, key: str) -> Any:
    return page.locator(f".features th[data-key={key}]")


def test_the_list_holds_every_latent_in_pages_and_starts_with_the_best(desk: Any) -> None:
    assert desk.locator("p.count[role=status]").inner_text() == "54 of 60 latents"
    assert head(desk, "reasonscore").get_attribute("aria-sort") == "descending"
    assert len(rows(desk)) == 25
    assert desk.locator(".where").inner_text() == "1–25 of 54"
    desk.get_by_role("button", name="Next").first.click()
    desk.get_by_role("group", name="Pages of the list").get_by_role("button", name="Next").click()
    assert desk.locator(".where").inner_text() in ("26–50 of 54", "51–54 of 54")


def test_columns_sort_both_ways(desk: Any) -> None:
    head(desk, "density").get_by_role("button").click()
    assert rows(desk)[:3] == ["58", "57", "56"]
    head(desk, "density").get_by_role("button").press("Enter")
    assert rows(desk)[:3] == ["0", "1", "2"]
    assert head(desk, "density").get_attribute("aria-sort") == "ascending"
    head(desk, "detection").get_by_role("button").click()
    assert rows(desk)[0] == "57"


def test_numbers_labels_and_tokens_are_found(desk: Any) -> None:
    desk.get_by_label("Find", exact=True).fill("17")
    assert rows(desk)[0] == "17"
    desk.get_by_label("Find", exact=True).fill("digit")
    assert all(int(row) % 3 == 0 for row in rows(desk))
    desk.get_by_label("Find", exact=True).fill("é")
    assert {int(row) % 7 for row in rows(desk)} == {6}
    desk.get_by_label("Find", exact=True).fill("nothing like it")
    assert rows(desk) == []
    desk.get_by_label("Find", exact=True).fill("")
    desk.get_by_label("Show").select_option("dead")
    assert sorted(map(int, rows(desk))) == [9, 19, 29, 39, 49, 59]
    desk.get_by_label("Show").select_option("passed")
    assert sorted(rows(desk)) == ["0", "1", "2", "3"]


def test_a_latent_shows_all_that_is_known_of_it(desk: Any) -> None:
    desk.get_by_label("Show").select_option("full")
    desk.locator(".features tbody a").first.click()
    number = rows(desk)[0]
    view = desk.locator("#feature")
    shows(desk, f"Latent {number}, block 9")
    playwright.expect(view.locator("h3")).to_be_focused()
    for text in ("Density", "ReasonScore", "Strongest contexts", "Contexts drawn at random", "Evidence tokens"):
        assert text in view.inner_text()
    assert view.locator(".contexts .context").count() == 4
    levels = view.locator(".context").first.locator("span[data-i]").evaluate_all("all => all.map(e => e.className)")
    assert levels == ["", "h2", "h7 most", "n4", ""]


def test_every_tokens_activation_is_told_by_pointer_and_keys(desk: Any) -> None:
    context = desk.locator(".context").first
    context.locator("span[data-i='1']").hover()
    assert desk.locator("output.readout").inner_text().startswith("⏎ 2,")
    context.focus()
    desk.keyboard.press("ArrowRight")
    desk.keyboard.press("ArrowRight")
    assert desk.locator("output.readout").inner_text().startswith("7 -4, token 4 of 5, document doc0")
    desk.keyboard.press("Home")
    assert desk.locator("output.readout").inner_text().startswith("·the 0, token 1 of 5")
    assert "document doc0, largest 8" in str(context.get_attribute("aria-label"))


def test_neighbours_and_clusters_lead_on(browser: Any, site: Path) -> None:
    found = visit(browser, viewport={"width": 1440, "height": 900})
    page = found.open(site, "#f-9-0")
    shows(page, "Latent 0, block 9")
    page.locator(".near a").first.click()
    shows(page, "Latent 1, block 9")
    page.get_by_role("link", name="direction cluster 1", exact=True).click()
    cluster = page.locator("#c-9-d-0")
    playwright.expect(cluster).to_have_attribute("open", "")
    cluster.locator(".members a").nth(2).click()
    shows(page, "Latent 2, block 9")
    assert found.complaints == []
    page.context.close()


def test_blocks_can_be_chosen_and_linked_to(desk: Any) -> None:
    desk.get_by_label("Block", exact=True).select_option("11")
    assert desk.locator("p.count[role=status]").inner_text() == "72 of 80 latents"
    desk.locator("details.closest summary").click()
    desk.locator("details.closest a").first.click()
    shows(desk, "Latent 0, block 9")
    assert desk.get_by_label("Block", exact=True).input_value() == "0"


def test_latents_not_in_full_say_where_their_contexts_are(desk: Any) -> None:
    desk.evaluate("location.hash = 'f-9-38'")
    desk.wait_for_function("document.querySelector('#feature h3').textContent.startsWith('Latent 38')")
    assert "in the data file beside this page" in desk.locator("#feature").inner_text()
    desk.evaluate("location.hash = 'f-9-59'")
    desk.wait_for_function("document.querySelector('#feature h3').textContent.startsWith('Latent 59')")
    assert "It never fires" in desk.locator("#feature").inner_text()


def test_hostile_tokens_stay_text(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    write_feature_page(file(tokens=[HOSTILE] * 7), path, f"{HOSTILE}.json".replace("/", ""))
    found = visit(browser)
    page = found.open(path)
    page.locator(".context span[data-i]").first.hover()
    assert HOSTILE.replace(" ", "·") in page.locator("output.readout").inner_text()
    assert page.locator("img").count() == 0
    assert [url for url in found.requests if not url.startswith("file://")] == []
    assert found.complaints == []
    page.context.close()


def test_without_scripts_the_summary_and_clusters_remain(browser: Any, site: Path) -> None:
    found = visit(browser, java_script_enabled=False)
    page = found.open(site)
    assert page.locator(".browser:visible").count() == 0
    assert "need scripts" in page.locator("body").inner_text()
    assert page.locator("#summary table:visible").count() == 2
    assert page.locator(".clusters details:visible").count() == 8
    page.context.close()


@pytest.mark.parametrize("width", [320, 820, 1440])
def test_the_page_never_scrolls_sideways(browser: Any, site: Path, width: int) -> None:
    page = visit(browser, viewport={"width": width, "height": 800}).open(site)
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("light", 390)])
def test_axe_finds_nothing(browser: Any, site: Path, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = visit(browser, viewport={"width": width, "height": 900}, color_scheme=scheme).open(site)
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    page.locator(".context").first.focus()
    found = axe.Axe().run(page).response["violations"]
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]][:3]) for rule in found] == []
    page.context.close()
