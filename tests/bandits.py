"""Small situations with a known best policy, for tests of what is learned from rewards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from harness.api import Arm, silent
from harness.data.bandits import make_bandit
from harness.metrics.contract import Parts
from harness.specs.worlds import BanditData
from harness.training.policy import divergence
from harness.training.reinforce import Course, Plan, Ppo, Reinforcement, Trace
from harness.training.rewards import Goal, Schedule

PPO = Ppo(
    lr=0.05,
    value_lr=0.1,
    updates=150,
    batch=512,
    epochs=3,
    clip=0.2,
    entropy=0.0,
    grad_clip=1.0,
    baseline="value",
    samples=1,
)
SHORT = replace(PPO, updates=12, batch=128)
FOLLOW = Schedule((1.0,), (0.0,))
EIGHT = BanditData(source="bandit", states=2, actions=8, start=1.5, seed=1)


class Table(nn.Module):
    """One row of logits for each state."""

    def __init__(self, start_SA: Tensor) -> None:
        super().__init__()
        self.logit_SA = nn.Parameter(start_SA.clone())

    def forward(self, state_NS: Tensor) -> Tensor:
        return state_NS @ self.logit_SA


class Stopped(Table):
    """The same with its gradient stopped: what a control without effect looks like."""

    def forward(self, state_NS: Tensor) -> Tensor:
        return super().forward(state_NS).detach() + 0 * self.logit_SA.sum()


@dataclass(frozen=True)
class Lesson:
    """A bandit with the way it is learned."""

    data: BanditData
    ppo: Ppo = PPO
    schedule: Schedule = FOLLOW
    table: type[Table] = Table
    goal: Callable[[Tensor, Tensor], Goal] = Goal

    def truth(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the target and of the start, ``[S, A]``."""
        bandit = make_bandit(self.data)
        return torch.from_numpy(bandit.target_SA).float(), torch.from_numpy(bandit.start_SA).float()

    def run(self, arm: Arm, seed: int, anchor_SA: Tensor | None = None) -> Reinforcement:
        """Return a run that has not begun; ``anchor_SA`` takes the place of the start in the penalty."""
        target_SA, start_SA = self.truth()
        gold_S, eye_SS = target_SA.argmax(1), torch.eye(self.data.states)
        course = Course(
            self.data.states,
            lambda rows: eye_SS[rows],
            lambda rows: self.goal(target_SA[rows], gold_S[rows]),
            self.data.states,
            torch.device("cpu"),
        )
        start = Table(start_SA if anchor_SA is None else anchor_SA).requires_grad_(False)
        return Reinforcement(self.table(start_SA), start, course, Plan(self.ppo, self.schedule), (arm, seed))

    def learn(
        self, arm: str, beta: float = 0.0, seed: int = 0, anchor_SA: Tensor | None = None
    ) -> tuple[Tensor, Trace]:
        """Return the log-probabilities an arm ends at, ``[S, A]``."""
        run = self.run(Arm(arm, beta), seed, anchor_SA)
        trace = run.run(silent)
        return run.decoder(torch.eye(self.data.states)).detach().log_softmax(1), trace

    def value_of_states(self) -> list[float]:
        """Return what the value head expects of each state at the end."""
        run = self.run(Arm("true", 0.0), 0)
        run.run(silent)
        found: list[float] = run.head(torch.eye(self.data.states)).tolist()
        return found

    def parts(self, seed: int, margin: float = 0.02) -> Parts:
        """Return what the track would keep of one seed, without a penalty."""
        target_SA, start_SA = self.truth()
        found = {
            "n": np.ones(self.data.states),
            "margin": np.array(margin),
            "kl_start": divergence(target_SA, start_SA).double().numpy(),
        }
        for arm in ("true", "random", "shuffled", "zero", "sup_cont"):
            policy_SA, trace = self.learn(arm, seed=seed)
            found[f"kl_{arm}"] = divergence(target_SA, policy_SA).double().numpy()
            for name in ("moved", "gradient", "spread"):
                found[f"{name}_{arm}"] = np.array(getattr(trace, name))
        return found

    def distance(self, policy_SA: Tensor) -> float:
        """Return the mean divergence from the target, nats."""
        return float(divergence(self.truth()[0], policy_SA).mean())
