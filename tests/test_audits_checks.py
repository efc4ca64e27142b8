"""Audits: a metric that follows the planted truth passes, one that turns it round fails, and little evidence decides
nothing."""

from __future__ import annotations

import pytest
from audit_worlds import Planted, graded, world

from harness.audits.evidence import TRUTH
from harness.metrics.contract import all_metrics

DECIDING = ("truth_rank", "truth_rank_methods", "oracle_first", "degraded_order", "null_floor")


def test_a_metric_that_follows_the_truth_passes_everything() -> None:
    found = world(graded()).checks("fvu")
    assert {name: found[name].passed for name in DECIDING} == dict.fromkeys(DECIDING, True)
    assert [found[name].value for name in DECIDING] == [1.0, 1.0, 0.0, 1.0, 1.0]


def test_a_metric_that_turns_the_truth_round_fails() -> None:
    found = world(graded()).checks("dead_frac")
    assert (found["truth_rank_methods"].value, found["truth_rank_methods"].passed) == (-1.0, False)
    # All damaged versions and the trivial control have as many dead latents as the oracle.
    assert (found["degraded_order"].value, found["degraded_order"].passed) == (0.0, False)
    assert (found["null_floor"].value, found["null_floor"].passed) == (0.0, False)
    assert "level: bent under whole" in (found["degraded_order"].reason or "")


def test_few_methods_in_disorder_decide_nothing() -> None:
    rows = graded(4)
    turned = [Planted(row.name, row.finds, row.fires, fvu) for row, fvu in zip(rows, (0.4, 0.1, 0.3, 0.2), strict=True)]
    check = world(turned).checks("fvu")["truth_rank_methods"]
    assert check.value == pytest.approx(1 / 3)
    assert check.passed is None
    assert "too few to tell" in (check.reason or "")
    assert check.lo is not None
    assert check.hi is not None
    assert check.lo < 0 < 0.5 < check.hi


def test_pairs_count_only_where_directions_and_firing_do_not_contradict() -> None:
    rows = [
        Planted("a", 0.9, 0.6, 0.1),
        Planted("b", 0.7, 0.8, 0.2),  # better directions than a's it has not, better firing it has
        Planted("c", 0.6, 0.5, 0.3),  # worse than both
        Planted("d", 0.6, 0.7, 0.4),  # directions like c's up to noise, better firing
    ]
    truth = world(rows).evidence().truth
    assert ("a", "b") not in truth
    assert truth["a", "c"] == truth["b", "c"] == 1
    assert truth["c", "d"] == -1


def test_truth_is_not_held_against_itself() -> None:
    for name in TRUTH:
        found = world(graded()).checks(name)
        assert found["truth_rank"].passed is None
        assert "say what the truth is" in (found["truth_rank"].reason or "")
        assert found["oracle_first"].passed is True


def test_a_target_is_held_to_no_order() -> None:
    found = world(graded()).checks("l0")
    assert all(found[name].passed is None and found[name].reason for name in DECIDING)


@pytest.mark.parametrize(("fvu", "passed"), [(0.004, True), (0.0001, True), (-0.02, False)])
def test_a_lead_over_the_oracle_counts_beyond_one_percent(fvu: float, passed: bool) -> None:
    # The whole oracle has fvu .01 and the floor 1: leads below .0099 are nobody's to read.
    check = world(graded()).but(Planted("lucky", 0.9, 0.9, fvu)).checks("fvu")["oracle_first"]
    assert check.threshold == pytest.approx(0.0099, rel=1e-6)
    assert check.value == pytest.approx(0.01 - fvu, abs=5e-4)
    assert check.passed is passed
    assert check.reason == "ahead of the oracle: lucky"


def test_damage_that_is_preferred_fails_and_damage_that_is_not_seen_is_named() -> None:
    blind = world(graded()).but(Planted("bent", 0.8, 0.8, 0.01)).checks("fvu")["degraded_order"]
    assert blind.passed is True
    assert blind.reason == "level: bent under whole"
    assert blind.value == pytest.approx(2 / 3)
    turned = world(graded()).but(Planted("broken", 0.5, 0.5, 0.1)).checks("fvu")["degraded_order"]
    assert turned.passed is False
    assert turned.reason == "reversed: broken under bent"


def test_damage_passes_down_the_line() -> None:
    pairs = world(graded()).evidence().pairs
    assert {(w.label, b.label) for w, b in pairs} == {("bent", "whole"), ("broken", "bent"), ("broken", "whole")}


def test_a_trivial_control_ahead_of_most_methods_fails() -> None:
    some = world(graded()).but(Planted("weak", 0.3, 0.3, 1.2)).checks("fvu")["null_floor"]
    assert some.passed is True
    assert some.value == pytest.approx(6 / 7)
    best = Planted("nothing", 0.0, 0.0, 0.1, 0.2, 0.0, "floor", (0,))
    most = world(graded()).but(best).checks("fvu")["null_floor"]
    assert most.passed is False
    assert (most.reason or "").startswith("against nothing")


def test_a_trivial_control_within_noise_decides_nothing() -> None:
    noisy = [Planted(f"m{i}", 0.5, 0.5, 0.98, noise=0.2) for i in range(4)]
    check = world(noisy).checks("fvu")["null_floor"]
    assert check.value == 0.0
    assert check.passed is None


def test_the_stated_null_value_is_held_to() -> None:
    assert "mean_only: about 1" in all_metrics()["fvu"].null
    for value, passed in ((1.0002, True), (1.06, False)):
        row = Planted("mean_only", 0.0, 0.0, value, 0.2, 0.0, "floor", (0,))
        check = world(graded()).but(row).checks("fvu")["null_stated"]
        assert check.passed is passed
        assert check.value == pytest.approx(value - 1, abs=1e-4)


def test_noise_between_seeds_is_told_and_decides_nothing() -> None:
    same = [Planted(f"m{i}", 0.7, 0.7, 0.5, noise=0.1) for i in range(10)]
    check = world(same).checks("fvu")["reseed_noise"]
    assert check.passed is False
    assert not check.decides
    apart = world(graded()).checks("fvu")["reseed_noise"]
    assert apart.passed is True
    assert apart.lo is not None
    assert apart.lo > 0.99


def test_one_seed_of_a_trained_method_is_no_evidence() -> None:
    rows = [Planted(row.name, row.finds, row.fires, row.fvu, seeds=(0,)) for row in graded()]
    evidence = world(rows).evidence()
    assert evidence.methods == ()
    assert set(evidence.left_out) == {row.name for row in rows}


def test_a_control_that_keeps_what_the_metric_reads_is_no_null_of_it() -> None:
    rows = graded()
    kept = [Planted(f"kept-{row.name}", 0.1, 0.1, 1.0, row.dead, role="derived", of=row.name) for row in rows]
    none_dead = Planted("nothing", 0.0, 0.0, 1.0, 0.9, 0.0, "floor", (0,))
    table = world(rows).but(none_dead, *kept)
    assert table.checks("dead_frac")["null_floor"].passed is True
    # Under fvu the same control is far behind its method, and counts.
    assert "kept" in (table.checks("fvu")["null_floor"].reason or "")
