"""The gate keeps its word: hundreds of simulated gates, through the functions that judge real ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from harness.gates.evidence import ALPHA, Evidence, over_clusters, over_seeds
from harness.gates.verdict import Judgement, judge
from harness.metrics.contract import Array
from harness.stats.multiplicity import holm

GATES, COMPARISONS = 500, 8
# Two standard errors of a rate of 5 % in 500 gates.
NOISE = 2 * math.sqrt(ALPHA * (1 - ALPHA) / GATES)


@dataclass(frozen=True)
class World:
    """How results arise: clusters shared by both sides, an effect of each seed, and the rest."""

    seeds: tuple[int, int] = (3, 3)
    clusters: int = 48
    seed_sd: float = 0.1
    rest_sd: float = 0.3
    skewed: bool = False
    same_seeds: bool = False


def noise(rng: np.random.Generator, shape: tuple[int, ...], skewed: bool) -> Array:
    """Mean 0 and variance 1; skewed like documents are: a few count for most (skewness 6)."""
    if not skewed:
        return rng.normal(size=shape)
    return (rng.lognormal(0, 1, shape) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)


def clusters_of(rng: np.random.Generator, world: World, loss: float = 0.0) -> Evidence:
    """Return the evidence of one comparison whose true loss is ``loss``."""
    cluster_C = 3 * noise(rng, (world.clusters,), world.skewed)

    def side(count: int, first: int) -> dict[int, Array]:
        seed_S1 = world.seed_sd * rng.normal(size=(count, 1))
        rows = cluster_C + seed_S1 + world.rest_sd * noise(rng, (count, world.clusters), world.skewed)
        return {first + i: row for i, row in enumerate(rows)}

    run, base = side(world.seeds[0], 0), side(world.seeds[1], 0 if world.same_seeds else 100)
    return over_clusters({seed: row + loss for seed, row in run.items()}, base, False)


def seeds_of(rng: np.random.Generator, seeds: tuple[int, int], loss: float = 0.0, same: bool = False) -> Evidence:
    run = {i: loss + float(rng.normal()) for i in range(seeds[0])}
    base = {i + (0 if same else 100): float(rng.normal()) for i in range(seeds[1])}
    return over_seeds(run, base, 1, False)


WORLDS = {
    "other seeds": World(),
    "other seeds, skewed": World(skewed=True, clusters=20),
    "same seeds, nothing in common": World(same_seeds=True),
    "one seed against three": World(seeds=(1, 3)),
    "two seeds, skewed": World(seeds=(2, 2), clusters=20, skewed=True),
    "nothing varies by seed": World(seeds=(1, 1), seed_sd=0.0, clusters=20, skewed=True),
}


@pytest.mark.parametrize("name", WORLDS)
def test_a_gate_without_a_change_rarely_fails_and_a_loss_rarely_passes(name: str) -> None:
    """At tolerance 0, the least favourable one: every tolerance above it can only fail less."""
    rng = np.random.default_rng(0)
    failed, missed = 0, 0
    for _ in range(GATES):
        evidence = [clusters_of(rng, WORLDS[name]) for _ in range(COMPARISONS)]
        verdicts = [found.verdict for found in judge(evidence, [0.0] * COMPARISONS)]
        failed += "fail" in verdicts
        # The true loss is 0, which is not below a tolerance of 0: each pass is an error.
        missed += verdicts.count("pass")
    assert failed / GATES <= ALPHA + NOISE
    assert missed / (GATES * COMPARISONS) <= ALPHA + 0.01


def test_the_crossed_t_alone_would_fail_too_often() -> None:
    """Why a loss has to stand out against the seeds as well; and the simulation can tell."""
    rng = np.random.default_rng(1)
    failed = 0
    for _ in range(200):
        evidence = [clusters_of(rng, World(seeds=(1, 3))) for _ in range(COMPARISONS)]
        p = np.array([found.failing[0].tail(found.value or 0.0) for found in evidence])
        failed += bool(holm(p).min() <= ALPHA)
    assert failed / 200 > 2 * ALPHA


@pytest.mark.parametrize(("seeds", "same"), [((3, 3), False), ((3, 3), True), ((1, 3), False), ((2, 5), False)])
def test_metrics_over_seeds_keep_their_word_too(seeds: tuple[int, int], same: bool) -> None:
    rng = np.random.default_rng(0)
    failed, missed = 0, 0
    for _ in range(GATES):
        verdicts = [
            found.verdict
            for found in judge([seeds_of(rng, seeds, same=same) for _ in range(COMPARISONS)], [0.0] * COMPARISONS)
        ]
        failed += "fail" in verdicts
        missed += verdicts.count("pass")
    assert failed / GATES <= ALPHA + NOISE
    assert missed / (GATES * COMPARISONS) <= ALPHA + 0.01


@pytest.mark.parametrize(("comparisons", "loss"), [(1, 4.0), (12, 8.0)])
def test_a_loss_of_twice_the_tolerance_fails_at_the_rate_of_the_noncentral_t(comparisons: int, loss: float) -> None:
    """One comparison of the gate has lost twice its tolerance; the others nothing."""
    rng = np.random.default_rng(2)
    tolerance, caught, gates = loss / 2, 0, 3000 // comparisons
    for _ in range(gates):
        planted = seeds_of(rng, (3, 3), loss)
        others = [seeds_of(rng, (3, 3)) for _ in range(comparisons - 1)]
        caught += judge([planted, *others], [tolerance] * comparisons)[0].verdict == "fail"
    excess = (loss - tolerance) / math.sqrt(2 / 3)
    power = stats.nct.sf(stats.t.isf(ALPHA / comparisons, 4), 4, excess)
    assert 0.4 < power < 0.9
    assert caught / gates == pytest.approx(power, abs=3 * math.sqrt(power * (1 - power) / gates))


def test_a_loss_of_twice_the_tolerance_is_caught_among_documents() -> None:
    """Three seeds and 48 documents: .6 lost of .3 allowed, where seeds vary by .03, fails nine times in ten."""
    rng = np.random.default_rng(3)
    world, caught = World(seed_sd=0.03, rest_sd=0.15), 0
    for _ in range(200):
        evidence = [clusters_of(rng, world, 0.6), *(clusters_of(rng, world) for _ in range(COMPARISONS - 1))]
        caught += judge(evidence, [0.3] * COMPARISONS)[0].verdict == "fail"
    assert caught / 200 > 0.9


@pytest.mark.parametrize("world", [World((1, 1), 3, 0.0), World((2, 2), 3), World((1, 3), 5)])
def test_tiny_samples_are_inconclusive(world: World) -> None:
    rng = np.random.default_rng(4)
    found = [judge([clusters_of(rng, world)], [0.1])[0].verdict for _ in range(200)]
    assert found.count("inconclusive") > 160


def enough(evidence: Evidence, tolerance: float) -> Judgement:
    (found,) = judge([evidence], [tolerance])
    assert found.verdict == "inconclusive"
    assert found.needed is not None
    return found


@pytest.mark.parametrize("same", [False, True])
def test_the_seeds_said_to_decide_do_so_with_the_power_said(same: bool) -> None:
    rng = np.random.default_rng(5)
    # A pilot whose spread is exactly 1 a seed (or 1 a pair), so that what is tested is the formula.
    run = dict(enumerate(stats.zscore(rng.normal(size=4), ddof=1)))
    base = {i + (0 if same else 9): 0.0 if same else x for i, x in zip(range(4), run.values(), strict=True)}
    needed = enough(over_seeds(run, base, 1, False), 0.9).needed
    assert needed is not None
    count, passed = needed.seeds, 0
    for _ in range(1000):
        later = {i: float(rng.normal()) for i in range(count)}
        reference = {i + (0 if same else 99): 0.0 if same else float(rng.normal()) for i in range(count)}
        passed += judge([over_seeds(later, reference, 1, False)], [0.9])[0].verdict == "pass"
    assert 0.76 <= passed / 1000 <= 0.9


def test_the_clusters_said_to_decide_do_so_with_the_power_said() -> None:
    rng = np.random.default_rng(6)
    shift_C = stats.zscore(rng.normal(size=40), ddof=1)
    needed = enough(over_clusters({0: shift_C}, {0: np.zeros(40)}, False), 0.2).needed
    assert needed is not None
    passed = 0
    for _ in range(1000):
        later = over_clusters({0: rng.normal(size=needed.clusters)}, {0: np.zeros(needed.clusters)}, False)
        passed += judge([later], [0.2])[0].verdict == "pass"
    assert passed / 1000 == pytest.approx(0.8, abs=0.04)


def test_where_seeds_are_the_noise_more_documents_are_not_what_is_asked_for() -> None:
    rng = np.random.default_rng(7)
    evidence = clusters_of(rng, World(seed_sd=1.0, rest_sd=0.01))
    needed = enough(evidence, 0.3).needed
    assert needed is not None
    assert (needed.clusters, needed.seeds > 10) == (48, True)
