"""The pieces of reinforcement learning, each of them a plain function.

``N`` samples, ``T`` steps of one course, ``A`` actions. Policies are given by their log-probabilities, in nats.
"""

from __future__ import annotations

import torch
from torch import Tensor

# A spread of advantages below this is rounding of float32 log-probabilities, not a preference: it is not blown up to 1.
LEAST_SPREAD = 1e-5


def draw(logp_NA: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return one action of each row, int64 ``[N]``, and its log-probability, without a graph."""
    action_N = torch.multinomial(logp_NA.detach().exp(), 1, generator=generator).squeeze(1)
    return action_N, picked(logp_NA.detach(), action_N)


def picked(value_NA: Tensor, action_N: Tensor) -> Tensor:
    """Return the value of each row's action, ``[N]``."""
    return value_NA.gather(1, action_N[:, None]).squeeze(1)


def clipped(ratio_N: Tensor, advantage_N: Tensor, clip: float) -> Tensor:
    """Return ``min(ρ A, clip(ρ, 1 − ε, 1 + ε) A)`` (PPO: arXiv 1707.06347, equation 7)."""
    return torch.minimum(ratio_N * advantage_N, ratio_N.clamp(1 - clip, 1 + clip) * advantage_N)


def surrogate(logp_N: Tensor, old_N: Tensor, advantage_N: Tensor, clip: float) -> Tensor:
    """Return the objective of PPO, to be raised; ``ρ`` is of the sampled action alone.

    Args:
        logp_N: log-probability of the sampled action now, with its graph.
        old_N: the same when it was sampled.
        advantage_N: what it was better by than was expected.
        clip: ``ε``.
    """
    return clipped((logp_N - old_N).exp(), advantage_N, clip).mean()


def expected(logp_NA: Tensor, reward_NA: Tensor) -> Tensor:
    """Return ``mean Σₐ π(a) r(a)`` with ``r`` held fixed: its gradient is the policy gradient without sampling.

    With ``r(a) = ln p(a) − ln π(a)`` that is the gradient of ``−KL(π‖p)``, for ``Σ π ∇ ln π = 0``.
    """
    return (logp_NA.exp() * reward_NA.detach()).sum(1).mean()


def entropy(logp_NA: Tensor) -> Tensor:
    """Return the mean entropy of the rows, nats."""
    return -(logp_NA.exp() * logp_NA).sum(1).mean()


def divergence(logp_NA: Tensor, logq_NA: Tensor) -> Tensor:
    """Return ``KL(p‖q)`` of each row, ``[N]``, nats; an action without probability under ``p`` adds nothing."""
    p_NA = logp_NA.exp()
    return torch.where(p_NA > 0, p_NA * (logp_NA - logq_NA), 0.0).sum(1)


def gae(reward_NT: Tensor, value_NT: Tensor, last_N: Tensor, gamma: float, decay: float) -> Tensor:
    """Return generalised advantages, ``[N, T]`` (arXiv 1506.02438, equation 16).

    Args:
        reward_NT: reward of each step.
        value_NT: value of the state before each step.
        last_N: value of the state behind the last step: 0 where the course ended, its value where it was cut.
        gamma: discount of a step.
        decay: ``λ``.
    """
    next_NT = torch.cat([value_NT[:, 1:], last_N[:, None]], 1)
    delta_NT = reward_NT + gamma * next_NT - value_NT
    advantage_NT = torch.empty_like(delta_NT)
    running_N = torch.zeros_like(last_N)
    for t in range(delta_NT.shape[1] - 1, -1, -1):
        running_N = delta_NT[:, t] + gamma * decay * running_N
        advantage_NT[:, t] = running_N
    return advantage_NT


def whitened(advantage_N: Tensor) -> Tensor:
    """Return advantages with mean 0 and standard deviation 1; all 0 where they differ by rounding alone."""
    centred_N = advantage_N - advantage_N.mean()
    spread = centred_N.square().mean().sqrt()
    return torch.where(spread > LEAST_SPREAD, centred_N / spread.clamp_min(LEAST_SPREAD), 0.0)


def leave_one_out(reward_NK: Tensor) -> Tensor:
    """Return each of ``K`` rewards of a state minus the mean of the others, ``[N, K]`` (arXiv 2402.14740)."""
    k = reward_NK.shape[1]
    if k < 2:
        raise ValueError(f"leaving one out needs at least 2 samples of a state, got {k}")
    return (reward_NK - reward_NK.mean(1, keepdim=True)) * (k / (k - 1))
