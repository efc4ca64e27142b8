"""What orders of latents come to, on readouts whose numbers are known, and metrics over them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Named
from harness.metrics.contract import get_metric
from harness.tracks.explained import Question, Told, measured, spearman
from harness.tracks.rankings import PERCENT, curves, kept, orders, spread, top_share

W = np.array([4.0, 3.0, 2.0, 1.0])
QUARTERS = (25, 50, 75, 100)


def linear(drop_Am: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (~drop_Am).double().numpy() @ W
    return found


def comp_by_count(order: list[int]) -> list[float]:
    """Return what a linear readout loses without the first 1, 2, 3 and 4."""
    return [float(curves(linear, 10.0, torch.tensor([order]), (share,)).comp_O[0]) for share in QUARTERS]


def test_a_linear_readout_loses_its_weights() -> None:
    assert comp_by_count([0, 1, 2, 3]) == [4, 7, 9, 10]
    assert comp_by_count([3, 2, 1, 0]) == [1, 3, 6, 10]
    found = curves(linear, 10.0, torch.tensor([[0, 1, 2, 3]]), QUARTERS)
    assert found.comp_O[0] == 7.5
    assert found.suff_O[0] == 2.5  # what is lost with the first 1 to 4 alone: 6, 3, 1, 0


def test_areas_lie_under_the_curve_through_its_points() -> None:
    """F is 0, .4, .7, .9, 1 at shares 0, .25, .5, .75, 1."""
    found = curves(linear, 10.0, torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]]), QUARTERS)
    np.testing.assert_allclose(found.cpr_O, [0.25 * (0.2 + 0.55 + 0.8 + 0.95), 0.25 * (0.05 + 0.2 + 0.45 + 0.8)])
    np.testing.assert_allclose(found.cmd_O, 1 - found.cpr_O)
    assert found.gap == 10


def test_overshooting_raises_cpr_and_costs_cmd() -> None:
    def both_sides(drop_Am: Tensor) -> NDArray[np.float64]:
        value_A: NDArray[np.float64] = (~drop_Am).double().numpy() @ np.array([3.0, -1.0])
        return value_A

    found = curves(both_sides, 2.0, torch.tensor([[0, 1], [1, 0]]), (50,))
    np.testing.assert_allclose(found.cpr_O, [0.5 * (0.75 + 1.25), 0.5 * (-0.25 + 0.25)])
    np.testing.assert_allclose(found.cmd_O, [0.5 * (0.75 + 0.25), 0.5 * (1.25 + 0.75)])


def test_a_prediction_that_hardly_moves_is_not_counted() -> None:
    def still(drop_Am: Tensor) -> NDArray[np.float64]:
        return -0.09 * drop_Am.all(1).double().numpy()

    found = curves(still, 0.0, torch.tensor([[0, 1]]))
    assert (found.counted, found.gap) == (False, pytest.approx(0.09))
    assert found.cpr_O.tolist() == found.cmd_O.tolist() == [0.0]
    assert curves(still, 0.1, torch.tensor([[0, 1]])).counted


def test_a_prediction_without_active_latents_moves_by_nothing() -> None:
    found = curves(linear, 1.0, torch.zeros(3, 0, dtype=torch.int64))
    assert found.comp_O.tolist() == found.suff_O.tolist() == [0.0] * 3
    assert not found.counted


def test_shares_of_latents_are_whole_numbers_and_one_at_least() -> None:
    assert kept(64) == [1, 4, 7, 13, 32]
    assert kept(30) == [1, 2, 3, 6, 15]  # not 4, as .1 · 30 in floats would give
    assert kept(1) == [1] * len(PERCENT)


def test_random_orders_are_uniform() -> None:
    drawn_Om = orders(5, 20000, seed=3)
    assert torch.equal(drawn_Om.sort(1).values, torch.arange(5).expand(20000, 5))
    share_55 = torch.stack([(drawn_Om == latent).double().mean(0) for latent in range(5)])
    assert float((share_55 - 0.2).abs().max()) < 0.02
    assert torch.equal(drawn_Om, orders(5, 20000, seed=3))


def test_spread_of_four_to_one() -> None:
    found = spread(np.array([4.0, -3.0, 2.0, -1.0]))
    assert found is not None
    assert found.gini == pytest.approx(0.25)
    p = W / 10
    assert found.n_eff == pytest.approx(float(np.exp(-(p * np.log(p)).sum())))
    assert (found.mass10, top_share(W, 1), top_share(W, 2)) == (1.0, pytest.approx(0.4), pytest.approx(0.7))


def test_equal_importance_is_spread_over_all_and_none_over_nothing() -> None:
    found = spread(np.full(40, -0.5))
    assert found is not None
    assert (found.gini, found.n_eff, found.mass10) == (pytest.approx(0), pytest.approx(40), pytest.approx(0.25))
    assert spread(np.zeros(3)) is None


def test_rank_correlation_needs_differences() -> None:
    assert spearman(W, np.array([8.0, 3.0, 1.0, 0.0])) == pytest.approx(1)
    assert spearman(W, -W) == pytest.approx(-1)
    # With ties: Pearson of the ranks (1.5, 1.5, 3) and (1, 2, 3).
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(3**0.5 / 2)
    assert spearman(W[:2], W[:2]) is None
    assert spearman(np.ones(4), W) is None


def asked_of(weights: NDArray[np.float64]) -> Callable[[int], Question]:
    """Return predictions of a linear readout over latents 10, 11, … ."""

    def without(drop_Am: Tensor) -> NDArray[np.float64]:
        value_A: NDArray[np.float64] = (~drop_Am).double().numpy() @ weights
        return value_A

    active_m = torch.arange(10, 10 + len(weights))
    return lambda n: Question(without, float(weights.sum()), active_m, weights, n)


def parts_of(told: Told, weights: NDArray[np.float64], count: int = 1) -> dict[str, NDArray[np.float64]]:
    (columns,) = measured(asked_of(weights), [told], count)
    return {name: column_n[None].sum(1) for name, column_n in columns.items()}


def told(importance: NDArray[np.float64], *named: tuple[int, bool], count: int = 1) -> Told:
    importance_nF = torch.zeros(count, 60)
    importance_nF[:, 10 : 10 + len(importance)] = torch.from_numpy(importance)
    return Told(importance_nF, (tuple(Named(*one) for one in named),) * count)


def value(name: str, parts: dict[str, NDArray[np.float64]]) -> float:
    found, reason = get_metric(name).point(parts)
    assert found is not None, reason
    return found


MANY = np.linspace(2, -1, 40)


def test_the_exact_order_is_faithful_its_reverse_is_worse_than_random() -> None:
    parts = parts_of(told(MANY), MANY)
    assert value("faithfulness", parts) == 1
    assert parts["comp"] == parts["comp_ceiling"] > parts["comp_random"]
    assert value("importance_agreement", parts) == pytest.approx(1)
    assert value("faithfulness", parts_of(told(-MANY), MANY)) < -0.5


def test_random_importance_goes_no_way_to_the_exact_order() -> None:
    """The mean over many predictions, each with random importance of its own, beside the twenty random orders."""
    rng, count = np.random.default_rng(0), 300
    importance_nF = torch.zeros(count, 60)
    importance_nF[:, 10:50] = torch.from_numpy(rng.normal(size=(count, 40)))
    parts = parts_of(Told(importance_nF, ((),) * count), MANY, count)
    assert abs(value("faithfulness", parts)) < 0.04
    assert abs(value("importance_agreement", parts)) < 0.04


def test_explainers_are_held_against_the_same_random_orders() -> None:
    both = measured(asked_of(MANY), [told(MANY), told(-MANY)], 1)
    assert both[0]["comp_random"] == both[1]["comp_random"]
    assert both[0]["comp"] != both[1]["comp"]


def test_named_latents_count_with_the_side_they_are_said_to_be_on() -> None:
    weights = np.array([4.0, -3.0, 2.0, 1.0, 0.5, 0.25])
    right = parts_of(told(weights, (10, True), (11, False)), weights)
    assert value("named_effect", right) == pytest.approx(7 / 10.5)
    assert (value("named_hit", right), value("sentence_length", right)) == (1, 2)
    wrong = parts_of(told(weights, (10, True), (11, True)), weights)
    assert value("named_effect", wrong) == pytest.approx(1 / 10.5)
    assert value("named_hit", parts_of(told(weights, (10, True), (15, True)), weights)) == 0.5
    # Naming everything wins nothing: the first five count, and the length is there to be seen.
    every = parts_of(told(weights, *((latent, True) for latent in range(15, 9, -1))), weights)
    assert value("named_effect", every) == pytest.approx((0.25 + 0.5 + 1 + 2 - 3) / 10.5)
    assert value("sentence_length", every) == 6


def test_what_cannot_be_said_is_null_with_a_reason() -> None:
    parts = parts_of(told(np.zeros(40)), MANY)
    for name, reason in (
        ("importance_agreement", "no prediction has three active latents"),
        ("importance_gini", "importance is 0 everywhere"),
        ("named_hit", "no sentence names a latent"),
    ):
        found, said = get_metric(name).point(parts)
        assert found is None
        assert said is not None
        assert reason in said
    still = parts_of(told(np.zeros(3)), np.zeros(3))
    for name in ("cpr", "faithfulness", "named_effect"):
        assert get_metric(name).point(still)[0] is None
