"""The report on decoders in a browser: quiet, whole on a phone, reached by keyboard, and axe finds nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from board_records import Quality
from browsing import HOSTILE, MARKS, audit, visit
from decoding_records import (
    HARMFUL,
    SIGNAL,
    Decoder,
    save_decoder,
    save_dictionary,
    save_explainer,
    save_labels,
    save_reward,
)

from harness.reporting.making import report

pytestmark = MARKS


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every section, in which every text of a record is hostile."""
    folder = tmp_path_factory.mktemp("run")
    for role, name in ((None, "lens"), ("floor", "modal")):
        for task, corpus in (("sums", None), ("far", "sums")):
            save_decoder(folder, Decoder(name, role=role, task=task, corpus=corpus, text=HOSTILE))
    save_decoder(folder, Decoder("lens", layer=3, text=HOSTILE))
    save_dictionary(folder, Quality())
    save_labels(folder, 5, 9, text=HOSTILE, controls=(1,))
    save_reward(folder, HARMFUL, SIGNAL, text=HOSTILE)
    for name, faithful in (("told", 0.8), ("ranking", 0.4)):
        save_explainer(folder, name, faithful)
    return report("decoding", folder).write(folder / "report")[0]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_report_is_quiet_whole_and_accessible(browser: Any, page_path: Path, width: int, scheme: str) -> None:
    found = visit(browser, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = found.open(page_path)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert (found.requests, found.complaints) == ([page_path.as_uri()], [])
    assert page.locator("img, main script").count() == 0
    assert HOSTILE in page.locator("#decoders").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert audit(page) == []
    page.context.close()


def test_verdicts_and_outcomes_have_their_colours(browser: Any, page_path: Path) -> None:
    """What is missed, and a harmful reward, are not the colour of text."""
    found = visit(browser, viewport={"width": 1280, "height": 844})
    page = found.open(page_path)

    def colour(selector: str) -> str:
        return str(page.locator(selector).first.evaluate("(one) => getComputedStyle(one).color"))

    assert colour(".word.harmful") == colour(".outcome.missed")
    assert colour(".word.signal") == colour(".outcome.met")
    assert len({colour(name) for name in (".outcome.missed", ".outcome.met", ".outcome.not", "body")}) == 4
    page.context.close()


def test_what_scrolls_is_reached_by_keyboard_and_links_lead_somewhere(browser: Any, page_path: Path) -> None:
    found = visit(browser, viewport={"width": 390, "height": 844})
    page = found.open(page_path)
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
