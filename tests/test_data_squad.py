"""SQuAD's judge, against cases worked out by hand from the data set's script."""

from __future__ import annotations

import pytest

from harness.data.squad import squad_scores


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        (" The Catholic Church.\n", ["catholic church"], 1.0, 1.0),
        ("in France", ["Catholic Church in France"], 0.0, 2 * (1.0 * 0.5) / 1.5),
        ("France France", ["France"], 0.0, 2 * (0.5 * 1.0) / 1.5),
        ("about 30,000 people", ["5,000", "30,000"], 0.0, 2 * (1 / 3) / (4 / 3)),
        ("theatre", ["the atre"], 0.0, 0.0),
        ("the", ["an"], 1.0, 1.0),
        ("", ["a year"], 0.0, 0.0),
    ],
)
def test_exact_match_and_f1_with_the_best_right_answer(answer: str, right: list[str], exact: float, f1: float) -> None:
    assert squad_scores(answer, right) == (exact, pytest.approx(f1))


def test_nothing_can_be_judged_without_a_right_answer() -> None:
    with pytest.raises(ValueError, match="right one"):
        squad_scores("yes", [])
