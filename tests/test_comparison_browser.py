"""The page of a comparison in a browser, from a file: it asks for nothing, and fits a narrow screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from board_cases import GOOD, WEAK, three
from board_records import Case, Cell, save
from browsing import HOSTILE, MARKS, visit

from harness.comparison.comparing import compare
from harness.comparison.page import write

pytestmark = MARKS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    case = Case(title=HOSTILE)
    three(run, "one", GOOD, case)
    three(run, "two", WEAK, case)
    details = {"details": {f"documents of {HOSTILE}": 48.0}}
    save(run, Case(table="unmatched"), Cell("one", change=details))
    save(run, Case(table="unmatched"), Cell("two", quality=WEAK))
    return write(compare("one", "two", run), run / "compare")[0]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("light", 390), ("dark", 1280), ("dark", 390)])
def test_the_page_is_whole_asks_for_nothing_and_axe_finds_nothing(
    browser: Any, site: Path, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = visit(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = found.open(site)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("section table.compared").count() == 2
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.locator("svg circle").count() >= 10
    violations = axe.Axe().run(page).response["violations"]
    assert [(v["id"], [node["target"] for node in v["nodes"]]) for v in violations] == []
    assert [url for url in found.requests if not url.startswith("file://")] == []
    assert found.complaints == []
    page.context.close()
