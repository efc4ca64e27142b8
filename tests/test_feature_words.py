"""Labels in words and ratings on the feature page: as text, as columns, beside their controls."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from feature_files import file, layer
from judged_files import judged_layer, rated_file, rated_latents
from test_feature_page import data
from test_pages import read

from harness.board.feature_page import feature_html, of_interest
from harness.specs.features import FeatureFile
from harness.store.features import load_features, save_features


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> FeatureFile:
    return rated_file(tmp_path_factory.mktemp("rated"))


def test_files_with_labels_and_ratings_come_back(held: FeatureFile, tmp_path: Path) -> None:
    save_features(tmp_path / "x.json", held)
    assert load_features(tmp_path / "x.json") == held


def test_sums_stand_beside_their_controls_without_scripts(held: FeatureFile) -> None:
    page = re.sub(r"\s+", " ", feature_html(held, "x.json"))
    judge, rated = held.layers[0].judge, held.layers[0].ratings
    assert judge is not None
    assert rated is not None
    assert (judge.coverage, judge.lo, judge.hi) != (None, None, None)
    for text in (
        "some/judge was asked about 10 latents drawn from the 18 with windows enough",
        f"label_coverage {100 * (judge.coverage or 0):.1f} %",
        f"[{100 * (judge.lo or 0):.1f}, {100 * (judge.hi or 0):.1f}]",
        "1 latent has no label",
        "of the windows got no answer that could be read",
        "16 ratings of 8 latents by 2 named raters, on a scale from 1 to 5",
        "Krippendorff&#39;s alpha",
    ):
        assert text in page, text
    assert "interpretab" not in page.lower()


def test_pages_without_them_are_as_they_were() -> None:
    page = feature_html(file(), "x.json")
    for text in ("Label in words", "Ratings by people", "judge", "rated"):
        assert text not in page.split("<script")[0], text
    assert not {"words", "judge", "rating"} & set(data(page)["layers"][0])


def test_intervals_of_coverage_are_on_the_page() -> None:
    held = layer()
    own = held.own.model_copy(update={"lo": 0.1234, "hi": 0.4321})
    assert "[12.3, 43.2]" in feature_html(file(held.model_copy(update={"own": own})), "x.json")


def test_what_was_judged_or_rated_is_shown_in_full(held: FeatureFile) -> None:
    shown = of_interest(held.layers, 20)[0]
    assert len(set(rated_latents(held)) & set(shown)) >= 5
    (only,) = of_interest([judged_layer().model_copy(update={"own": held.layers[0].own})], 500)
    assert {f.index for f in held.layers[0].features if f.judged} <= set(only)


def test_words_of_judges_and_people_cannot_write_markup(tmp_path: Path) -> None:
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"{{ 7*7 }}<!--\u2028&amp;"
    hostile = rated_file(tmp_path, comment=bad, text=bad)
    judge = hostile.layers[0].judge
    assert judge is not None
    layers = [hostile.layers[0].model_copy(update={"judge": judge.model_copy(update={"model": bad})})]
    page = feature_html(hostile.model_copy(update={"layers": layers}), "x.json")
    tags = [tag for tag, _ in read(page).elements]
    assert "img" not in tags
    assert tags.count("script") == 2
    found = data(page)["layers"][0]
    latent = str(rated_latents(hostile)[0])
    assert found["details"][latent]["judged"]["label"].startswith(bad)
    assert found["details"][latent]["ratings"][0]["comment"] == bad
    assert "truth" not in json.dumps(found["details"][latent])
