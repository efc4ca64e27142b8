"""The pieces of reinforcement learning: vectors, and the eight ways in which a decoder's reward can be got wrong.

Each of the eight is written out here as it goes wrong; the same claim is then asked of ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from bandits import EIGHT, PPO, SHORT, Lesson
from torch import Tensor
from torch.nn.functional import kl_div

from harness.training.policy import (
    clipped,
    divergence,
    draw,
    entropy,
    expected,
    gae,
    leave_one_out,
    picked,
    surrogate,
    whitened,
)
from harness.training.rewards import LARGEST, Goal, Schedule, Weights

ONE = Weights(faith=1.0, task=0.0)


def logits(rows: int, actions: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, actions, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gradient(value: Tensor, weights: Tensor) -> Tensor:
    return torch.autograd.grad(value, weights)[0]


@pytest.mark.parametrize(
    ("gamma", "want"), [(0.99, (2.302847, 1.49585, 1.7)), (0.0, (0.5, -0.4, 1.7))], ids=["discounted", "bandit"]
)
def test_gae_vectors(gamma: float, want: tuple[float, ...]) -> None:
    found = gae(torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[0.5, 0.4, 0.3]]), torch.zeros(1), gamma, 0.95)
    assert found[0].tolist() == pytest.approx(want, abs=1e-6)


def test_gae_of_a_course_that_was_cut_counts_what_would_have_come() -> None:
    """With λ = 1 an advantage is the discounted sum of all that follows, less the value."""
    reward, value, last = torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[0.5, 0.4, 0.3]]), torch.tensor([4.0])
    want = 1 + 0.9**2 * 2 + 0.9**3 * 4 - 0.5
    assert float(gae(reward, value, last, 0.9, 1.0)[0, 0]) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(
    ("ratio", "advantage", "want"), [(1.5, 1, 1.2), (1.5, -1, -1.5), (0.5, 1, 0.5), (0.5, -1, -0.8)]
)
def test_clip_vectors(ratio: float, advantage: float, want: float) -> None:
    assert float(clipped(torch.tensor(ratio), torch.tensor(float(advantage)), 0.2)) == pytest.approx(want)


def test_divergence_vectors() -> None:
    p, q = torch.tensor([[0.7, 0.2, 0.1]]).double().log(), torch.tensor([[0.6, 0.3, 0.1]]).double().log()
    assert float(divergence(p, q)) == pytest.approx(0.0268124545, abs=1e-7)
    assert float(divergence(q, p)) == pytest.approx(0.0291491245, abs=1e-7)


def test_the_whole_policy_gradient_is_that_of_the_divergence() -> None:
    """``E[∇ ln π (ln p − ln π)] = ∇ −KL(π‖p)``, and the sampled surrogate has it as its mean."""
    weights = logits(5, 9, 1).requires_grad_(True)
    target = logits(5, 9, 2).log_softmax(1)
    logp = weights.log_softmax(1)
    goal = Goal(target, torch.zeros(5, dtype=torch.int64))
    whole = gradient(expected(logp, goal.of_all(logp.detach(), ONE)), weights)
    want = gradient(-divergence(weights.log_softmax(1), target).mean(), weights)
    assert float((whole - want).abs().max()) < 1e-9
    every = torch.arange(9)
    by_action = torch.zeros_like(whole)
    for a in every:
        action = a.repeat(5)
        logp = weights.log_softmax(1)
        old = picked(logp.detach(), action)
        # Each action with its own probability: the mean over samples, exactly.
        advantage = goal.of(action, old, ONE) * old.exp()
        by_action += gradient(surrogate(picked(logp, action), old, advantage, 0.2), weights)
    assert float((by_action - want).abs().max()) < 1e-9


def test_leaving_one_out_is_the_mean_of_the_others_and_blind_to_what_they_share() -> None:
    reward = logits(6, 4, 3)
    want = torch.stack([reward[:, k] - reward[:, [i for i in range(4) if i != k]].mean(1) for k in range(4)], 1)
    assert torch.allclose(leave_one_out(reward), want, atol=1e-12)
    assert torch.allclose(leave_one_out(reward + logits(6, 1, 4)), want, atol=1e-12)
    with pytest.raises(ValueError, match="at least 2 samples"):
        leave_one_out(reward[:, :1])


def test_whitening_scales_what_differs_and_nothing_else() -> None:
    found = whitened(logits(100, 1, 5).flatten() * 7 + 3)
    assert (float(found.mean()), float(found.square().mean())) == pytest.approx((0.0, 1.0), abs=1e-9)
    assert whitened(torch.full((50,), 0.1) + torch.arange(50) * 1e-8).tolist() == [0.0] * 50


def test_draws_follow_the_policy() -> None:
    logp = torch.tensor([[0.7, 0.2, 0.1]]).log().repeat(20_000, 1)
    action, old = draw(logp, torch.Generator().manual_seed(0))
    assert (torch.bincount(action) / 20_000).tolist() == pytest.approx([0.7, 0.2, 0.1], abs=0.015)
    assert torch.equal(old, picked(logp, action))


def test_a_component_of_the_reward_is_bounded_and_phases_have_their_own_weights() -> None:
    goal = Goal(torch.tensor([[-50.0, 0.0]]), torch.tensor([1]))
    assert float(goal.of(torch.tensor([0]), torch.tensor([-1.0]), ONE)) == -LARGEST
    assert float(goal.of(torch.tensor([1]), torch.tensor([-1.0]), Weights(0.5, 2.0))) == pytest.approx(2.5)
    plan = Schedule((0.7, 0.4), (0.3, 0.6))
    assert [plan.at(share) for share in (0.0, 0.49, 0.5, 0.99)] == [Weights(0.7, 0.3)] * 2 + [Weights(0.4, 0.6)] * 2
    with pytest.raises(ValueError, match="both weights"):
        Schedule((0.7, 0.4), (0.3,))


# What goes wrong, one by one.


def test_defect_1_a_ratio_over_the_whole_vocabulary_flattens_whatever_is_rewarded() -> None:
    weights = logits(1, 6, 6).requires_grad_(True)
    logp = weights.log_softmax(1)
    # No action is drawn, so the reward enters as one number: the update cannot know which token earned it.
    wrong = gradient(clipped((logp - logp.detach()).exp(), torch.tensor(1.0), 0.2).mean(), weights)
    assert torch.allclose(wrong, 1 / 6 - weights.softmax(1), atol=1e-12)
    for token in range(6):
        logp = weights.log_softmax(1)
        action = torch.tensor([token])
        ours = gradient(surrogate(picked(logp, action), picked(logp.detach(), action), torch.ones(1), 0.2), weights)
        assert int(ours.argmax()) == token
        assert float(ours[0, token]) > 0


def test_defect_2_a_reward_that_does_not_see_the_action_has_no_gradient() -> None:
    weights, target = logits(3, 6, 7).requires_grad_(True), logits(3, 6, 8).log_softmax(1)
    logp = weights.log_softmax(1)
    wrong = -divergence(target, logp.detach())[:, None].expand(-1, 6)
    assert float(gradient(expected(logp, wrong), weights).abs().max()) < 1e-15
    logp = weights.log_softmax(1)
    ours = Goal(target, torch.zeros(3, dtype=torch.int64)).of_all(logp.detach(), ONE)
    assert float(gradient(expected(logp, ours), weights).norm()) > 0.1


def test_defect_3_one_reward_for_a_batch_and_a_ratio_that_is_always_one() -> None:
    """Where old and new probabilities come from the same weights, clipping never acts; and nobody earns anything."""
    weights, actions = logits(4, 6, 9).requires_grad_(True), torch.arange(4)

    def step(clip: float, old_N: Tensor | None) -> Tensor:
        logp = picked(weights.log_softmax(1), actions)
        return gradient(surrogate(logp, logp.detach() if old_N is None else old_N, torch.ones(4), clip), weights)

    assert torch.equal(step(0.01, None), step(100.0, None))
    before = picked(weights.detach().log_softmax(1), actions) - 1.0
    assert float(step(0.01, before).norm()) == 0.0
    assert float(step(100.0, before).norm()) > 0.1
    with pytest.raises(TypeError):
        len(torch.ones(4).mean().item())  # type: ignore[arg-type]
    # In a whole run the ratio leaves 1 within a roll-out: another clip gives other weights.
    tight, loose = (Lesson(EIGHT, replace(SHORT, clip=clip)).learn("true")[0] for clip in (0.01, 100.0))
    assert float((tight - loose).abs().max()) > 0.01


def test_defect_4_a_divergence_that_is_summed_over_positions() -> None:
    p, q = logits(3 * 5, 7, 10).log_softmax(1), logits(3 * 5, 7, 11).log_softmax(1)
    truth = float((p.exp() * (p - q)).sum(1).mean())
    wrong = kl_div(q.view(3, 5, 7), p.view(3, 5, 7), log_target=True, reduction="batchmean")
    with pytest.warns(UserWarning, match="batch size and the support size"):
        wrong_too = kl_div(q, p, log_target=True, reduction="mean")
    assert float(wrong) == pytest.approx(5 * truth)
    assert float(wrong_too) == pytest.approx(truth / 7)
    assert float(divergence(p, q).mean()) == pytest.approx(truth)


def test_defect_5_an_entropy_of_what_is_no_distribution() -> None:
    def wrong(f: Tensor) -> float:
        return float(-(f * f.log()).sum())

    assert wrong(torch.tensor([5.0, 5.0, 5.0])) == pytest.approx(-24.14, abs=0.01)
    assert wrong(torch.tensor([0.1, 0.1])) == pytest.approx(0.46, abs=0.01)
    for seed in range(5):
        found = float(entropy(10 * logits(1, 7, seed).log_softmax(1).log_softmax(1)))
        assert 0 <= found <= math.log(7) + 1e-9
    assert float(entropy(torch.zeros(1, 7).log_softmax(1))) == pytest.approx(math.log(7))


def test_defect_6_a_task_reward_that_compares_two_favourites() -> None:
    """It says nothing of the drawn token, so it has no gradient; hits on the text's own token have one."""
    weights, target = logits(4, 6, 12).requires_grad_(True), logits(4, 6, 13).log_softmax(1)
    logp = weights.log_softmax(1)
    wrong = (logp.argmax(1) == target.argmax(1)).double()[:, None].expand(-1, 6)
    assert float(gradient(expected(logp, wrong), weights).abs().max()) < 1e-15
    gold = (target.argmax(1) + 1) % 6
    logp = weights.log_softmax(1)
    ours = Goal(target, gold).of_all(logp.detach(), Weights(0.0, 1.0))
    assert ours.argmax(1).tolist() == gold.tolist()
    assert (gradient(expected(logp, ours), weights).argmax(1) == gold).all()


def test_defect_7_a_value_head_that_is_never_stepped() -> None:
    """Unstepped, it expects the same of every state; stepped, it tells a rich state from a poor one."""

    @dataclass(frozen=True)
    class Rich(Goal):
        def of(self, action_N: Tensor, old_N: Tensor, weights: Weights) -> Tensor:
            return (self.gold_N == gold[0]).float()

    lesson = Lesson(EIGHT, replace(SHORT, updates=40), goal=Rich)
    gold = lesson.truth()[0].argmax(1)
    assert gold[0] != gold[1]
    wrong = Lesson(EIGHT, replace(SHORT, updates=40, value_lr=0.0), goal=Rich)
    told = [one.value_of_states() for one in (lesson, wrong)]
    assert told[0][0] - told[0][1] == pytest.approx(1.0, abs=0.1)
    assert told[1][0] == told[1][1]


def test_defect_8_random_rewards_without_a_graph_cannot_fail() -> None:
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.tensor(-torch.randn(()).item()).backward()  # type: ignore[no-untyped-call]
    weights = logits(2, 8, 14).requires_grad_(True)
    # Repaired by a leaf, its gradient is 0, so the divergence stays where it was and the test passes for ever.
    wrong = -torch.randn(()).item() + 0 * weights.sum()
    assert float(gradient(wrong, weights).norm()) == 0.0
    lesson = Lesson(EIGHT, SHORT)
    policy, trace = lesson.learn("random")
    assert trace.moved > 0.1
    assert trace.gradient > 0.001
    assert lesson.distance(policy) != pytest.approx(lesson.distance(lesson.truth()[1]), abs=1e-3)


def test_eight_arms_are_learned_by_samples_as_by_the_whole_gradient() -> None:
    lesson = Lesson(EIGHT, replace(PPO, updates=100, batch=256))
    sampled, whole = lesson.learn("true")[0], lesson.learn("exact_pg")[0]
    assert lesson.distance(lesson.truth()[1]) > 0.1
    assert lesson.distance(sampled) < 0.02
    assert lesson.distance(whole) < 0.02
    assert float((sampled.exp() - whole.exp()).abs().max()) < 0.06
