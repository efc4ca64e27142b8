from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from test_stats_crossed import table

from harness.stats.multiplicity import holm
from harness.stats.resample import cluster_weights
from harness.stats.ties import FEWER, PAIRS, RESAMPLES, grouped, max_t, tie_groups, welch_holm

Array = NDArray[np.float64]


def t_of(difference: Array, centre: float = 0.0) -> float:
    se = difference.std(ddof=1) / np.sqrt(difference.size)
    return float(abs(difference.mean() - centre) / se) if se > 0 else float("inf")


def naive_max_t(values_KC: Array, weights: Array) -> dict[tuple[int, int], float]:
    """Step-down max-T over pairs, one resample and one pair at a time."""
    pairs = list(combinations(range(len(values_KC)), 2))
    differences = {(i, j): values_KC[i] - values_KC[j] for i, j in pairs}
    observed = {pair: t_of(difference) for pair, difference in differences.items()}
    order = sorted(pairs, key=lambda pair: -observed[pair])
    adjusted: dict[tuple[int, int], float] = {}
    for position, pair in enumerate(order):
        reached = 0
        for w in weights:
            drawn = np.repeat(np.arange(w.size), w.astype(int))
            largest = max(t_of(differences[other][drawn], differences[other].mean()) for other in order[position:])
            reached += largest >= observed[pair]
        adjusted[pair] = max([(1 + reached) / (1 + len(weights)), *adjusted.values()])
    return adjusted


def test_max_t_agrees_with_a_loop() -> None:
    values = np.random.default_rng(3).normal([[0.0], [0.6], [1.5]], 0.6, (3, 15))
    found = max_t([row[None] for row in values], resamples=300, seed=4)
    for (i, j), p in naive_max_t(values, cluster_weights(15, 300, 4)).items():
        assert found[i, j] == found[j, i] == pytest.approx(p)
    assert (np.diag(found) == 1).all()


@pytest.mark.parametrize("clusters", [2, 4, 6])
def test_few_clusters_cannot_prove_more_than_their_signs(clusters: int) -> None:
    difference = 5 + 1e-3 * np.random.default_rng(0).normal(size=(1, clusters))
    constant = max_t([np.ones((1, clusters)), np.zeros((1, clusters))])[0, 1]
    assert constant == 2.0 ** (1 - clusters)
    assert max_t([difference, np.zeros((1, clusters))])[0, 1] >= constant


def test_large_tables_take_fewer_resamples_and_rank_alike() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(1, 60))
    pseudo = {f"m{k:02d}": 0.12 * k + shared + rng.normal(0, 1, (1, 60)) for k in range(22)}
    assert len(pseudo) * (len(pseudo) - 1) // 2 > PAIRS
    fewer = max_t(list(pseudo.values()))
    more = max_t(list(pseudo.values()), resamples=RESAMPLES)
    assert fewer.min() == 1 / (FEWER + 1)
    # Four standard errors of a share of .5 among so many resamples.
    assert np.abs(fewer - more).max() < 4 * np.sqrt(0.25 / FEWER)
    agreed = (fewer < 0.05) == (more < 0.05)
    assert agreed[np.abs(more - 0.05) > 0.02].all()


def test_a_smaller_difference_never_has_a_smaller_p_value() -> None:
    for seed in range(30):
        values = np.random.default_rng(seed).normal(size=(4, 12)) * [[0.1], [1], [2], [5]]
        pairs = list(combinations(range(4), 2))
        p = max_t([row[None] for row in values], resamples=199)
        t = [t_of(values[i] - values[j]) for i, j in pairs]
        assert (np.diff([p[pairs[k]] for k in np.argsort(t)]) <= 0).all()


def test_many_clusters_agree_with_the_t_test_for_one_pair() -> None:
    values = np.random.default_rng(0).normal([[0.0], [0.3]], 1, (2, 60))
    expected = stats.ttest_rel(*values).pvalue
    assert max_t([row[None] for row in values])[0, 1] == pytest.approx(expected, abs=0.01)


def family_wise_error(tables: Array, resamples: int) -> float:
    """Return how often any pair of methods is called different; ``tables [sets, K, S, C]``."""
    return float(np.mean([max_t(list(values), resamples=resamples).min() < 0.05 for values in tables]))


def test_family_wise_error_is_held_and_used_up() -> None:
    rng = np.random.default_rng(0)
    tables = rng.normal(0, 1, (400, 5, 1, 20)) + rng.normal(0, 3, (400, 1, 1, 20))
    assert family_wise_error(tables, 399) == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize("clusters", [8, 20])
def test_family_wise_error_is_held_for_skewed_clusters_of_unequal_spread(clusters: int) -> None:
    rng = np.random.default_rng(1)
    skewed = rng.lognormal(0, 0.7, (400, 4, 1, clusters)) - np.exp(0.245)
    tables = skewed * np.array([0.1, 0.3, 1, 3])[:, None, None]
    assert family_wise_error(tables, 399) < 0.10  # flipping signs makes .15 and more


@pytest.mark.parametrize("sd", [(0.0, 1.0, 0.3), (0.3, 1.0, 0.3), (0.1, 0.0, 0.3), (0.3, 0.0, 0.3), (1.0, 0.0, 0.3)])
def test_family_wise_error_is_held_when_seeds_vary(sd: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(2)
    tables = np.stack([table(rng, (3, 30), sd, 250) for _ in range(5)], axis=1) + rng.normal(0, 1, (250, 1, 1, 30))
    assert family_wise_error(tables, 399) < 0.09


def test_p_values_of_a_true_null_are_uniform_beside_a_real_difference() -> None:
    rng = np.random.default_rng(3)
    p = []
    for _ in range(300):
        values = rng.normal(0, 1, (3, 16))
        values[2] += 50
        p.append(max_t([row[None] for row in values], resamples=199)[0, 1])
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_step_down_finds_more_than_a_single_step_and_less_than_no_adjustment() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal([[0.0], [0.55], [3], [6]], 1, (4, 40))
    p = max_t([row[None] for row in values])
    assert p[2, 3] == 1 / 10_000
    assert p[0, 1] >= stats.ttest_rel(values[0], values[1]).pvalue - 0.005
    assert p[0, 1] == pytest.approx(stats.ttest_rel(values[0], values[1]).pvalue, abs=0.01)


def test_a_table_of_eleven_rows_can_be_separated() -> None:
    rng = np.random.default_rng(0)
    methods = {f"m{i}": i + rng.normal(0, 0.5, (1, 100)) for i in range(11)}
    found = tie_groups(methods, "up")
    assert list(found.rank.values()) == list(range(1, 12))


def test_ties_share_a_rank_and_the_next_group_starts_after_them() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1, (1, 80))
    shift = {"worst": 5.0, "a": 0.0, "b": 0.01, "second": 2.0}
    methods = {name: base + value + rng.normal(0, 0.3, (1, 80)) for name, value in shift.items()}
    found = tie_groups(methods, "down")
    assert found.order[2:] == ("second", "worst")
    assert found.rank == {"a": 1, "b": 1, "second": 3, "worst": 4}
    assert found.p["a", "b"] == found.p["b", "a"] > 0.05
    turned = tie_groups({name: -values for name, values in methods.items()}, "up")
    assert (turned.rank, turned.order) == (found.rank, found.order)


def test_a_group_is_measured_from_its_leader() -> None:
    p = np.ones((4, 4))
    for i, j in ((0, 2), (0, 3), (1, 3)):
        p[i, j] = p[j, i] = 0.01
    found = grouped(["a", "b", "c", "d"], np.array([4.0, 3, 2, 1]), p)
    assert found.rank == {"a": 1, "b": 1, "c": 3, "d": 3}
    assert grouped([], np.zeros(0), np.ones((0, 0))).rank == {}


def test_identical_methods_tie_and_a_constant_difference_separates() -> None:
    base = np.random.default_rng(0).normal(size=(1, 30))
    found = tie_groups({"a": base, "b": base.copy(), "c": base - 1}, "up")
    assert found.rank == {"a": 1, "b": 1, "c": 3}
    assert found.p["a", "b"] == 1
    seeds = np.repeat(base, 3, axis=0)
    assert tie_groups({"a": seeds, "b": seeds.copy(), "c": seeds - 1}, "up").rank == found.rank


def test_seeds_that_disagree_tie_what_clusters_alone_would_separate() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (2, 3, 40))
    spread = np.array([[-1.0], [0.0], [1.0]])
    a, b = noise[0] + spread, noise[1] + 0.5 + spread[::-1]
    assert max_t([a.mean(0, keepdims=True), b.mean(0, keepdims=True)])[0, 1] < 0.001
    assert max_t([a, b])[0, 1] > 0.5
    assert max_t([a, b[:1]])[0, 1] > 0.05


def test_refusals_of_tables() -> None:
    with pytest.raises(ValueError, match=r"the same clusters, at least 2; got \[3, 4\]"):
        max_t([np.ones((1, 3)), np.ones((1, 4))])
    with pytest.raises(ValueError, match=r"at least 2; got \[1\]"):
        max_t([np.ones((1, 1))])
    with pytest.raises(ValueError, match="must be finite"):
        max_t([np.array([[1, np.nan]]), np.ones((1, 2))])
    assert max_t([]).shape == (0, 0)
    assert tie_groups({"a": np.ones((1, 5))}, "up").rank == {"a": 1}


def test_welch_holm_over_seeds() -> None:
    values = [np.array([1.0, 1.1, 0.9]), np.array([5.0, 5.2, 4.9]), np.array([1.0, 1.2, 1.1]), np.array([3.0])]
    p = welch_holm(values)
    # A method with one value is fixed: the others are tested against it.
    raw = [
        stats.ttest_1samp(a, b.item()).pvalue if b.size == 1 else stats.ttest_ind(a, b, equal_var=False).pvalue
        for a, b in combinations(values, 2)
    ]
    assert p[np.triu_indices(4, 1)] == pytest.approx(holm(np.array(raw)))
    assert p[0, 1] < 0.05
    assert welch_holm([np.ones(3), np.ones(3)])[0, 1] == 1
    assert welch_holm([np.ones(3)]).tolist() == [[1.0]]
