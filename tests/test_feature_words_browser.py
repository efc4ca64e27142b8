"""Labels in words and ratings in a browser: found, sorted, read, and never more than text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import HOSTILE, MARKS, audit, visit
from judged_files import rated_file, rated_latents

from harness.board.feature_page import write_feature_page
from harness.specs.features import FeatureFile

pytestmark = MARKS


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> FeatureFile:
    return rated_file(tmp_path_factory.mktemp("rated"))


@pytest.fixture(scope="module")
def site(held: FeatureFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site") / "x.html"
    write_feature_page(held, path, "x.json")
    return path


@pytest.fixture
def desk(browser: Any, site: Path, held: FeatureFile) -> Iterator[Any]:
    found = visit(browser, viewport={"width": 1440, "height": 900})
    page = found.open(site, f"#f-9-{rated_latents(held)[-1]}")
    yield page
    assert [url for url in found.requests if not url.startswith("file://")] == []
    assert found.complaints == []
    page.context.close()


def test_a_latent_shows_its_words_and_what_people_said(desk: Any, held: FeatureFile) -> None:
    view = desk.locator("#feature").inner_text()
    for text in ("Label in words", "numbers after an equals sign", "Judge's detection", "Another's label",
                 "Ratings by people", "2 ratings", "ada", "clear, I think"):  # fmt: skip
        assert text in view, text


def test_they_are_found_filtered_and_sorted(desk: Any, held: FeatureFile) -> None:
    def numbers() -> list[int]:
        return [int(text) for text in desk.locator(".features tbody th").all_inner_texts()]

    desk.get_by_label("Show").select_option("rated")
    assert sorted(numbers()) == rated_latents(held)
    desk.locator(".features th[data-key=rating] button").click()
    by = {f.index: sum(r.value for r in f.ratings) / 2 for f in held.layers[0].features if f.ratings}
    assert [by[i] for i in numbers()] == sorted(by.values(), reverse=True)
    desk.get_by_label("Show").select_option("judged")
    assert sorted(numbers()) == [f.index for f in held.layers[0].features if f.judged]
    desk.locator(".features th[data-key=judge] button").click()
    assert numbers()[-1] == next(f.index for f in held.layers[0].features if f.judged and not f.judged.label)
    desk.get_by_label("Show").select_option("worded")
    held_to = [f.index for f in held.layers[0].features if f.judged and f.judged.detection]
    low = {i for i in held_to if _lower(held, i) > 0.7}
    assert set(numbers()) == low
    desk.get_by_label("Show").select_option("alive")
    desk.get_by_label("Find", exact=True).fill("equals sign")
    assert sorted(numbers()) == held_to


def test_hostile_words_stay_text(browser: Any, tmp_path: Path) -> None:
    hostile = rated_file(tmp_path, comment=HOSTILE, text=HOSTILE)
    write_feature_page(hostile, tmp_path / "x.html", "x.json")
    found = visit(browser)
    page = found.open(tmp_path / "x.html", f"#f-9-{rated_latents(hostile)[-1]}")
    assert page.locator("#feature").inner_text().count(HOSTILE) == 3
    assert (found.complaints, [url for url in found.requests if not url.startswith("file://")]) == ([], [])
    page.context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_it_fits_and_axe_finds_nothing(browser: Any, site: Path, held: FeatureFile, scheme: str, width: int) -> None:
    found = visit(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = found.open(site, f"#f-9-{rated_latents(held)[-1]}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert audit(page) == []
    page.context.close()


def _lower(held: FeatureFile, latent: int) -> float:
    judged = held.layers[0].features[latent].judged
    return judged.detection.lower if judged and judged.detection else 0.0
