"""The statistics keep their word: worlds of known truth are drawn again and again, and promises are counted.

The worlds are those of ``benchmarks/sim_statistics.py``, which runs them at length. All seeds are fixed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.content import import_file
from harness.stats.power import Components, SeedSpread, items_to_differ
from harness.stats.unrelated import FIXED, Side, Unrelated, unrelated

SIM: Any = import_file(Path(__file__).parents[1] / "benchmarks" / "sim_statistics.py", "sim_statistics")


def error(rate: float, sets: int) -> float:
    """Return three standard errors of a simulated rate."""
    return float(3 * np.sqrt(rate * (1 - rate) / sets))


@pytest.mark.parametrize("name", SIM.INTERVALS)
def test_intervals_of_95_percent_cover_90_to_98(name: str) -> None:
    draw, world = SIM.INTERVALS[name]
    assert 0.90 <= SIM.coverage(draw, world, 300) <= 0.98


def test_coverage_is_counted_so_that_a_bad_interval_fails() -> None:
    """Seeds that vary and are left out of a one-seed interval: the count must see it."""
    assert SIM.coverage(SIM.of_two, SIM.World(1, 60, seed=0.3), 200) < 0.8


def test_tables_of_equal_methods_are_rarely_separated() -> None:
    assert SIM.false_claims(SIM.World(3, 30, skew=0.8), 8, 500, resamples=499) <= 0.05 + error(0.05, 500)


def test_tie_groups_separate_a_difference_of_the_stated_size_with_the_stated_power() -> None:
    world = SIM.one_seed(40, 0.0)
    delta = SIM.pair_components(world).test(1, 40).detectable(0.8)
    assert SIM.found_in_table(world, 2, delta, 800) == pytest.approx(0.8, abs=error(0.8, 800))
    assert SIM.found_in_table(world, 2, delta / 2, 800) == pytest.approx(
        SIM.pair_components(world).test(1, 40).power(delta / 2), abs=error(0.3, 800)
    )


def test_tie_groups_with_seeds_separate_the_stated_difference_too() -> None:
    world = SIM.World(3, 40, skew=0.0, seed=0.15)
    delta = SIM.pair_components(world).test(3, 40).detectable(0.8)
    assert SIM.found_in_table(world, 2, delta, 500) == pytest.approx(0.8, abs=error(0.8, 500))


def test_a_larger_table_sees_less_and_never_less_than_bonferroni() -> None:
    world, pairs, sets = SIM.one_seed(40, 0.0), 15, 300
    spread = SIM.pair_components(world)
    delta, se = spread.test(1, 40).detectable(0.9), np.sqrt(spread.cluster / 40)
    critical = stats.t.isf(0.025 / pairs, 39)
    least = float(stats.nct.sf(critical, 39, delta / se))
    found = SIM.found_in_table(world, 6, delta, sets)
    assert least - error(least, sets) <= found < 0.9


CASES = {
    "one seed": (Components(None, 1.0, 0.3), 1, 20),
    "seeds that do not vary, and a large rest": (Components(0.0, 1.0, 1.0), 3, 60),
    "rest alone": (Components(0.0, 0.0, 1.0), 3, 20),
    "seeds vary a little": (Components(0.02, 1.0, 0.3), 3, 60),
    "seeds decide": (Components(1.0, 0.1, 0.3), 3, 20),
    "two seeds": (Components(0.1, 1.0, 0.3), 2, 40),
    "five seeds": (Components(0.1, 1.0, 0.3), 5, 60),
}


@pytest.mark.parametrize("name", CASES)
def test_the_detectable_difference_is_seen_in_80_percent(name: str) -> None:
    spread, seeds, clusters = CASES[name]
    test = spread.test(seeds, clusters)
    assert SIM.seen(spread, seeds, clusters, test.detectable(0.8), 1000) == pytest.approx(0.8, abs=error(0.8, 1000))
    size = test.power(0.0)
    assert SIM.seen(spread, seeds, clusters, 0.0, 1000, seed=1) == pytest.approx(size, abs=error(size, 1000))


UNRELATED = {
    "one seed": (Unrelated(FIXED, FIXED, 1.0), 1, 40),
    "seeds vary a little": (Unrelated(Side(0.05, 0.15), Side(0.05, 0.15), 1.0), 3, 60),
    "seeds decide, on one side most": (Unrelated(Side(0.5, 0.15), Side(0.05, 0.5), 0.1), 3, 20),
    "rest alone": (Unrelated(Side(0.0, 0.5), Side(0.0, 0.5), 0.0), 3, 20),
    "a fixed side": (Unrelated(Side(0.1, 0.2), FIXED, 1.0), 3, 40),
    "two seeds": (Unrelated(Side(0.05, 0.15), Side(0.05, 0.15), 1.0), 2, 40),
    "five seeds": (Unrelated(Side(0.05, 0.15), Side(0.02, 0.15), 1.0), 5, 40),
}


@pytest.mark.parametrize("name", UNRELATED)
def test_comparisons_see_the_detectable_difference_in_80_percent(name: str) -> None:
    spread, seeds, clusters = UNRELATED[name]
    test = spread.test(seeds, clusters)
    assert SIM.seen_unrelated(spread, seeds, clusters, test.detectable(0.8), 1000) == pytest.approx(
        0.8, abs=error(0.8, 1000)
    )
    size = test.power(0.0)
    assert SIM.seen_unrelated(spread, seeds, clusters, 0.0, 1000, seed=1) == pytest.approx(size, abs=error(size, 1000))
    turned = Unrelated(spread.b, spread.a, spread.cluster)
    assert turned.test(seeds, clusters).detectable() == test.detectable()


def test_the_power_is_that_over_very_many_drawn_mean_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 024 even points stand for the joint distribution of five mean squares to .002."""
    deltas = {name: spread.test(*size).detectable(0.8) for name, (spread, *size) in UNRELATED.items()}
    rng = np.random.default_rng(0)
    monkeypatch.setattr("harness.stats.unrelated.mean_square", lambda df, _: rng.chisquare(df, 400_000) / df)
    for name, (spread, *size) in UNRELATED.items():
        assert spread.test(*size).power(deltas[name]) == pytest.approx(0.8, abs=0.002)


def test_the_variances_of_two_methods_are_found_again() -> None:
    rng, found = np.random.default_rng(0), []
    truth = Unrelated(Side(0.5, 1.0), Side(0.1, 0.2), 2.0)
    for _ in range(300):
        shared_C = rng.normal(size=50)
        a_SC, b_SC = (shared_C + SIM._side(rng, side, 4, 50) for side in (truth.a, truth.b))
        spread = unrelated(a_SC + np.sqrt(2.0) * rng.normal(size=50), b_SC)
        found.append((spread.a.seed, spread.a.rest, spread.b.seed, spread.b.rest, spread.cluster))
    assert np.mean(found, axis=0) == pytest.approx((0.5, 1.0, 0.1, 0.2, 2.0), rel=0.1)
    assert unrelated(a_SC, b_SC[:1]).b == FIXED


def test_the_detectable_difference_between_seeds_is_that_of_welch() -> None:
    rng, sets = np.random.default_rng(0), 4000
    for a, b in ((1.0, 1.0), (1.0, 9.0), (1.0, 0.0)):
        delta = SeedSpread(a, b).test(4, 10).detectable(0.8)
        x, y = delta + np.sqrt(a) * rng.normal(size=(4, sets)), np.sqrt(b) * rng.normal(size=(4, sets))
        p = stats.ttest_ind(x, y, equal_var=False).pvalue if b else stats.ttest_1samp(x, 0).pvalue
        assert np.mean(p < 0.05) == pytest.approx(0.8, abs=error(0.8, sets))


def test_mcnemar_sees_the_difference_with_the_items_that_are_named() -> None:
    discordance, delta, sets = 0.1, 0.04, 4000
    items = items_to_differ(discordance, delta)
    rng = np.random.default_rng(0)
    counts = rng.multinomial(items, [(discordance + delta) / 2, (discordance - delta) / 2, 1 - discordance], size=sets)
    z = (counts[:, 0] - counts[:, 1]) / np.sqrt(np.maximum(counts[:, 0] + counts[:, 1], 1))
    assert np.mean(np.abs(z) > stats.norm.isf(0.025)) == pytest.approx(0.8, abs=error(0.8, sets))


@pytest.mark.parametrize("outlier", [False, True])
def test_metrics_of_equal_methods_are_rarely_separated(outlier: bool) -> None:
    assert SIM.family_claims(40, 8, 0.0, 500, outlier)[0] <= 0.05 + error(0.05, 500)


def test_a_metric_that_hangs_on_one_cluster_takes_no_power_from_the_others() -> None:
    alone, beside = (SIM.family_claims(40, 8, 0.8, 300, outlier)[1] for outlier in (False, True))
    assert beside >= alone - error(alone, 300)
    assert alone > 0.7


@pytest.mark.parametrize("world", [SIM.World(3, 40), SIM.World(3, 40, skew=1.0, own=0.1, seed=0.3)])
def test_comparisons_of_equal_methods_with_seeds_rarely_claim_a_difference(world: Any) -> None:
    assert SIM.comparison_claims(world, 8, 500) <= 0.05 + error(0.05, 500)


def test_seeds_in_pairs_and_single_seeds_would_claim_too_often() -> None:
    """Why comparisons take seeds as unrelated and give no verdict with one; and the simulation can tell."""
    assert SIM.comparison_claims(SIM.World(3, 40, own=0.1, seed=0.3), 8, 300, paired=True) > 0.05 + error(0.05, 300)
    assert SIM.comparison_claims(SIM.World(3, 40), 8, 200, single=True) > 0.2
