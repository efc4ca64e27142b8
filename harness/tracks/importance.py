"""What a prediction owes each latent: the language model is run on from activations in which latents were changed.

``M`` is the log-probability, nats, of the token that the model itself finds likeliest. Only the activation at the
predicting token is changed, by decoder rows: what the dictionary leaves out of it stays, and all before it stays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from harness.api import Dictionary, Predictions
from harness.data.tokens import TokenBatch
from harness.lm.filling import piece_ids
from harness.lm.model import LanguageModel
from harness.lm.past import Past
from harness.tracks.kept_effects import effects_key, measured_once
from harness.tracks.site import Site
from harness.tracks.sums import check_output

# Changed activations that are run on at once.
BRANCHES = 256
# Texts of which keys and values are kept: some megabytes each.
PASTS = 128


@dataclass(frozen=True, eq=False)
class Point:
    """One prediction: a text up to the token that predicts.

    Attributes:
        ids_T: int64; its tokens.
        x_TD: float32; what the block returned at each.
        id: the token that the model finds likeliest next.
        value: ``M``, nats.
    """

    ids_T: Tensor
    x_TD: Tensor
    id: int
    value: float


def choose(batches: Sequence[TokenBatch], wanted: int, seed: int) -> list[list[tuple[int, int]]]:
    """Return row and position of ``wanted`` predictions, by batch, or of all there are.

    Both the sequences and the tokens in them are drawn at random; none gives a second before every one gave a first.
    How sequences are put together to batches changes nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    found: list[tuple[int, int, int, int]] = []
    for number, batch in enumerate(batches):
        for row, keep_T in enumerate(batch.keep_BT):
            kept_k = torch.nonzero(keep_T).flatten()
            order_k = kept_k[torch.randperm(len(kept_k), generator=generator)]
            found += [(turn, number, row, t) for turn, t in enumerate(order_k[:wanted].tolist())]
    shuffled = [found[i] for i in torch.randperm(len(found), generator=generator).tolist()]
    taken = sorted(shuffled, key=lambda one: one[0])[:wanted]
    return [sorted((row, t) for _, at, row, t in taken if at == number) for number in range(len(batches))]


@dataclass(frozen=True)
class Chosen:
    """Some predictions of one batch: the batch under the task's mask, its activations, and the points."""

    batch: TokenBatch
    x_BTD: Tensor
    at: tuple[tuple[int, int], ...]
    points: tuple[Point, ...]

    def codes(self, dictionary: Dictionary) -> Tensor:
        """Return the codes at the points, ``[n, F]``; a dictionary meets whole documents."""
        keep_BT = self.batch.keep_BT
        x_ND = self.x_BTD[keep_BT].float()
        z_NF = dictionary.encode(x_ND, piece_ids(self.batch).to(x_ND.device))
        check_output("encode", z_NF, (len(x_ND), dictionary.directions().shape[0]))
        row_BT = torch.cumsum(keep_BT.flatten(), 0).view(keep_BT.shape) - 1
        index_n = torch.tensor([int(row_BT[row, t]) for row, t in self.at], dtype=torch.int64)
        return z_NF[index_n.to(z_NF.device)]


class Importance:
    """Runs the model of a site on from changed activations; what stands before a prediction is run once."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._pasts: OrderedDict[Point, Past] = OrderedDict()

    @property
    def model(self) -> LanguageModel:
        """The language model."""
        return self.site.model

    def _past(self, point: Point) -> Past:
        if point not in self._pasts:
            self._keep(point, self.model.past(point.ids_T, self.site.task.layer, point.x_TD))
        return self._pasts[point]

    def _keep(self, point: Point, past: Past) -> None:
        self._pasts[point] = past
        while len(self._pasts) > PASTS:
            self._pasts.popitem(last=False)

    @torch.no_grad()
    def read(self, batch: TokenBatch, at: Sequence[tuple[int, int]]) -> Chosen:
        """Run the model once on a batch, and take the predictions at rows and positions ``at``."""
        x_BTD = self.site.read(batch)
        batch = self.site.mask(batch, x_BTD)
        # A token that the mask leaves out has no code.
        kept = tuple((row, t) for row, t in at if bool(batch.keep_BT[row, t]))
        points = [self._point(batch.ids_BT[row, : t + 1], x_BTD[row, : t + 1]) for row, t in kept]
        return Chosen(batch, x_BTD, kept, tuple(points))

    def _point(self, ids_T: Tensor, x_TD: Tensor) -> Point:
        past = self.model.past(ids_T, self.site.task.layer, x_TD)
        final_1D = self.model.follow([past], torch.zeros(1, dtype=torch.int64), x_TD[-1:])
        value, index = self.model.logits(final_1D).log_softmax(1)[0].max(0)
        point = Point(ids_T, x_TD, int(index), float(value))
        self._keep(point, past)
        return point

    @torch.no_grad()
    def next_logp(self, point: Point) -> Tensor:
        """Return the model's log-probabilities of the next token, ``[V]``."""
        final_1D = self.model.follow([self._past(point)], torch.zeros(1, dtype=torch.int64), point.x_TD[-1:])
        return self.model.logits(final_1D).log_softmax(1)[0]

    def _logp(self, points: Sequence[Point], of_A: Tensor, last_AD: Tensor) -> Tensor:
        """Return ``M`` of the points ``of_A`` with ``last_AD`` in the place of their activations, ``[A]``."""
        final_AD = self.model.follow([self._past(point) for point in points], of_A, last_AD)
        logp_AV = self.model.logits(final_AD).log_softmax(1)
        id_A = torch.tensor([point.id for point in points])[of_A]
        return logp_AV[torch.arange(len(of_A)), id_A.to(logp_AV.device)]

    @torch.no_grad()
    def values(self, point: Point, last_AD: Tensor) -> Tensor:
        """Return ``M`` with each of ``last_AD`` in the place of the activation at the predicting token, ``[A]``."""
        if len(last_AD) == 0:  # where no latent is active; attention refuses to run on nothing
            return last_AD.new_zeros(0)
        found = [
            self._logp([point], torch.zeros(len(some_AD), dtype=torch.int64), some_AD)
            for some_AD in torch.split(last_AD, BRANCHES)
        ]
        return torch.cat(found)

    def without(self, point: Point, code_F: Tensor, direction_FD: Tensor, drop_AF: Tensor) -> Tensor:
        """Return ``M`` with some latents set to 0, ``[A]``; ``drop_AF`` (bool) says which."""
        removed_AD = (drop_AF * code_F).to(direction_FD) @ direction_FD
        return self.values(point, point.x_TD[-1].to(removed_AD) - removed_AD)

    @torch.no_grad()
    def predictions(self, chosen: Chosen, dictionary: Dictionary) -> Predictions:
        """Return the predictions of a batch as explainers over a dictionary meet them; effects are computed once."""
        code_nF, direction_FD = chosen.codes(dictionary), dictionary.directions().detach()
        points = chosen.points
        slope: Callable[[int], Tensor] = cache(lambda steps: self._slope(points, code_nF, direction_FD, steps))
        ablated: Callable[[], Tensor] = cache(lambda: self._measured(points, code_nF, direction_FD))
        id_n = torch.tensor([point.id for point in points], dtype=torch.int64)
        value_n = torch.tensor([point.value for point in points])
        return Predictions(code_nF, direction_FD, id_n, value_n, slope, ablated)

    def _measured(self, points: Sequence[Point], code_nF: Tensor, direction_FD: Tensor) -> Tensor:
        """Return what each latent does alone; found on disk where it was measured before."""
        origin, layer = self.site.group.origin, self.site.task.layer
        read = [tensor for point in points for tensor in (point.ids_T, point.x_TD.float())]
        key = effects_key([origin.model, origin.dtype, layer, self.model.info.device], [code_nF, direction_FD, *read])
        path = self.site.resources.cache / "effects" / f"{key}.safetensors"
        return measured_once(path, lambda: self._ablated(points, code_nF, direction_FD), code_nF)

    def _ablated(self, points: Sequence[Point], code_nF: Tensor, direction_FD: Tensor) -> Tensor:
        found_nF = torch.zeros_like(code_nF)
        for n, point in enumerate(points):
            active_k = torch.nonzero(code_nF[n]).flatten()
            removed_kD = code_nF[n, active_k, None] * direction_FD[active_k]
            found_nF[n, active_k] = point.value - self.values(point, point.x_TD[-1].to(removed_kD) - removed_kD)
            self.site.resources.progress("ablating latents", n + 1, len(points))
        return found_nF

    def _slope(self, points: Sequence[Point], code_nF: Tensor, direction_FD: Tensor, steps: int) -> Tensor:
        """Return the mean slope of ``M`` by each code: at the codes, or along a path; all points in one pass a step."""
        whole_nD = code_nF.to(direction_FD) @ direction_FD
        left = [1 - (step + 0.5) / steps for step in range(steps)] or [0.0]
        gradient_nD = torch.zeros_like(whole_nD)
        for share in left:
            gradient_nD += self._gradient(points, -share * whole_nD) / len(left)
        return gradient_nD @ direction_FD.T

    @torch.enable_grad()
    def _gradient(self, points: Sequence[Point], added_nD: Tensor) -> Tensor:
        """Return the gradient of each ``M`` by the activation at its token, where ``added_nD`` was added to it."""
        x_nD = torch.stack([point.x_TD[-1] for point in points]).to(added_nD)
        last_nD = (x_nD + added_nD).detach().requires_grad_(True)
        (gradient_nD,) = torch.autograd.grad(self._logp(points, torch.arange(len(points)), last_nD).sum(), last_nD)
        return gradient_nD


def together(several: Sequence[Predictions]) -> Predictions:
    """Return the predictions of several batches over one dictionary as one; effects stay computed once."""
    return Predictions(
        torch.cat([one.code_nF for one in several]),
        several[0].direction_FD,
        torch.cat([one.id_n for one in several]),
        torch.cat([one.value_n for one in several]),
        cache(lambda steps: torch.cat([one.slope(steps) for one in several])),
        cache(lambda: torch.cat([one.ablated() for one in several])),
    )
