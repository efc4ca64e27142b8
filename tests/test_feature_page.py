"""The feature page as a file: made from the data file alone, closed to the network, deaf to what tokens say."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_files import coverage, feature, file, label, layer
from test_pages import read

from harness.board.feature_page import feature_html, of_interest, script_json, write_feature_page
from harness.board.feature_records import join_reasoning
from harness.board.histogram import histogram
from harness.errors import UserError
from harness.specs.features import Item, Reasoning
from harness.store.features import found_features, load_features, save_features

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"{{ 7*7 }}<!--\u2028&amp;"


def data(page: str) -> Any:
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])


def test_the_page_nests_and_names_its_data_file() -> None:
    page = feature_html(file(layer(9), layer(11)), "seed0.json")
    elements = read(page).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {str(attributes["href"]) for _, attributes in elements if "href" in attributes}
    features = {link for link in links if re.match(r"#f-\d+-\d+$", link)}
    assert {link for link in links - features if link[1:] not in ids} == {"seed0.json"}
    assert features <= {f"#f-{held}-{i}" for held in (9, 11) for i in range(60)}
    assert not [tag for tag, attributes in elements if "src" in attributes]
    assert not [a for _, a in elements if "style" in a or any(name.startswith("on") for name in a)]


def test_tokens_documents_and_titles_cannot_write_markup() -> None:
    bad = feature(0, 60, unlabelled=None, label=label().model_copy(
        update={"items": [Item(kind="token", text=HOSTILE, weight=2.0)]}
    ))  # fmt: skip
    bad = bad.model_copy(update={"contexts": [c.model_copy(update={"document": HOSTILE}) for c in bad.contexts]})
    held = layer(features=[bad, *(feature(i, 60) for i in range(1, 60))], notes=[HOSTILE], own=coverage(HOSTILE, None))
    hostile = file(
        held, tokens=[HOSTILE] * 7, command=HOSTILE, task={"name": HOSTILE, "title": HOSTILE, "track": HOSTILE}
    )
    page = feature_html(hostile, f"{HOSTILE}.json")
    reader, clean = read(page), read(feature_html(file(), "seed0.json"))
    tags = [tag for tag, _ in reader.elements]
    assert "img" not in tags
    assert tags.count("script") == 2
    assert reader.raw["script"].endswith(clean.raw["script"][-2000:])
    assert not any(name.startswith("on") for _, attributes in reader.elements for name in attributes)
    found = data(page)
    assert HOSTILE in found["tokens"]
    assert found["layers"][0]["label"][0] == [["token", HOSTILE]]
    assert found["layers"][0]["details"]["0"]["contexts"][0]["document"] == HOSTILE


def test_script_data_cannot_end_its_element() -> None:
    text = script_json({"a": HOSTILE, "b": ["<", ">", "&"]})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"a": HOSTILE, "b": ["<", ">", "&"]}
    with pytest.raises(ValueError, match="JSON"):
        script_json(float("nan"))


def test_every_latent_is_in_the_list_and_at_most_so_many_in_full() -> None:
    held = file(layer(3, reasoning=True), layer(4))
    found = data(feature_html(held, "x.json", 20))["layers"]
    assert [len(one["fires"]) for one in found] == [60, 60]
    assert [len(one["details"]) for one in found] == [10, 10]
    assert data(feature_html(held, "x.json"))["layers"][1]["details"].keys() == {
        str(i) for i in range(60) if i % 10 != 9
    }


def test_latents_of_interest_come_from_three_orders_in_turn() -> None:
    held = layer(reasoning=True)
    alive = [f for f in held.features if f.fires]
    by_p = min(alive, key=lambda f: f.reasoning.p if f.reasoning and f.reasoning.p else 1.0)
    by_label = max((f for f in alive if f.label), key=lambda f: f.label.detection.lower if f.label else 0)
    by_mass = max(alive, key=lambda f: f.fires)
    assert of_interest([held], 3) == [sorted({by_p.index, by_label.index, by_mass.index})]
    assert len(of_interest([held, held], 20)[1]) == 10
    assert of_interest([layer()], 10**6) == [[i for i in range(60) if i % 10 != 9]]


def test_a_page_of_a_wide_dictionary_stays_small() -> None:
    few, many = (len(feature_html(file(layer(latents=n)), "x.json").encode()) for n in (600, 6000))
    # Beyond the 500 in full a latent costs its place in the list alone.
    assert (many - few) / 5400 < 250
    assert many < 3e6


def test_layers_controls_and_notes_are_on_the_page_without_scripts() -> None:
    page = feature_html(file(layer(9, reasoning=True), layer(11)), "x.json")
    for text in (
        "Block 9 against block 11",
        "25.0 %",
        "no latent fires",
        "the documents gave 40 tokens",
        "seed0-abc.json",
        "lexical explainability",
        "harness features topk --task sums",
        "cosine above 0.220",
    ):
        assert text in page, text
    assert "interpretab" not in page.lower()
    assert "ReasonScore above its null" in page
    assert "ReasonScore above its null" not in feature_html(file(), "x.json")


def test_histograms_count_everything_once() -> None:
    values = np.random.default_rng(0).uniform(-0.2, 1.3, 500)
    found = histogram(values.tolist(), [i / 10 for i in range(11)])
    counts = [int(bar.text.rsplit(": ", 1)[1]) for bar in found.bars]
    expected, _ = np.histogram(values.clip(0, 0.999), bins=np.linspace(0, 1, 11))
    assert counts == expected.tolist()
    assert [bar.height for bar in found.bars] == pytest.approx(expected / expected.max() * 90)
    assert f"median {np.median(values):.3f}"[:12] in found.summary
    assert histogram([], [0, 1]).summary == "no values"


def test_files_come_back_and_broken_ones_are_said(tmp_path: Path) -> None:
    path, held = tmp_path / "a" / "seed0.json", file()
    save_features(path, held)
    assert load_features(path) == held
    assert found_features(path, held.key) == held
    assert found_features(path, "other") is None
    path.write_text(path.read_text().replace('"schema_version":2', '"schema_version":9'))
    with pytest.raises(UserError, match="feature schema 9 is not known here"):
        load_features(path)
    path.write_text(path.read_text().replace('"schema_version":9', '"schema_version":1'))
    with pytest.raises(UserError, match="feature schema 1 is not known here; this version reads 2"):
        load_features(path)
    assert found_features(path, held.key) is None
    path.write_text("{")
    with pytest.raises(UserError, match="not a whole file of features"):
        load_features(path)
    assert found_features(path, held.key) is None


def test_equal_files_give_equal_pages(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_feature_page(file(), tmp_path / name / "x.html", "x.json")
    assert (tmp_path / "a" / "x.html").read_bytes() == (tmp_path / "b" / "x.html").read_bytes()


def record(folder: Path, count: int = 60, **change: Any) -> Path:
    """Write a record with a table of latents as the reasoning track does."""
    path = folder / "results" / "sums" / "topk" / "seed0-abc.json"
    path.parent.mkdir(parents=True)
    table = path.with_suffix(".latents.npz")
    score = np.linspace(-0.1, 0.2, count, dtype=np.float32)
    score[3] = np.nan
    injected = np.array(["", "token-driven", *[""] * (count - 2)], dtype="U24")
    np.savez(
        table, latent=np.arange(count, dtype=np.int32), reasonscore=score, p=np.full(count, 0.25, np.float32),
        passed=score > 0.1, injection_class=injected, words=np.array(["wait"]), word_means=np.zeros((count, 1)),
    )  # fmt: skip
    value = {
        "task": {"table": "t" * 24}, "method": {"identity": "i"}, "seed": 0, "status": "ok", "latents": table.name,
        "latents_sha256": hashlib.sha256(table.read_bytes()).hexdigest(), "provenance": {"finished": "2026-11-20"},
        **change,
    }  # fmt: skip
    path.write_text(json.dumps(value))
    return path


def test_reasoning_scores_of_the_same_fit_are_joined(tmp_path: Path) -> None:
    record(tmp_path)
    joined = join_reasoning(file(layer(9), layer(11, table="other")), tmp_path)
    first, second = joined.layers
    assert (first.reasoning, second.reasoning) == ("seed0-abc.json", None)
    scores = [f.reasoning for f in first.features]
    assert all(isinstance(score, Reasoning) and score.p == 0.25 for score in scores)
    assert scores[3] is not None
    assert scores[3].reasonscore is None
    assert scores[1] is not None
    assert (scores[1].injection_class, scores[1].passed, scores[1].rs_topk) == ("token-driven", False, None)
    assert scores[59] is not None
    assert scores[59].passed is True
    assert all(f.reasoning is None for f in second.features)
    assert data(feature_html(joined, "x.json"))["layers"][0]["p"][0] == 0.25


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"status": "failed"}, {"method": {"identity": "j"}}, {"latents": None}, {"task": {}}]
)
def test_records_of_other_fits_are_not(change: dict[str, Any], tmp_path: Path) -> None:
    record(tmp_path, **change)
    (tmp_path / "results" / "sums" / "topk" / "torn.json").write_text("{")
    assert join_reasoning(file(), tmp_path) == file()
    assert join_reasoning(file(), tmp_path / "nowhere") == file()


def test_an_altered_table_or_one_of_another_size_is_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "small", count=59)
    with pytest.raises(UserError, match="speaks of 59 latents, the method has 60"):
        join_reasoning(file(), tmp_path / "small")
    path.with_suffix(".latents.npz").write_bytes(b"")
    with pytest.raises(UserError, match="is missing or is not the file"):
        join_reasoning(file(), tmp_path / "small")
