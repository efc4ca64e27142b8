"""Answers turned right and wrong: McNemar's exact test, and what it becomes where items hang together."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from harness.stats.paired import mcnemar, sign_flip
from harness.stats.turned import Turned, turned


def answers(gained: int, lost: int, same: int) -> tuple[np.ndarray, np.ndarray]:
    before = np.array([0] * gained + [1] * lost + [0, 1] * same, dtype=float)
    after = np.array([1] * gained + [0] * lost + [0, 1] * same, dtype=float)
    return before, after


@pytest.mark.parametrize(("counts", "p"), [((2, 10), 0.0385742), ((0, 4), 0.125), ((1, 9), 0.0214844), ((5, 5), 1)])
def test_single_items_have_mcnemars_exact_test(counts: tuple[int, int], p: float) -> None:
    before, after = answers(*counts, same=7)
    found = turned(before, after, np.arange(len(before)))
    assert (found.gained, found.lost, found.how) == (*counts, "McNemar")
    assert found.p == pytest.approx(p, abs=1e-7)


def test_it_is_the_sign_flip_test_of_single_items() -> None:
    """Over all sign patterns of the items that change, by hand."""
    before, after = answers(1, 6, same=3)
    change = after - before
    sums = [abs(np.dot(change, signs)) for signs in product((-1, 1), repeat=len(change))]
    by_hand = np.mean([total >= abs(change.sum()) for total in sums])
    assert turned(before, after, np.arange(len(change))).p == pytest.approx(by_hand)
    assert sign_flip(change, flips=2**13) == pytest.approx(by_hand, abs=1e-9)
    assert mcnemar(1, 6) == pytest.approx(by_hand)


def test_items_of_a_cluster_are_not_counted_as_many() -> None:
    """Ten answers lost in one cluster are one piece of evidence, not ten."""
    before, after = answers(0, 10, same=10)
    together = np.array([0] * 10 + list(range(1, 21)))
    found = turned(before, after, together)
    assert (found.lost, found.how) == (10, "sign flips")
    assert found.p == pytest.approx(1.0)
    assert turned(before, after, np.arange(30)).p == pytest.approx(2 * 0.5**10)


def test_under_no_difference_it_claims_one_at_most_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(24), 3)
    claims = []
    for _ in range(200):
        easy = rng.random(24)[cluster]
        before, after = (np.asarray(rng.random(72) < easy, dtype=float) for _ in range(2))
        claims.append(turned(before, after, cluster).p < 0.05)
    # Of 200 at .05 more than 17 are seen once in a thousand times.
    assert sum(claims) <= stats.binom.ppf(0.999, 200, 0.05)


def test_nothing_turned_and_what_is_no_answer() -> None:
    same = np.array([0.0, 1.0, 1.0])
    assert turned(same, same, np.array([0, 0, 1])) == Turned(0, 0, 1.0, "McNemar")
    with pytest.raises(ValueError, match=r"right .1. or wrong .0."):
        turned(same, same / 2, np.arange(3))
