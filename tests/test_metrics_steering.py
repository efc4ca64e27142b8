"""Steering in numbers: closed forms of what is counted, and verdicts on records whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from harness.metrics.contract import Array, all_metrics
from harness.metrics.steering_verdict import concluded
from harness.metrics.verdicts import Bounds
from harness.metrics.written import Written, harmonic, marks, runs, slopes
from harness.stats.verdicts import verdicts

Interval = tuple[float, float]
ABOVE, BELOW, NONE, WIDE, SMALL = (0.1, 0.3), (-0.3, -0.1), (-0.01, 0.01), (-0.2, 0.2), (0.01, 0.04)


def value(name: str, **parts: object) -> float | None:
    return all_metrics()[name].point({key: np.asarray(given, dtype=float) for key, given in parts.items()})[0]


def test_runs_are_counted_inside_one_text() -> None:
    assert runs([1, 2, 1, 2, 1], 2) == (4, 2)
    assert runs([5] * 7, 4) == (4, 1)
    assert runs([1, 2], 4) == (0, 0)


def test_rates_lengths_and_repetition_have_closed_forms() -> None:
    assert value("trace_len", n=[1, 1], texts=[1, 1], tokens=[10, 30]) == 20
    assert value("trace_len", n=[1, 1], texts=[2, 2], tokens=[10, 30]) == 10
    assert value("reflect_rate", n=[1, 1], tokens=[10, 30], hits=[1, 1]) == 5
    # A rate is of all tokens, so a long text weighs more: 100 · 2/40 − 100 · 3/20.
    assert value("d_reflect", n=[1, 1], tokens=[10, 30], hits=[1, 1], tokens_clean=[10, 10], hits_clean=[1, 2]) == -10
    assert value("len_ratio", n=[1, 1], tokens=[10, 30], tokens_clean=[10, 10]) == 2
    assert value("rep4", n=[1], grams=[4], new_grams=[1]) == 0.75
    assert value("distinct2", n=[1], pairs=[4], new_pairs=[2]) == 0.5
    assert value("ppl_base", n=[1], nll_base=[4 * np.log(7.0)], tokens=[4]) == pytest.approx(7)
    assert value("side_kl", n=[1], side_kl_sum=3.0, side_n=12.0) == 0.25
    assert value("side_kl", n=[1], side_kl_sum=np.inf, side_n=12.0) is None
    assert value("side_acc", n=[1], side_hits=2.0, side_hits_clean=5.0, side_n=12.0) == -0.25
    assert value("dose_slope", n=[1, 1], answered=[1, 0], slope=[3, 0]) == 3
    assert (value("helped", n=[1, 1], helped=[1, 0]), value("harmed", n=[2, 2], harmed=[1, 0])) == (0.5, 0.25)


def test_slopes_are_those_of_a_least_squares_line() -> None:
    rng = np.random.default_rng(0)
    dose_S, value_nS = np.array([0.0, 0.1, 0.25, 0.6]), rng.standard_normal((5, 4))
    expected = [np.polyfit(dose_S, row, 1)[0] for row in value_nS]
    np.testing.assert_allclose(slopes(dose_S, value_nS), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="two different doses"):
        slopes(np.ones(3), value_nS[:, :3])


@pytest.mark.parametrize(("given", "mean"), [((2, 1, 1), 1.2), ((2, 2, 1), 1.5), ((2, 2, 0), 0.0), ((2, 2, 2), 2.0)])
def test_the_harmonic_mean_is_axbenchs(given: tuple[int, int, int], mean: float) -> None:
    assert harmonic(np.array([given]))[0] == pytest.approx(mean)


def texts(rate: list[float], right: list[float], parsed: list[float], nll: list[float], rep: list[float]) -> Written:
    return Written(*(np.array(one, dtype=float) for one in (rate, right, parsed, nll, rep)))


def test_marks_stand_beside_the_unsteered_texts() -> None:
    clean = texts([0.0, 0.1, 0.2, 0.1], [1] * 4, [1] * 4, [1.0] * 4, [0.0] * 4)
    twice = float(np.log(2.0))
    steered = texts([0.18, 0.19, 0.2, 0.0], [1, 0, 0, 1], [1, 1, 0, 1], [1, 1 + twice, 3, 1], [0.2, 0.2, 0, 0.5])
    concept, instruction, fluency = marks(steered, clean)
    # The 95th percentile of the unsteered rates is .185, twice their mean .2.
    assert concept.tolist() == [0, 1, 2, 0]
    assert instruction.tolist() == [2, 1, 0, 2]
    assert fluency.tolist() == [2, 1, 0, 0]


def numbers(
    acc: Interval, acc_over: Interval, reflect: Interval, reflect_over: Interval, random: Interval
) -> dict[str, Bounds]:
    given = {"d_acc": acc, "d_acc_over_bias": acc_over, "d_reflect": reflect, "d_reflect_over_bias": reflect_over}
    margins = {f"steer_{what}_margin": Bounds(0.05, None, None, 1) for what in ("acc", "reflect")}
    every = given | {"over_random": random}
    return {name: Bounds(sum(ends) / 2, *ends, 1) for name, ends in every.items()} | margins


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (numbers(NONE, NONE, ABOVE, ABOVE, (1.2, 2.0)), "STEERS"),
        (numbers(ABOVE, ABOVE, NONE, NONE, (1.2, 2.0)), "STEERS"),
        # As much as random directions do, whatever else is shown.
        (numbers(ABOVE, ABOVE, ABOVE, ABOVE, (0.8, 2.0)), "INCONCLUSIVE"),
        (numbers(ABOVE, ABOVE, ABOVE, ABOVE, (-2.0, -1.1)), "INCONCLUSIVE"),
        # A bias on the words does the same, more of the same, and the same downwards.
        (numbers(NONE, NONE, ABOVE, BELOW, (1.2, 2.0)), "LEXICAL"),
        (numbers(NONE, NONE, BELOW, ABOVE, (-3.0, -2.0)), "LEXICAL"),
        # It does nothing for accuracy, which the method changes.
        (numbers(ABOVE, ABOVE, ABOVE, BELOW, (1.2, 2.0)), "STEERS"),
        # Neither shown to be the bias nor shown to be more.
        (numbers(NONE, NONE, ABOVE, (-0.1, 0.2), (1.2, 2.0)), "INCONCLUSIVE"),
        (numbers(NONE, NONE, NONE, NONE, (1.2, 2.0)), "NO_EFFECT"),
        (numbers(NONE, NONE, WIDE, WIDE, (1.2, 2.0)), "INCONCLUSIVE"),
        # Whatever does damage makes accuracy fall by more than a bias does; that is no steering.
        (numbers(BELOW, BELOW, NONE, NONE, (1.2, 2.0)), "INCONCLUSIVE"),
        (numbers(BELOW, BELOW, ABOVE, BELOW, (1.2, 2.0)), "INCONCLUSIVE"),
        (numbers(BELOW, BELOW, ABOVE, ABOVE, (1.2, 2.0)), "STEERS"),
        # A change below the margin is none, however surely it is not 0.
        (numbers(SMALL, SMALL, SMALL, SMALL, (1.2, 2.0)), "NO_EFFECT"),
        (numbers(SMALL, SMALL, WIDE, WIDE, (1.2, 2.0)), "INCONCLUSIVE"),
    ],
)
def test_the_word_follows_from_the_intervals(given: Mapping[str, Bounds], word: str) -> None:
    found, reason = concluded(given)
    assert found == word
    assert reason


PROBLEMS, TOKENS = 60, 40


def record(seed: int, effect: float, bias: float, slope: float) -> dict[str, Array]:
    """Return the parts of a record: shares of hits per token over the clean .05, and a slope beside 19 of scale 1."""
    rng = np.random.default_rng(seed)
    right = (rng.random(PROBLEMS) < 0.5).astype(float)
    parts = {f"right{arm}": right for arm in ("", "_clean", "_bias")}
    for arm, more in (("", effect), ("_clean", 0.0), ("_bias", bias)):
        parts[f"tokens{arm}"] = np.full(PROBLEMS, float(TOKENS))
        parts[f"hits{arm}"] = rng.binomial(TOKENS, 0.05 + more, PROBLEMS).astype(float)
    parts["slope"] = slope + 0.5 * rng.standard_normal(PROBLEMS)
    direction_K = rng.standard_normal(19)
    parts["slope_random"] = direction_K + 0.5 * rng.standard_normal((PROBLEMS, 19))
    parts["n"] = np.ones(PROBLEMS)
    return parts | {"margin_acc": np.array(0.05), "margin_reflect": np.array(1.0)}


def word(parts: dict[str, Array]) -> str:
    (found,) = (one for one in verdicts([parts]) if one.name == "steering")
    return found.word


def test_planted_records_get_their_words() -> None:
    assert word(record(0, effect=0.2, bias=0.0, slope=9.0)) == "STEERS"
    # What a bias on the words brings about is no steering, however large.
    assert word(record(0, effect=0.2, bias=0.25, slope=9.0)) == "LEXICAL"
    assert word(record(0, effect=0.2, bias=0.0, slope=0.5)) == "INCONCLUSIVE"
    assert word(record(0, effect=0.001, bias=0.0, slope=9.0)) != "STEERS"
    parts = record(0, effect=0.0, bias=0.0, slope=0.0)
    parts["hits"] = parts["hits_clean"]
    assert word(parts) == "NO_EFFECT"


def test_a_random_direction_is_rarely_said_to_steer() -> None:
    """Its slope is drawn as those of the 19 are; it beats them all upwards with probability 1/40, and must show it."""
    drawn = np.random.default_rng(1).standard_normal(40)
    found = [word(record(seed, effect=0.2, bias=0.0, slope=float(one))) for seed, one in enumerate(drawn, start=10)]
    assert found.count("STEERS") <= 3


def test_slopes_on_unlike_doses_rank_no_arm() -> None:
    """One arm's dose is a relative edit norm, another's the root of a divergence."""
    metrics = all_metrics()
    assert (metrics["dose_slope"].direction, metrics["over_random"].direction) == ("target", "up")


def test_a_metric_without_its_random_directions_says_so() -> None:
    given = {"n": np.ones(2), "slope": np.ones(2), "slope_random": np.ones((2, 0))}
    assert all_metrics()["over_random"].point(given) == (None, "no random direction was tried")
