"""The report on steering in a browser: quiet, whole on a phone, reached by keyboard, and axe finds nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsing import HOSTILE, MARKS, audit, visit
from steering_records import NONE, PUSH, WORDS, save_steerer

from harness.reporting.making import report

pytestmark = MARKS


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every outcome, in which every text of a record is hostile."""
    folder = tmp_path_factory.mktemp("run")
    for of in (NONE, PUSH, replace(PUSH, name="worse", slope=-1.0, right=(0.5, 0.2), hits=(0.0, 0.0)), WORDS):
        save_steerer(folder, replace(of, text=HOSTILE))
    return report("steering", folder).write(folder / "report")[0]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_report_is_quiet_whole_and_accessible(browser: Any, page_path: Path, width: int, scheme: str) -> None:
    found = visit(browser, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = found.open(page_path)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert (found.requests, found.complaints) == ([page_path.as_uri()], [])
    assert page.locator("img, main script").count() == 0
    assert HOSTILE in page.locator(".pair .said").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert audit(page) == []
    page.context.close()


def test_outcomes_have_their_colours_and_quotes_stand_apart(browser: Any, page_path: Path) -> None:
    found = visit(browser, viewport={"width": 1280, "height": 844})
    page = found.open(page_path)

    def style(selector: str, name: str) -> str:
        return str(page.locator(selector).first.evaluate(f"(one) => getComputedStyle(one).{name}"))

    assert style(".word.steers", "color") == style(".badge.helped", "color")
    assert style(".badge.harmed", "color") == style(".badge.wrong", "color")
    kinds = (".word.steers", ".word.lexical", ".word.inconclusive", ".badge.harmed")
    assert len({style(kind, "color") for kind in kinds}) == 4
    assert style("mark", "backgroundColor") != style(".pair .said", "backgroundColor")
    assert (style("#published", "borderTopStyle"), style("#t0", "borderTopStyle")) == ("dashed", "none")
    page.context.close()


def test_what_scrolls_is_reached_by_keyboard_and_links_lead_somewhere(browser: Any, page_path: Path) -> None:
    found = visit(browser, viewport={"width": 390, "height": 844})
    page = found.open(page_path)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    unreached = page.evaluate(
        "[...document.querySelectorAll('main *')].filter((one) => one.scrollWidth > one.clientWidth + 1"
        " && getComputedStyle(one).overflowX === 'auto' && one.tabIndex < 0).length"
    )
    assert unreached == 0
    dead = page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter((one) => "
        "!document.getElementById(one.getAttribute('href').slice(1))).length"
    )
    assert dead == 0
    page.context.close()
