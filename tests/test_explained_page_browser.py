"""The page of an explained text in a browser, from a file: it asks for nothing, and fits a telephone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import HOSTILE, MARKS, audit, visit
from explained_files import explained, file, latent

from harness.board.explained_page import write_explained
from harness.specs.explained import Guess, Prediction, Token

pytestmark = MARKS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two predictions of a decoder, with tokens and labels that would be markup or are very long."""
    words = [Token(kind="token", text=HOSTILE), Token(kind="before", text="w" * 60)]
    top = [Guess(text=text, id=1, p=0.4, beside=0.1) for text in (" 20", HOSTILE, "x" * 70, "\n", "é")]
    own = Prediction(top=top, entropy=1.2)
    one = explained(1, prediction=own, model=own)
    one = one.model_copy(update={"latents": [latent(0, 0.9, label=words), *one.latents[1:]]})
    held = file(one, explained(2), whose="decoder", tokens=["17", HOSTILE, " 20", "y" * 80])
    return write_explained(held, tmp_path_factory.mktemp("site") / "x.json")[0]


def test_it_loads_nothing_and_runs_nothing_it_shows(browser: Any, site: Path) -> None:
    found = visit(browser, viewport={"width": 1280, "height": 900})
    page = found.open(site)
    page.locator("details.fold summary").first.click()
    assert page.locator("table.latents tbody tr:visible").count() == 20 + 10 + 20
    assert HOSTILE.replace(" ", "·") in page.locator(".chips").inner_text()
    assert HOSTILE.replace(" ", "·") in page.locator("blockquote").first.inner_text()
    assert page.locator("img").count() == 0
    page.locator("a.said").nth(1).click()
    assert page.evaluate("location.hash") == "#step-2"
    assert [url for url in found.requests if not url.startswith("file://")] == []
    assert found.complaints == []
    page.context.close()


def test_effects_are_drawn_to_their_side_and_size(browser: Any, site: Path) -> None:
    page = visit(browser).open(site)
    drawn = page.locator("#step-2 .drawn rect").evaluate_all(
        "all => all.map(r => [+r.getAttribute('x'), +r.getAttribute('width')])"
    )
    assert drawn[0] == [50, 50]
    assert drawn[1] == [pytest.approx(50 - 50 * 0.875 / 0.9, abs=0.06), pytest.approx(50 * 0.875 / 0.9, abs=0.06)]
    page.context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_it_fits_and_axe_finds_nothing(browser: Any, site: Path, scheme: str, width: int) -> None:
    page = visit(browser, viewport={"width": width, "height": 900}, color_scheme=scheme).open(site)
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert audit(page) == []
    page.context.close()
