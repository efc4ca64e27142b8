"""Ratings from CSV: every mistake is told by line and column, and what is right adds up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from feature_files import file, layer
from judged_files import judged_layer, rated_file, ratings_csv
from scipy import stats

from harness.errors import UserError
from harness.features.ratings import add_ratings, mean_rating, read_ratings, read_scale, with_scores


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "r.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_ratings_of_any_order_of_columns_are_read(tmp_path: Path) -> None:
    text = '\ufeffrater, rating,latent,comment\r\nada,5,3,"two\nlines, ""quoted"""\r\n\r\n,2.5,0,\r\nada,1,0, \r\n'
    found = read_ratings(write(tmp_path, text), "1-5")
    assert [(row.line, row.latent, row.rating.value, row.rating.rater) for row in found.rows] == [
        (3, 3, 5.0, "ada"),
        (5, 0, 2.5, None),
        (6, 0, 1.0, "ada"),
    ]
    assert [row.rating.comment for row in found.rows] == ['two\nlines, "quoted"', None, None]


WRONG = {
    "no rating": ("latent,rating\n", "r.csv holds no rating below its header"),
    "nothing": ("", "line 1: column 'latent' is missing"),
    "no column": ("latent,comment\n1,x\n", "line 1: column 'rating' is missing"),
    "a column too many": ("latent,rating,scor\n1,2,3\n", "line 1: unknown column 'scor'"),
    "misspelt": ("latent,ratng\n1,2\n", "line 1: unknown column 'ratng'. Did you mean 'rating'?"),
    "twice": ("latent,rating,rating\n1,2,3\n", "line 1: column 'rating' is there twice"),
    "above": ("latent,rating\n1,5\n2,6\n", "line 3, column rating: give a number from 1 to 5, got '6'"),
    "below": ("latent,rating\n1,0\n", "line 2, column rating: give a number from 1 to 5, got '0'"),
    "word": ("latent,rating\n1,good\n", "line 2, column rating: give a number from 1 to 5, got 'good'"),
    "nan": ("latent,rating\n1,nan\n", "line 2, column rating"),
    "empty": ("latent,rating\n1,\n", "line 2, column rating: give a number from 1 to 5, got ''"),
    "negative": ("latent,rating\n-1,2\n", "line 2, column latent: give a whole number, got '-1'"),
    "half": ("latent,rating\n1.5,2\n", "line 2, column latent: give a whole number, got '1.5'"),
    "superscript": ("latent,rating\n²,2\n", "line 2, column latent"),
    "layer": ("latent,rating,layer\n1,2,nine\n", "line 2, column layer: give a whole number, got 'nine'"),
    "fields": ("latent,rating\n1,2\n1,2,3\n", "line 3: 3 fields under 2 columns"),
    "quote": ('latent,rating\n1,"2\n', "line 2: unexpected end of data"),
    "a rater twice": (
        "latent,rating,rater\n1,2,ada\n1,3,ben\n1,4,ada\n",
        "line 4: 'ada' rates latent 1 a second time (line 2 is the first)",
    ),
    "bytes": (b"latent,rating\n1,\xff\n", "is not UTF-8: invalid start byte at byte 16"),
    "zero byte": (b"latent,rating\n1,\x002\n", "line 2"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_mistakes_are_told_by_line_and_column(case: str, tmp_path: Path) -> None:
    text, said = WRONG[case]
    with pytest.raises(UserError) as found:
        read_ratings(write(tmp_path, text), "1-5")
    assert said in str(found.value)
    assert str(found.value).startswith("--ratings: ")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'.*none.csv' cannot be read: No such file"):
        read_ratings(tmp_path / "none.csv", "1-5")


@pytest.mark.parametrize(
    ("text", "ends"), [("1-5", (1, 5)), ("0 - 10", (0, 10)), ("-2-2", (-2, 2)), ("-2--0.5", (-2, -0.5))]
)
def test_scales_are_read(text: str, ends: tuple[float, float]) -> None:
    assert read_scale(text) == ends


@pytest.mark.parametrize("text", ["5-1", "1-1", "five", "1", "1-5-9", "", "nan-5"])
def test_what_is_no_scale_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--scale: give the least and the largest rating"):
        read_scale(text)


def test_a_scale_decides_what_is_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, "latent,rating\n1,9\n")
    assert read_ratings(path, "0-10").rows[0].rating.value == 9
    with pytest.raises(UserError, match=r"from 1 to 5, got '9' \(--scale sets the ends\)"):
        read_ratings(path, "1-5")


def test_lines_about_what_the_file_does_not_have_are_refused(tmp_path: Path) -> None:
    held = file(layer(9), layer(11))
    cases = {
        "latent,rating\n1,2\n": "line 2: column layer is needed; there are blocks 9, 11",
        "latent,rating,layer\n1,2,9\n1,2,10\n": "line 3, column layer: there is no block 10, only 9, 11",
        "latent,rating,layer\n60,2,11\n": "line 2, column latent: block 11 has latents 0 to 59, got 60",
    }
    for text, said in cases.items():
        with pytest.raises(UserError) as found:
            add_ratings(held, read_ratings(write(tmp_path, text), "1-5"))
        assert said in str(found.value)


def test_ratings_reach_their_latent_and_take_the_place_of_others(tmp_path: Path) -> None:
    held = file(layer(9), layer(11))
    first = add_ratings(held, read_ratings(write(tmp_path, "latent,rating,layer\n3,2,9\n3,4,9\n4,1,11\n"), "1-5"))
    assert mean_rating(first.layers[0].features[3]) == 3
    assert [sum(bool(f.ratings) for f in one.features) for one in first.layers] == [1, 1]
    again = add_ratings(first, read_ratings(write(tmp_path, "latent,rating,layer\n5,2,9\n"), "1-5"))
    assert [f.index for f in again.layers[0].features if f.ratings] == [5]
    assert again.layers[1].ratings is None


def test_sums_are_those_of_scipy(tmp_path: Path) -> None:
    held = rated_file(tmp_path).layers[0]
    rated = [f for f in held.features if f.ratings]
    assert held.ratings is not None
    assert (held.ratings.rated, held.ratings.ratings, held.ratings.raters) == (8, 16, 2)
    means = [np.mean([r.value for r in f.ratings]) for f in rated]
    assert held.ratings.average == pytest.approx(np.mean(means), abs=1e-4)
    scores = {one.name: one for one in held.ratings.scores}
    judged = [f.judged.detection.balanced for f in rated if f.judged and f.judged.detection]
    lexical = [f.label.detection.balanced for f in rated if f.label]
    for name, values in (("judge detection", judged), ("lexical detection", lexical)):
        assert scores[name].value == pytest.approx(stats.spearmanr(means, values).statistic, abs=1e-4)
        assert scores[name].items == 8
        assert scores[name].lo is not None
    assert held.ratings.agreement.value is not None
    assert 0.5 < held.ratings.agreement.value < 1


def test_ratings_that_have_nothing_to_do_with_the_score_are_not_held_to(tmp_path: Path) -> None:
    """The interval of a correlation takes in 0 for ratings drawn by lot, and not for those that follow the score."""
    held = layer()
    labelled = [f for f in held.features if f.label]
    rng = np.random.default_rng(0)
    lots = rng.permutation(np.arange(len(labelled)) % 5) + 1
    order = np.arange(len(labelled)) * 5 // len(labelled) + 1
    found = []
    for values in (lots, order):
        rows: list[dict[str, object]] = [
            {"latent": f.index, "rating": int(v)} for f, v in zip(labelled, values, strict=True)
        ]
        rated = add_ratings(file(held), read_ratings(write(tmp_path, ratings_csv(rows)), "1-5")).layers[0].ratings
        assert rated is not None
        assert rated.raters == 0
        assert "agreement needs 2" in str(rated.agreement.reason)
        found.append(rated.scores[0])
    assert found[0].lo is not None
    assert found[0].hi is not None
    assert found[0].lo < 0 < found[0].hi
    assert found[1].lo is not None
    assert found[1].lo > 0.8


def test_a_judge_that_comes_later_is_held_against_the_ratings(tmp_path: Path) -> None:
    text = "latent,rating\n" + "".join(f"{i},{1 + i % 5}\n" for i in range(0, 30, 3))
    rated = add_ratings(file(), read_ratings(write(tmp_path, text), "1-5"))
    assert rated.layers[0].ratings is not None
    assert [one.items for one in rated.layers[0].ratings.scores][2:] == [0, 0]
    judged = judged_layer()
    both = [
        f.model_copy(update={"judged": j.judged})
        for f, j in zip(rated.layers[0].features, judged.features, strict=True)
    ]
    later = with_scores(rated.model_copy(update={"layers": [rated.layers[0].model_copy(update={"features": both})]}))
    assert later.layers[0].ratings is not None
    assert (
        later.layers[0].ratings.scores[2].items
        == sum(bool(f.ratings and f.judged and f.judged.label) for f in both)
        > 0
    )
