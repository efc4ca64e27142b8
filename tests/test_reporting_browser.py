"""A report in a browser: it asks for nothing, hostile texts do nothing, it fits a phone, and axe finds nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import HOSTILE, MARKS, audit, visit
from error_records import Row, save_row

from harness.reporting.making import report

pytestmark = MARKS


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything it may hold, in which every text of a record and of an answer is hostile."""
    folder = tmp_path_factory.mktemp("run")
    for row in (Row("probe", 1.5), Row("doubt", 0.2, role="floor"), Row("bare", 0.0, places=False)):
        save_row(folder, Row(**{**vars(row), "text": HOSTILE, "change": {"warnings": (HOSTILE,)}}))
    return report("errors", folder).write(folder / "report")[0]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_a_report_is_quiet_whole_and_accessible(browser: Any, page_path: Path, width: int, scheme: str) -> None:
    found = visit(browser, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = found.open(page_path)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert (found.requests, found.complaints) == ([page_path.as_uri()], [])
    assert page.locator("img, main script").count() == 0
    assert page.locator(".example").count() >= 6
    assert HOSTILE in page.locator(".example .said").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert audit(page) == []
    page.context.close()


def test_what_scrolls_and_folds_is_reached_by_keyboard(browser: Any, page_path: Path) -> None:
    found = visit(browser, viewport={"width": 390, "height": 844})
    page = found.open(page_path)
    unreached = page.evaluate(
        "[...document.querySelectorAll('main *')].filter((one) => one.scrollWidth > one.clientWidth + 1"
        " && getComputedStyle(one).overflowX === 'auto' && one.tabIndex < 0).length"
    )
    assert unreached == 0
    page.locator("details.fold summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.fold").first.get_attribute("open") is not None
    page.context.close()
