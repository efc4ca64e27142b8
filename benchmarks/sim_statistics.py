"""Do the statistics keep their word? Worlds whose truth is known are drawn again and again, and promises are counted.

    python benchmarks/sim_statistics.py [SETS]

Prints for every kind of interval how often it holds the truth (promised: 95 %), for tables without any difference how
often one is claimed (promised: at most 5 %), and for a difference of a stated size how often it is found beside how
often ``harness.stats.power`` says it is. With 2 000 sets a share near 95 % is known to half a point (one standard
error), and the whole takes about six minutes on one core. ``tests/test_stats_simulation.py`` runs the same with fewer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.metrics.contract import Array, Interval, Metric, Parts, ratio
from harness.stats.crossed import crossed_se, difference_se
from harness.stats.estimate import Estimate, Plan
from harness.stats.families import min_p
from harness.stats.margins import margin
from harness.stats.paired import difference
from harness.stats.power import Components
from harness.stats.seeds import seeds_welch
from harness.stats.summary import summarise
from harness.stats.ties import max_t, scaled_t
from harness.stats.unrelated import FIXED, Side, Unrelated

ALPHA = 0.05
# Tokens of a cluster are exp(SIZE z); with the part LONG z of its value, long clusters are harder and a ratio of sums
# is not the mean of ratios: its truth lies SIZE LONG above the mean.
SIZE, LONG = 0.4, 0.5
Rng = np.random.Generator


@dataclass(frozen=True)
class World:
    """What varies by how much, as standard deviations, and how skewed clusters are (lognormal sigma, 0 is normal).

    ``own`` is what a cluster means to one method alone, ``seed`` what a seed does to all its clusters.
    """

    seeds: int
    clusters: int
    skew: float = 0.5
    shared: float = 1.0
    own: float = 0.3
    seed: float = 0.1
    rest: float = 0.1

    def tables(self, rng: Rng, methods: int) -> Array:
        """Return values ``[methods, S, C]`` about 0, and so that methods share clusters, without the long part."""
        shared_C = self.shared * self.centred(rng, (self.clusters,))
        own_M1C = self.own * self.centred(rng, (methods, 1, self.clusters))
        seed_MS1 = self.seed * rng.normal(size=(methods, self.seeds, 1))
        rest_MSC = self.rest * rng.normal(size=(methods, self.seeds, self.clusters))
        return np.asarray(shared_C + own_M1C + seed_MS1 + rest_MSC)

    def centred(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Return numbers of mean 0 and variance 1, skewed to the right."""
        z = rng.normal(size=shape)
        if self.skew == 0:
            return np.asarray(z)
        square = self.skew**2
        spread = np.sqrt(np.expm1(square) * np.exp(square))
        return np.asarray((np.exp(self.skew * z) - np.exp(square / 2)) / spread)

    def parts(self, rng: Rng, methods: int) -> tuple[list[list[Parts]], float]:
        """Return the parts of methods that are alike, by seed, and the value all of them have in truth."""
        z_C = rng.normal(size=self.clusters)
        n_C = np.exp(SIZE * z_C)
        values_MSC = self.tables(rng, methods) + LONG * z_C
        rows = [[{"n": n_C, "total": n_C * value_C} for value_C in of_method] for of_method in values_MSC]
        return rows, SIZE * LONG  # type: ignore[return-value]


def one_seed(clusters: int, skew: float = 0.5) -> World:
    """Return a world of one seed: what is promised holds for its fit, so that the seed belongs to the truth."""
    return World(1, clusters, skew, seed=0.0)


def mean_metric(interval: Interval = "clusters") -> Metric:
    """Return the metric ``sum total / sum n``, a ratio."""

    def value(parts: Parts, w: Array) -> Array:
        return ratio(w @ parts["total"], w @ parts["n"])

    return Metric(
        "mean", "1", "up", 1, "x", interval, "x", ("total", "n"), ("t",), True, "A mean.", "Σ total / Σ n", value
    )


METRIC = mean_metric()


def of_one(world: World, rng: Rng) -> tuple[Estimate, float]:
    """Return the interval of one method, and the truth."""
    (parts,), truth = world.parts(rng, 1)
    return summarise(METRIC, parts), truth


def of_two(world: World, rng: Rng) -> tuple[Estimate, float]:
    """Return the interval of the difference of two methods that are alike, as comparisons make it."""
    (a, b), _ = world.parts(rng, 2)
    return difference(METRIC, a, b, paired_seeds=False), 0.0


def of_pairs(world: World, rng: Rng) -> tuple[Estimate, float]:
    """Return the same with seeds taken in pairs."""
    (a, b), _ = world.parts(rng, 2)
    return difference(METRIC, a, b), 0.0


def of_unequal_seeds(world: World, rng: Rng) -> tuple[Estimate, float]:
    """Return the interval of a difference between three seeds and five."""
    (a, b), _ = world.parts(rng, 2)
    return difference(METRIC, a[:3], b), 0.0


def of_margin(world: World, rng: Rng) -> tuple[Estimate, float]:
    """Return the interval of the margin over the better of two controls, which lie .5 and 1.5 below the method."""
    (method, near, far), _ = world.parts(rng, 3)
    controls = {
        name: [{"n": p["n"], "total": p["total"] - below * p["n"]} for p in side]
        for name, side, below in (("near", near, 0.5), ("far", far, 1.5))
    }
    return margin(METRIC, method, controls).estimate, 0.5


def of_seeds(world: World, rng: Rng) -> tuple[Estimate, float]:
    """Return the interval of a metric over seeds, whose clusters are always the same."""
    ones = np.ones(world.clusters)
    parts = [{"n": ones, "total": np.full(world.clusters, value)} for value in rng.normal(size=world.seeds)]
    return summarise(mean_metric("seeds"), parts), 0.0


def of_welch(world: World, rng: Rng) -> tuple[Estimate, float]:
    """Return Welch's interval of two methods whose seeds vary unequally."""
    return seeds_welch(rng.normal(size=world.seeds), 3 * rng.normal(size=world.seeds + 2), world.clusters, Plan()), 0.0


Draw = Callable[[World, Rng], tuple[Estimate, float]]
# Kinds of intervals, each with the world it is tried in; HARD are worlds in which the promise is hardest to keep.
INTERVALS: dict[str, tuple[Draw, World]] = {
    "one seed, 60 clusters, percentile": (of_one, one_seed(60)),
    "one seed, 200 clusters, percentile": (of_one, one_seed(200)),
    "one seed, 15 clusters, bootstrap-t": (of_one, one_seed(15)),
    "3 seeds, 60 clusters, crossed t": (of_one, World(3, 60)),
    "5 seeds, 30 clusters, crossed t": (of_one, World(5, 30)),
    "difference, one seed, 60 clusters": (of_two, one_seed(60)),
    "difference, one seed, 15 clusters": (of_two, one_seed(15)),
    "difference, 3 seeds, 60 clusters": (of_two, World(3, 60)),
    "difference, 3 seeds in pairs": (of_pairs, World(3, 60)),
    "difference, 3 and 5 seeds": (of_unequal_seeds, World(5, 60)),
    "margin over two controls, 3 seeds": (of_margin, World(3, 60)),
    "over seeds alone, 3 seeds": (of_seeds, World(3, 5)),
    "Welch, 3 and 5 seeds": (of_welch, World(3, 5)),
}
HARD: dict[str, tuple[Draw, World]] = {
    "very skewed (sigma 1), 60 clusters, percentile": (of_one, one_seed(60, 1.0)),
    "very skewed (sigma 1), 15 clusters, bootstrap-t": (of_one, one_seed(15, 1.0)),
    "very skewed (sigma 1), 3 seeds, 60 clusters": (of_one, World(3, 60, skew=1.0)),
    "difference, 2 seeds that vary": (of_two, World(2, 60, own=0.1, seed=0.3)),
    "difference, 3 seeds that vary": (of_two, World(3, 60, own=0.1, seed=0.3)),
}


def coverage(draw: Draw, world: World, sets: int, seed: int = 0) -> float:
    """Return how often the interval holds the truth."""
    rng = np.random.default_rng(seed)
    found = [draw(world, rng) for _ in range(sets)]
    return float(np.mean([e.lo is not None and e.hi is not None and e.lo <= truth <= e.hi for e, truth in found]))


def false_claims(world: World, methods: int, sets: int, resamples: int = 999, seed: int = 0) -> float:
    """Return in how many tables of equal methods tie groups separate any two."""
    rng = np.random.default_rng(seed)
    return float(np.mean([max_t(list(world.tables(rng, methods)), resamples).min() < ALPHA for _ in range(sets)]))


def found_in_table(world: World, methods: int, delta: float, sets: int, resamples: int = 999, seed: int = 0) -> float:
    """Return how often the first two of a table are told apart, the first being better than all others by ``delta``."""
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(sets):
        tables = world.tables(rng, methods)
        tables[0] += delta
        hits += bool(max_t(list(tables), resamples)[0, 1] < ALPHA)
    return hits / sets


def pair_components(world: World) -> Unrelated:
    """Return how the difference of two methods varies in a world."""
    if world.seeds == 1:
        return Unrelated(FIXED, FIXED, 2 * (world.own**2 + world.rest**2))
    side = Side(world.seed**2, world.rest**2)
    return Unrelated(side, side, 2 * world.own**2)


def seen_unrelated(spread: Unrelated, seeds: int, clusters: int, delta: float, sets: int, seed: int = 0) -> float:
    """Return how often the interval of normal differences of unrelated seeds excludes 0."""
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(sets):
        a_SC, b_SC = (_side(rng, side, seeds, clusters) for side in (spread.a, spread.b))
        a_SC = a_SC + delta + np.sqrt(spread.cluster) * rng.normal(size=clusters)
        se, df = difference_se(a_SC, b_SC)
        hits += bool(abs(a_SC.mean() - b_SC.mean()) > stats.t.isf(ALPHA / 2, df) * se)
    return hits / sets


def _side(rng: Rng, side: Side, seeds: int, clusters: int) -> Array:
    count = seeds if side.varies else 1
    of_seeds = np.sqrt(side.seed) * rng.normal(size=(count, 1))
    return np.asarray(of_seeds + np.sqrt(side.rest) * rng.normal(size=(count, clusters)))


def seen(spread: Components, seeds: int, clusters: int, delta: float, sets: int, seed: int = 0) -> float:
    """Return how often the interval of normal differences with these components excludes 0."""
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(sets):
        of_seeds = np.sqrt(spread.seed or 0.0) * rng.normal(size=(seeds, 1))
        of_clusters = np.sqrt(spread.cluster) * rng.normal(size=(1, clusters))
        values = delta + of_seeds + of_clusters + np.sqrt(spread.rest) * rng.normal(size=(seeds, clusters))
        se, df = crossed_se(values)
        hits += bool(abs(values.mean()) > stats.t.isf(ALPHA / 2, df) * se)
    return hits / sets


def family(rng: Rng, clusters: int, metrics: int, shift: float, outlier: bool) -> Array:
    """Return adjusted p-values of metrics on the same clusters; the first may hang on one cluster alone."""
    common_C = rng.normal(size=clusters)
    difference_MC = 0.7 * common_C + rng.normal(size=(metrics, clusters)) + shift
    if outlier:
        difference_MC[0] = 0.01 * rng.normal(size=clusters)
        difference_MC[0, 0] += 30.0
    se_M = difference_MC.std(1, ddof=1) / np.sqrt(clusters)
    t_M = [
        scaled_t(float(d.mean()), float(se), clusters - 1, clusters) for d, se in zip(difference_MC, se_M, strict=True)
    ]
    return min_p(difference_MC, np.array(t_M), 999)


def family_claims(clusters: int, metrics: int, shift: float, sets: int, outlier: bool = False, seed: int = 0) -> Array:
    """Return how often any metric, and how often the last one, is claimed to differ, ``[2]``."""
    rng = np.random.default_rng(seed)
    p_NM = np.stack([family(rng, clusters, metrics, shift, outlier) for _ in range(sets)])
    return np.array([(p_NM < ALPHA).any(1).mean(), (p_NM[:, -1] < ALPHA).mean()])


def comparison_claims(world: World, metrics: int, sets: int, paired: bool = False, single: bool = False) -> float:
    """Return in how many tables of equal methods, each run with its seeds, a comparison claims any metric to differ.

    ``paired``: with seeds taken in pairs; ``single``: with one seed of the first method. Comparisons do neither: why.
    """
    rng = np.random.default_rng(0)
    claims = 0
    for _ in range(sets):
        tables = (world.tables(rng, 2) for _ in range(metrics))
        pairs_M = [(a[:1] if single else a, b) for a, b in tables]
        ses = [crossed_se(a - b) if paired else difference_se(a, b) for a, b in pairs_M]
        difference_MC = np.stack([a.mean(0) - b.mean(0) for a, b in pairs_M])
        t_M = [scaled_t(float(d.mean()), *se, world.clusters) for d, se in zip(difference_MC, ses, strict=True)]
        claims += bool((min_p(difference_MC, np.array(t_M), 999) < ALPHA).any())
    return claims / sets


def main(sets: int) -> None:
    """Print everything."""
    error = 100 * np.sqrt(0.95 * 0.05 / sets)
    print(f"{sets} sets; one standard error of 95 % is {error:.1f} points\n\nintervals, promised 95 %")
    for name, (draw, world) in {**INTERVALS, **HARD}.items():
        print(f"  {name:48s} {100 * coverage(draw, world, sets):5.1f} %")
    print("\na difference claimed where there is none, promised at most 5 %")
    for methods, skew in ((2, 0.5), (8, 0.0), (8, 0.5), (8, 1.0)):
        claims = false_claims(World(3, 40, skew=skew), methods, sets)
        print(f"  table of {methods} methods, skew {skew}: {100 * claims:5.1f} %")
    for outlier in (False, True):
        claims = 100 * family_claims(40, 8, 0.0, sets, outlier)[0]
        print(
            f"  8 metrics of a comparison{', one of which hangs on a cluster' if outlier else '':36s} {claims:5.1f} %"
        )
    for world in (World(3, 40), World(3, 40, own=0.1, seed=0.3), World(3, 40, skew=1.0), World(2, 40)):
        shares = [100 * comparison_claims(world, 8, sets, *how) for how in ((), (True,), (False, True))]
        print(
            f"  8 metrics, {world}: {shares[0]:.1f} % (in pairs {shares[1]:.1f} %, one seed of one {shares[2]:.1f} %)"
        )
    print("\na difference of the size that is said to be seen in 80 %")
    for world in (one_seed(40, 0), World(3, 40, skew=0), World(3, 40), World(5, 20, skew=0, seed=0.3)):
        spread = pair_components(world)
        delta = spread.test(world.seeds, world.clusters).detectable()
        rates = (
            seen_unrelated(spread, world.seeds, world.clusters, delta, sets),
            found_in_table(world, 2, delta, sets),
            found_in_table(world, 8, delta, sets),
        )
        shown = ", ".join(f"{100 * rate:.1f} %" for rate in rates)
        print(f"  {world}: {delta:.3f}, interval / table of 2 / table of 8: {shown}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
