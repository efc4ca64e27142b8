"""ReasonScore against its toy and its invariants, and the metrics against what their parts say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.metrics.contract import Array, NotComputableError, get_metric
from harness.metrics.reasoning import reason_scores, word_entropy

MASS = st.floats(0, 100).map(lambda x: round(x, 3))


def sums(latents: int, words: int) -> Any:
    return st.tuples(
        arrays(np.float64, latents, elements=MASS),
        arrays(np.float64, latents, elements=MASS),
        arrays(np.float64, (words, latents), elements=MASS),
    ).filter(lambda t: t[0].sum() > 0 and t[1].sum() > 0)


class TestToy:
    """A toy computed by hand."""

    words = np.array([[2.0, 4, 0], [2, 1, 0]])
    inside, outside = np.array([2, 2.5, 0]), np.array([1, 0.5, 1.5])

    def test_entropy(self) -> None:
        assert word_entropy(self.words) == pytest.approx([1, 0.721928, 0], abs=1e-6)

    @pytest.mark.parametrize(
        ("alpha", "expected"),
        [(0.7, [0.1111111, 0.2755889, -0.5]), (0.0, [0.1111111, 0.3888889, -0.5])],
    )
    def test_scores(self, alpha: float, expected: list[float]) -> None:
        assert reason_scores(self.inside, self.outside, self.words, alpha) == pytest.approx(expected, abs=1e-6)

    def test_the_sums_run_over_the_whole_dictionary(self) -> None:
        totals = np.array(4.5), np.array(3.0)
        two = slice(0, 2)
        part = reason_scores(self.inside[two], self.outside[two], self.words[:, two], 0.7, totals)
        assert part == pytest.approx([0.1111111, 0.2755889], abs=1e-6)
        chunked = reason_scores(self.inside[two], self.outside[two], self.words[:, two], 0.7)
        assert chunked[0] != pytest.approx(0.1111111, abs=1e-3), "a chunk's own sums give another score"


class TestInvariants:
    @given(sums(5, 3))
    @settings(max_examples=60, deadline=None)
    def test_without_entropy_scores_sum_to_zero(self, given_sums: tuple[Array, Array, Array]) -> None:
        assert float(reason_scores(*given_sums, 0.0).sum()) == pytest.approx(0, abs=1e-9)

    @given(sums(4, 3), st.floats(0, 3))
    @settings(max_examples=60, deadline=None)
    def test_between_minus_one_and_one(self, given_sums: tuple[Array, Array, Array], alpha: float) -> None:
        assert (np.abs(reason_scores(*given_sums, alpha)) <= 1 + 1e-12).all()

    @given(sums(6, 2), st.permutations(range(6)))
    @settings(max_examples=40, deadline=None)
    def test_permuting_latents_permutes_scores(self, given_sums: tuple[Array, Array, Array], order: list[int]) -> None:
        inside, outside, words = given_sums
        moved = reason_scores(inside[order], outside[order], words[:, order], 0.7)
        assert moved == pytest.approx(reason_scores(inside, outside, words, 0.7)[order], abs=1e-12)

    @given(sums(4, 3), st.floats(1e-3, 1e3))
    @settings(max_examples=40, deadline=None)
    def test_scaling_all_codes_changes_nothing(self, given_sums: tuple[Array, Array, Array], by: float) -> None:
        scaled = reason_scores(*(by * value for value in given_sums), 0.7)
        assert scaled == pytest.approx(reason_scores(*given_sums, 0.7), abs=1e-9)

    def test_scaling_one_latent_changes_all(self) -> None:
        inside, outside = np.array([2, 2.5, 1]), np.array([1, 0.5, 1.5])
        words = np.array([[2.0, 4, 1], [2, 1, 1]])
        scale = np.array([1, 10, 1])
        before = reason_scores(inside, outside, words, 0.7)
        assert (np.abs(reason_scores(inside * scale, outside * scale, words * scale, 0.7) - before) > 1e-3).all()

    def test_one_word_has_full_entropy_and_silence_none(self) -> None:
        assert word_entropy(np.array([[3.0, 0.0]])).tolist() == [1.0, 0.0]

    @given(arrays(np.float64, (4, 3), elements=MASS))
    @settings(max_examples=40, deadline=None)
    def test_entropy_is_that_of_scipy(self, words: Array) -> None:
        from scipy import stats

        for latent in range(3):
            mass = words[:, latent]
            expected = stats.entropy(mass) / np.log(4) if mass.sum() > 0 else 0.0
            assert word_entropy(words)[latent] == pytest.approx(expected, abs=1e-9)


def parts(clusters: int = 6, latents: int = 3, words: int = 2, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {"n": np.full(clusters, 50.0), "alpha": np.array(0.7)}
    for prefix, vocabularies in (("rs", 1), ("rv", 2)):
        shape = (clusters, vocabularies)
        found |= {
            f"{prefix}_word": rng.random((*shape, words, latents)),
            f"{prefix}_word_n": rng.integers(1, 9, (*shape, words)).astype(float),
            f"{prefix}_in": rng.random((*shape, latents)),
            f"{prefix}_out": rng.random((*shape, latents)),
            f"{prefix}_in_all": 9 + rng.random(shape),
            f"{prefix}_out_all": 9 + rng.random(shape),
        }
    found |= {"rr_in": rng.random((clusters, latents)), "rr_all": 5 * rng.random((clusters, latents))}
    found |= {"rr_in_n": np.full(clusters, 4.0), "rk_sum": rng.random((clusters, latents))}
    found["rk_count"] = (rng.random((clusters, latents)) < 0.6) * 1.0
    found["rk_sum"] *= found["rk_count"]
    return found


class TestMetrics:
    @pytest.mark.parametrize("name", ["reasonscore", "reasonscore_gap", "rs_ratio", "rs_topk"])
    def test_weights_are_repeated_clusters(self, name: str) -> None:
        metric, given_parts = get_metric(name), parts()
        w = np.array([2.0, 0, 1, 1, 3, 1])
        take = np.repeat(np.arange(6), w.astype(int))
        repeated = {key: value[take] if value.ndim else value for key, value in given_parts.items()}
        expected = metric.value(repeated, np.ones(len(take)))
        assert float(metric.value(given_parts, w)) == pytest.approx(float(expected), rel=1e-12)

    @pytest.mark.parametrize("name", ["reasonscore", "reasonscore_gap", "rs_ratio", "rs_topk"])
    def test_any_leading_dimensions(self, name: str) -> None:
        metric, given_parts = get_metric(name), parts()
        w = np.random.default_rng(1).integers(1, 4, (2, 3, 6)).astype(float)
        values = metric.value(given_parts, w)
        assert values.shape == (2, 3)
        assert values[1, 2] == pytest.approx(float(metric.value(given_parts, w[1, 2])), rel=1e-12)

    def test_reasonscore_by_hand(self) -> None:
        p = parts(clusters=1, latents=1)
        means = p["rs_word"][0, 0, :, 0] / p["rs_word_n"][0, 0]
        share = means / means.sum()
        entropy = -(share * np.log(share)).sum() / np.log(2)
        inside = p["rs_in"][0, 0, 0] / p["rs_in_all"][0, 0]
        expected = inside * entropy**0.7 - p["rs_out"][0, 0, 0] / p["rs_out_all"][0, 0]
        assert float(get_metric("reasonscore").value(p, np.ones(1))) == pytest.approx(expected)

    def test_the_gap_to_the_same_vocabulary_is_zero(self) -> None:
        p = parts()
        p |= {name.replace("rs_", "rv_"): value for name, value in p.items() if name.startswith("rs_")}
        assert float(get_metric("reasonscore_gap").value(p, np.ones(6))) == pytest.approx(0, abs=1e-15)

    def test_a_latent_on_keywords_alone_gives_the_bound_and_a_constant_one_gives_one(self) -> None:
        only = {"n": np.array([60.0, 40]), "rr_in_n": np.array([3.0, 2]), "rr_in": np.array([[3.0], [2]])}
        only["rr_all"] = only["rr_in"]
        assert float(get_metric("rs_ratio").value(only, np.ones(2))) == pytest.approx(100 / 5)
        constant = {**only, "rr_all": only["n"][:, None]}
        assert float(get_metric("rs_ratio").value(constant, np.ones(2))) == pytest.approx(1)

    def test_topk_is_the_mean_over_pairs_of_latent_and_prompt(self) -> None:
        counts = np.array([[1.0, 0, 1], [1, 0, 0]])
        p = {"n": np.ones(2), "rk_sum": np.array([[2.0, 0, 9], [4, 0, 0]]), "rk_count": counts}
        assert float(get_metric("rs_topk").value(p, np.ones(2))) == pytest.approx((2 + 4 + 9) / 3)

    def test_pass_and_survive(self) -> None:
        p = {"n": np.ones(2), "passed": np.array([1.0, 0, 1, 1])}
        p |= {"tested_passed": np.array([1.0, 1, 0]), "tested_survived": np.array([1.0, 0, 0])}
        assert get_metric("rs_pass").value(p, np.ones((5, 2))).tolist() == [3.0] * 5
        assert float(get_metric("rs_survive").value(p, np.ones(2))) == 0.5

    @pytest.mark.parametrize(
        ("name", "change", "reason"),
        [
            ("rs_survive", {"tested_passed": np.zeros(3), "tested_survived": np.zeros(3)}, "passes the shift null"),
            ("rs_topk", {"rk_count": np.zeros((6, 3))}, "no selected latent"),
            ("rs_ratio", {"rr_in_n": np.zeros(6)}, "no keyword"),
            ("rs_ratio", {"rr_in": np.zeros((6, 0)), "rr_all": np.zeros((6, 0))}, "often enough"),
            ("reasonscore", {"rs_in_all": np.zeros((6, 1))}, "no latent fires"),
        ],
    )
    def test_what_cannot_be_computed_says_why(self, name: str, change: dict[str, Array], reason: str) -> None:
        with pytest.raises(NotComputableError, match=reason):
            get_metric(name).value({**parts(), **change}, np.ones(6))
