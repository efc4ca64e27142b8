"""Oracle: the true directions of a world with the true codes, whole or degraded in a known way.

It is what every metric of a world is held against: the whole oracle comes first, and each kind of damage lowers what
it damages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from harness.api import Dictionary, Setting, Train, Truth
from harness.training.loop import stream


@dataclass(frozen=True)
class Damage:
    """What is done to the truth. Shares are of the latents; a larger share contains the smaller."""

    noise: float
    """length of a random vector added to each direction of length 1: |cos| falls to about 1 / sqrt(1 + noise^2)"""
    drop: float
    """share that is taken out, codes and all"""
    merge: float
    """share that is joined in pairs: one latent fires for both, along their mean"""
    split: float
    """share of which each becomes two latents that fire on one half of its tokens each"""
    shuffle: float
    """share that trade codes among themselves and keep their directions"""


class Oracle(Dictionary):
    """``f`` = true codes, ``xhat = offset + f A``; codes are looked up by the bits of the activation."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``oracle``."""

        codes: Literal["truth", "pursuit"]
        """truth: those the world drew; pursuit: inferred from the activation and the true directions alone"""
        tolerance: float
        """pursuit stops where the residual's length falls to this share of the activation's"""
        damage: Damage
        """what is done to directions and codes"""

    true_GD: Tensor
    offset: Tensor
    rows: Tensor
    mix_FG: Tensor
    side_F: Tensor
    leading: Tensor
    key_N: Tensor
    active_NK: Tensor
    size_NK: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.params, self.setting = params, setting
        # How many directions and activations there are is known to the truth alone.
        for name in ("true_GD", "offset", "rows", "mix_FG", "size_NK"):
            self.register_buffer(name, torch.zeros(0))
        for name in ("side_F", "key_N", "active_NK"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64))
        self.register_buffer("leading", torch.tensor(0))
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]

    def fit(self, train: Train) -> None:
        """Take the truth, damage it, and keep the codes of every activation."""
        truth: Truth = train.extra["truth"]
        self.true_GD, self.offset = truth.direction_GD.clone(), truth.offset_D.clone()
        self._damage(truth.shared_G)
        mean_FG = self.mix_FG / self.mix_FG.sum(1, keepdim=True)
        self.rows = self._noisy(self._shuffled(mean_FG) @ self.true_GD)
        if self.params.codes == "truth":
            self._keep(truth)
        self.to(train.device)

    def _damage(self, shared_G: Tensor) -> None:
        """Set which true codes each latent adds up, ``[F, G]``, and which half of its tokens it has (-1: all).

        Latents that hold one value for a whole document lead.
        """
        damage, count = self.params.damage, len(shared_G)
        latents = [[g] for g in self._order(count, "drop")[round(damage.drop * count) :]]
        pairs = round(damage.merge * len(latents) / 2)
        latents = [latents[2 * i] + latents[2 * i + 1] for i in range(pairs)] + latents[2 * pairs :]
        halved = round(damage.split * len(latents))
        sides = [(members, side) for members in latents[:halved] for side in (0, 1)]
        sides += [(members, -1) for members in latents[halved:]]
        sides.sort(key=lambda latent: latent[1] >= 0 or not bool(shared_G[latent[0]].all()))
        self.side_F = torch.tensor([side for _, side in sides])
        self.mix_FG = torch.zeros(len(sides), count)
        for f, (members, _) in enumerate(sides):
            self.mix_FG[f, members] = 1.0
        self.leading.fill_(sum(side < 0 and bool(shared_G[members].all()) for members, side in sides))
        self.shared = int(self.leading)

    def _shuffled(self, mean_FG: Tensor) -> Tensor:
        """Give some latents the direction of another: it is the same as trading codes."""
        count = round(self.params.damage.shuffle * len(mean_FG))
        chosen = torch.tensor(self._order(len(mean_FG), "shuffle")[:count], dtype=torch.int64)
        traded_FG = mean_FG.clone()
        traded_FG[chosen] = mean_FG[chosen.roll(1)]
        return traded_FG

    def _noisy(self, row_FD: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(stream(self.setting.seed, "noise"))
        noise_FD = normalize(torch.randn(row_FD.shape, generator=generator), dim=1)
        length_F1 = row_FD.norm(dim=1, keepdim=True)
        noisy_FD = normalize(row_FD / length_F1 + self.params.damage.noise * noise_FD, dim=1) * length_F1
        return noisy_FD if self.params.damage.noise else row_FD

    def _order(self, count: int, name: str) -> list[int]:
        order: list[int] = torch.randperm(
            count, generator=torch.Generator().manual_seed(stream(self.setting.seed, name))
        ).tolist()
        return order

    def _keep(self, truth: Truth) -> None:
        fires_NG = truth.code_NG != 0
        active_NK = fires_NG.float().topk(int(fires_NG.sum(1).max()), dim=1).indices
        size_NK = truth.code_NG.gather(1, active_NK)
        self.key_N, order = _keys(truth.x_ND).sort()
        twice = torch.nonzero(self.key_N[1:] == self.key_N[:-1]).flatten()
        if not torch.equal(truth.code_NG[order[twice]], truth.code_NG[order[twice + 1]]):
            raise ValueError("two activations of the world are equal and their codes are not: neither tells them")
        self.size_NK, self.active_NK = size_NK[order], active_NK[order]

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return codes ``[N, F]``; raises ``ValueError`` for an activation the world never drew (``codes: truth``)."""
        key_N = _keys(x_ND)
        code_NG = self._pursue(x_ND - self.offset) if self.params.codes == "pursuit" else self._look_up(key_N)
        z_NF = code_NG @ self.mix_FG.T
        # Both halves of a latent read the same bit: that of its first direction.
        bit_NF = (key_N[:, None] >> (self.mix_FG.argmax(1) % 61)) & 1
        return z_NF * ((self.side_F < 0) | (bit_NF == self.side_F))

    def _look_up(self, key_N: Tensor) -> Tensor:
        at_N = torch.searchsorted(self.key_N, key_N).clamp(max=len(self.key_N) - 1)
        strange = int((self.key_N[at_N] != key_N).sum())
        if strange:
            raise ValueError(f"{strange} of {len(key_N)} activations were not drawn by the world the oracle knows")
        code_NG = self.size_NK.new_zeros(len(key_N), len(self.true_GD))
        return code_NG.scatter(1, self.active_NK[at_N], self.size_NK[at_N])

    def _pursue(self, x_ND: Tensor) -> Tensor:
        """Return non-negative codes ``[N, G]`` by orthogonal matching pursuit, at most twice the target L0."""
        code_NG = x_ND.new_zeros(len(x_ND), len(self.true_GD))
        chosen_NG, residual_ND = torch.zeros_like(code_NG, dtype=torch.bool), x_ND
        for _ in range(min(2 * self.setting.l0, *self.true_GD.shape)):
            open_N = residual_ND.norm(dim=1) > self.params.tolerance * x_ND.norm(dim=1)
            hit_NG = (residual_ND @ self.true_GD.T).masked_fill(chosen_NG, -torch.inf)
            chosen_NG[open_N, hit_NG.argmax(1)[open_N]] = True
            code_NG = self._least_squares(x_ND, chosen_NG)
            residual_ND = x_ND - code_NG @ self.true_GD
        return code_NG.clamp(min=0)

    def _least_squares(self, x_ND: Tensor, chosen_NG: Tensor) -> Tensor:
        most = max(int(chosen_NG.sum(1).max()), 1)
        kept_NK, index_NK = chosen_NG.float().topk(most, dim=1)
        row_NKD = self.true_GD[index_NK] * kept_NK[:, :, None]
        # What is not chosen is a zero row; the unit on its diagonal keeps the system solvable and its code 0.
        gram_NKK = row_NKD @ row_NKD.mT + torch.diag_embed(1.0 - kept_NK + 1e-6)
        size_NK = torch.linalg.solve(gram_NKK, (row_NKD @ x_ND[:, :, None]))[:, :, 0]
        return torch.zeros_like(chosen_NG, dtype=x_ND.dtype).scatter(1, index_NK, size_NK * kept_NK)

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return reconstructions ``[N, D]``."""
        return torch.addmm(self.offset, z_NF, self.rows)

    def directions(self) -> Tensor:
        """Return the directions, damaged or not, ``[F, D]``."""
        return self.rows.clone()

    def summary(self) -> dict[str, float]:
        """Return how many latents are left of how many true directions."""
        return {"latents": float(len(self.rows)), "true_directions": float(len(self.true_GD))}


def _keys(x_ND: Tensor) -> Tensor:
    """Return a 64-bit hash of each row's bits: integer sums, so it does not depend on batch or machine."""
    bit_ND = x_ND.contiguous().view(torch.int32).long()
    generator = torch.Generator().manual_seed(stream(0, "keys"))
    odd_D = torch.randint(2**62, (x_ND.shape[1],), generator=generator) * 2 + 1
    return (bit_ND * odd_D.to(x_ND.device)).sum(1)


def _make_room(module: Any, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for name, buffer in list(module.named_buffers()):
        if prefix + name in state:
            setattr(module, name, torch.zeros_like(state[prefix + name], device=buffer.device))
    module.shared = int(state.get(prefix + "leading", 0))
