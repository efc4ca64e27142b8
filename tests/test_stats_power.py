"""Power, standardised differences and families of questions: closed forms and independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.metrics.contract import Array
from harness.stats.crossed import crossed_se
from harness.stats.families import min_p
from harness.stats.paired import items_needed
from harness.stats.power import (
    Components,
    SeedSpread,
    clusters_needed,
    components,
    crossed_variance,
    items_to_differ,
    seeds_needed,
)
from harness.stats.resample import cluster_weights
from harness.stats.standardised import standardised


@pytest.mark.parametrize("clusters", [3, 20, 400])
def test_one_seed_has_the_power_of_the_noncentral_t(clusters: int) -> None:
    test = Components(None, 0.7, 0.3).test(1, clusters)
    critical, shift = stats.t.isf(0.025, clusters - 1), 2.0
    expected = stats.nct.sf(critical, clusters - 1, shift) + stats.nct.cdf(-critical, clusters - 1, shift)
    assert test.power(shift / np.sqrt(clusters)) == pytest.approx(float(expected), abs=2e-3)
    assert test.power(0.0) == pytest.approx(0.05, abs=1e-3)


def test_many_clusters_reach_the_normal_formula() -> None:
    z = stats.norm.isf(0.025) + stats.norm.ppf(0.8)
    assert Components(None, 4.0, 0.0).test(1, 10_000).detectable() == pytest.approx(z * 2 / 100, rel=2e-3)
    # Without a seed component several seeds lower the rest alone.
    assert Components(0.0, 4.0, 1e-9).test(5, 10_000).detectable() == pytest.approx(z * 2 / 100, rel=2e-3)


def test_what_is_detectable_is_seen_with_that_power_and_grows_with_it() -> None:
    for spread in (Components(0.1, 1.0, 0.5), Components(None, 1.0, 0.0), SeedSpread(1.0, 2.0)):
        test = spread.test(3, 20)
        found = [test.detectable(power) for power in (0.5, 0.8, 0.95)]
        assert found == sorted(found)
        assert [test.power(delta) for delta in found] == pytest.approx([0.5, 0.8, 0.95], abs=1e-4)
        assert test.power(-found[1]) == test.power(found[1])


def test_no_spread_sees_everything_and_one_seed_of_a_metric_over_seeds_nothing() -> None:
    assert Components(None, 0.0, 0.0).test(1, 5).detectable() == 0
    assert Components(None, 0.0, 0.0).test(1, 5).power(1e-9) == 1
    assert SeedSpread(1.0, 1.0).test(1, 5).detectable() == np.inf


def layouts(sizes: tuple[int, int], sd: tuple[float, float, float], sets: int) -> Array:
    rng, (seeds, clusters) = np.random.default_rng(0), sizes
    by_seed, by_cluster = rng.normal(0, sd[0], (sets, seeds, 1)), rng.normal(0, sd[1], (sets, 1, clusters))
    return np.asarray(by_seed + by_cluster + rng.normal(0, sd[2], (sets, seeds, clusters)))


@pytest.mark.parametrize("sd", [(0.3, 1.0, 1.0), (0.0, 0.1, 1.0), (0.0, 0.0, 1.0), (1.0, 0.0, 1.0)])
def test_the_variance_of_mean_squares_is_that_of_the_interval(sd: tuple[float, float, float]) -> None:
    seeds, clusters = sizes = (3, 8)
    for values in layouts(sizes, sd, 40):
        mean_S1, mean_1C = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
        rest = ((values - mean_S1 - mean_1C + values.mean()) ** 2).sum() / 14
        squares = (mean_1C.var(ddof=1) / clusters, mean_S1.var(ddof=1) / seeds, rest / 24)
        variance, df = crossed_variance(tuple(np.array([s]) for s in squares), (7, 2, 14))  # type: ignore[arg-type]
        assert (np.sqrt(variance[0]), df[0]) == pytest.approx(crossed_se(values))


def test_components_are_found_again() -> None:
    found = [components(values) for values in layouts((4, 30), (0.5, 1.0, 0.7), 400)]
    means = np.mean([(c.seed, c.cluster, c.rest) for c in found], axis=0)
    np.testing.assert_allclose(means, [0.25, 1.0, 0.49], rtol=0.08)
    one = components(np.array([[1.0, 2.0, 6.0]]))
    assert (one.seed, one.cluster, one.rest, one.across_seeds) == (None, 7.0, 0.0, False)
    with pytest.raises(ValueError, match="at least 2 clusters"):
        components(np.ones((3, 1)))


def test_the_first_size_that_is_enough() -> None:
    spread = Components(None, 1.0, 0.0)
    needed = clusters_needed(spread, 0.5, 1)
    assert needed == 34  # the textbook: n = 34 for a paired t test at d = .5, 80 %, two-sided .05
    assert spread.test(1, needed).power(0.5) >= 0.8 > spread.test(1, needed - 1).power(0.5)
    assert seeds_needed(spread, 0.5, 20) is None  # one seed tells nothing about others
    several = Components(0.1, 0.0, 0.0)
    assert clusters_needed(several, 0.1, 3) is None  # the seeds alone vary by more
    seeds = seeds_needed(several, 0.3, 20)
    assert seeds is not None
    assert several.test(seeds, 20).power(0.3) >= 0.8 > several.test(seeds - 1, 20).power(0.3)
    assert seeds_needed(several, 1e-6, 20) is None


def test_items_of_accuracy_known_values() -> None:
    assert (items_needed(0.05, 0.03), items_needed(0.10, 0.03)) == (344, 687)
    assert items_to_differ(0.06, 0.022) == pytest.approx(970, abs=2)
    for discordance, delta in ((0.06, 0.07), (0.06, 0.0), (1.2, 0.1)):
        with pytest.raises(ValueError, match="0 < delta <= discordance <= 1"):
            items_to_differ(discordance, delta)


def test_standardised_difference_is_the_textbook_interval_of_one_sample() -> None:
    # d = .6, n = 25: t = 3 with 24 degrees of freedom.
    found = standardised(0.6, 1 / 5, 24, 1.0)
    assert found.value == 0.6
    for end, tail in ((found.lo, 0.975), (found.hi, 0.025)):
        assert stats.nct.cdf(3.0, 24, end * 5) == pytest.approx(tail, abs=1e-9)
    mirrored = standardised(-0.6, 1 / 5, 24, 1.0)
    assert (mirrored.value, mirrored.lo, mirrored.hi) == pytest.approx((-0.6, -found.hi, -found.lo))


@pytest.mark.parametrize("df", [1.1, 2.0, 30.0, 5000.0])
def test_standardised_difference_excludes_0_where_the_t_interval_does(df: float) -> None:
    critical = float(stats.t.isf(0.025, df))
    for t in (0.0, 0.999 * critical, 1.001 * critical, 40.0, 1e4):
        found = standardised(t, 1.0, df, 2.0)
        assert (found.lo > 0) == (t > critical)
        assert found.lo < t / 2 < found.hi


def test_standardised_difference_needs_spread() -> None:
    for se, sd in ((0.0, 1.0), (1.0, 0.0)):
        with pytest.raises(ValueError, match="needs spread"):
            standardised(1.0, se, 10, sd)


def naive_min_p(difference_MC: Array, t_M: Array, resamples: int) -> list[float]:
    """Westfall and Young's step-down min-P, one resample and one question at a time."""
    clusters = difference_MC.shape[1]
    rows = [list(t_M)]
    for w_C in cluster_weights(clusters, resamples, 0):
        drawn = np.repeat(np.arange(clusters), w_C.astype(int))
        row = []
        for d_C in difference_MC:
            x = d_C[drawn] - d_C.mean()
            spread = x.std()
            row.append(abs(x.mean()) / spread * np.sqrt(clusters - 1) if spread > 0 else np.inf)
        rows.append(row)
    table = np.array(rows)
    raw = np.array([[(table[:, m] >= value).sum() for m, value in enumerate(row)] for row in table])
    order = np.argsort(raw[0], kind="stable")
    p, last = np.empty(len(t_M)), 0.0
    for place, m in enumerate(order):
        last = max(last, float((raw[:, order[place:]].min(1) <= raw[0, m]).mean()))
        p[m] = last
    return p.tolist()


def test_min_p_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    difference_MC = rng.normal(size=(4, 25)) + 0.5 * rng.normal(size=25) + np.array([0, 0.2, 0.5, 0.8])[:, None]
    t_M = np.abs(difference_MC.mean(1)) / (difference_MC.std(1, ddof=1) / 5)
    found = min_p(difference_MC, t_M, 199)
    assert found.tolist() == pytest.approx(naive_min_p(difference_MC, t_M, 199))


def test_min_p_of_the_same_question_asked_twice_costs_nothing() -> None:
    d_C = np.random.default_rng(1).normal(0.4, 1, 30)
    t = abs(d_C.mean()) / (d_C.std(ddof=1) / np.sqrt(30))
    alone = min_p(d_C[None], np.array([t]))
    twice = min_p(np.stack([d_C, 5 * d_C]), np.array([t, t]))
    assert twice.tolist() == pytest.approx([alone[0]] * 2)


def test_min_p_is_never_below_what_the_signs_of_few_clusters_give() -> None:
    assert min_p(np.array([[1.0, 1.1, 0.9]]), np.array([50.0]))[0] == 0.25
