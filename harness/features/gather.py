"""What is gathered for every latent of one method while its codes stream by."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from harness.features.keep import Best, priority
from harness.features.lexical import HIGHLIGHT, Side, deciles
from harness.features.mass import TokenMass
from harness.features.regression import TokenRegression
from harness.features.sizes import Sizes
from harness.features.sketch import Sketch, signs
from harness.features.stream import Chunk
from harness.features.text import Text

# Tokens before the peak of a context; the rest of the window follows it.
BEFORE = 22


class Windows:
    """Draws the windows labels are made from and tested on: uniformly, for each latent and each half of the groups."""

    def __init__(self, text: Text, sizes: Sizes, latents: int) -> None:
        self.text, self.sizes = text, sizes
        need = (sizes.train, sizes.test)
        self._fires = [Best(count * sizes.spare, latents) for count in need]
        self._silent = [Best(count, latents) for count in need]
        self._bounds = np.searchsorted(text.piece_W, np.arange(text.doc_P.size + 1))
        self._rank_W = priority(text.start_W, sizes.seed)

    def add(self, chunk: Chunk) -> None:
        """Add the windows of a chunk."""
        first, end = int(self._bounds[chunk.pieces.start]), int(self._bounds[chunk.pieces.stop])
        base = int(self.text.first_P[chunk.pieces.start])
        side_W = self.text.side_P[self.text.piece_W]
        for side in (0, 1):
            windows = np.flatnonzero(side_W[first:end] == side) + first
            if windows.size:
                self._add(side, windows, base, chunk.z_MF)

    def _add(self, side: int, windows: np.ndarray, base: int, z_MF: Tensor) -> None:
        start_W, length_W = self.text.start_W[windows] - base, self.text.length_W[windows]
        spans = [z_MF[s : s + n].abs() for s, n in zip(start_W.tolist(), length_W.tolist(), strict=True)]
        largest = [span.max(dim=0) for span in spans]
        peak_WF, at_WF = torch.stack([m.values for m in largest]), torch.stack([m.indices for m in largest])
        rank_W1 = self._rank_W[windows][:, None]
        fires_WF = peak_WF > 0
        number_W = torch.from_numpy(windows)

        def firing(index_kF: Tensor) -> Mapping[str, Tensor]:
            high, active = _bits(z_MF, torch.from_numpy(start_W), torch.from_numpy(length_W), index_kF, peak_WF)
            value_kF, place_kF = peak_WF.gather(0, index_kF), at_WF.gather(0, index_kF)
            return {"window": number_W[index_kF], "peak": place_kF, "value": value_kF, "bits": high, "active": active}

        self._fires[side].add(torch.where(fires_WF, rank_W1, -torch.inf), firing)
        silent_WF = torch.where(fires_WF, -torch.inf, rank_W1)
        self._silent[side].add(silent_WF, lambda index_kF: {"window": number_W[index_kF]})

    def of(self, latent: int, side: int) -> Side:
        """Return the windows of one latent on one half: firing ones from every decile of their activation."""
        count = (self.sizes.train, self.sizes.test)[side]
        held = self._fires[side].of(latent)
        if not held["key"].size:
            none = np.zeros(0, dtype=np.int64)
            return Side(none, none, none, none, self._silent_of(latent, side))
        chosen = deciles(held["value"], count)
        windows = held["window"][chosen]
        peak = self.text.start_W[windows] + held["peak"][chosen]
        return Side(windows, peak, held["bits"][chosen], held["active"][chosen], self._silent_of(latent, side))

    def _silent_of(self, latent: int, side: int) -> np.ndarray:
        held = self._silent[side].of(latent)
        return held["window"] if held["key"].size else np.zeros(0, dtype=np.int64)


def _bits(z_MF: Tensor, start_W: Tensor, length_W: Tensor, index_kF: Tensor, peak_WF: Tensor) -> tuple[Tensor, Tensor]:
    """Return which tokens of the chosen windows are highlighted, as bits, and on how many the latent fires."""
    span_kTF, inside_kTF = _spans(z_MF, start_W[index_kF], length_W[index_kF], int(length_W.max()))
    high_kTF = inside_kTF & (span_kTF.abs() > HIGHLIGHT * peak_WF.gather(0, index_kF)[:, None])
    bit_T = 2 ** torch.arange(span_kTF.shape[1])
    return (high_kTF * bit_T[:, None]).sum(1), (inside_kTF & (span_kTF != 0)).sum(1)


def _spans(z_MF: Tensor, start_kF: Tensor, length_kF: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return codes of ``width`` tokens from ``start`` on for each latent, ``[k, T, F]``, and which are inside."""
    offset_T1 = torch.arange(width)[:, None]
    at_kTF = start_kF[:, None] + offset_T1
    inside_kTF = offset_T1 < length_kF[:, None]
    at_kTF = at_kTF.clamp(0, z_MF.shape[0] - 1)
    span_kTF = z_MF.gather(0, at_kTF.flatten(0, 1)).view(at_kTF.shape)
    return torch.where(inside_kTF, span_kTF, 0.0), inside_kTF


class Contexts:
    """Keeps for each latent the pieces in which it fires most, and a uniform sample of those in which it fires."""

    def __init__(self, text: Text, sizes: Sizes, latents: int) -> None:
        self.text, self.sizes = text, sizes
        # Several pieces of one document may lead; all but the best of them are dropped at the end.
        self._top = Best(2 * sizes.top, latents)
        self._sample = Best(sizes.sample + sizes.top, latents)
        self._rank_P = priority(text.first_P[:-1], sizes.seed + 1)

    def add(self, chunk: Chunk) -> None:
        """Add the pieces of a chunk."""
        first_p = torch.from_numpy(self.text.first_P[chunk.pieces.start : chunk.pieces.stop + 1])
        base = int(first_p[0])
        largest = [chunk.z_MF[a - base : b - base].abs().max(dim=0) for a, b in itertools.pairwise(first_p)]
        peak_pF = torch.stack([m.values for m in largest])
        place_pF = torch.stack([m.indices for m in largest]) + first_p[:-1, None]

        def payload(index_kF: Tensor) -> Mapping[str, Tensor]:
            peak_kF = place_pF.gather(0, index_kF)
            start_kF = torch.maximum(peak_kF - BEFORE, first_p[:-1][index_kF])
            length_kF = torch.minimum(first_p[1:][index_kF] - start_kF, torch.tensor(self.sizes.window))
            span_kTF, _ = _spans(chunk.z_MF, start_kF - base, length_kF, self.sizes.window)
            held = {"start": start_kF, "length": length_kF, "peak": peak_kF, "z": span_kTF.transpose(1, 2)}
            return {**held, "value": peak_pF.gather(0, index_kF)}

        fires_pF = peak_pF > 0
        rank_p1 = self._rank_P[chunk.pieces.start : chunk.pieces.stop][:, None]
        self._top.add(torch.where(fires_pF, peak_pF, -torch.inf), payload)
        self._sample.add(torch.where(fires_pF, rank_p1, -torch.inf), payload)

    def of(self, latent: int) -> list[tuple[str, dict[str, np.ndarray]]]:
        """Return ``(kind, context)``: the top ones, then others drawn at random, all of different documents."""
        top = self._different(self._top.of(latent), set(), self.sizes.top)
        taken = {self._document(context) for context in top}
        others = self._different(self._sample.of(latent), taken, self.sizes.sample)
        others.sort(key=lambda context: -float(context["value"]))
        return [*(("top", context) for context in top), *(("drawn", context) for context in others)]

    def _different(self, held: dict[str, np.ndarray], taken: set[int], most: int) -> list[dict[str, np.ndarray]]:
        found: list[dict[str, np.ndarray]] = []
        seen = set(taken)
        for i in range(held["key"].size):
            context = {name: value[i] for name, value in held.items()}
            if self._document(context) not in seen and len(found) < most:
                seen.add(self._document(context))
                found.append(context)
        return found

    def _document(self, context: dict[str, np.ndarray]) -> int:
        piece = int(np.searchsorted(self.text.first_P, int(context["peak"]), side="right")) - 1
        return int(self.text.doc_P[piece])


class Gatherer:
    """Everything about one method; ``thorough`` is False for controls, of which only labels are wanted."""

    def __init__(self, text: Text, sizes: Sizes, latents: int, thorough: bool) -> None:
        self.text, self.sizes, self.latents = text, sizes, latents
        self.windows = Windows(text, sizes, latents)
        self.fires_F = np.zeros(latents, dtype=np.int64)
        self.sum_F, self.max_F = np.zeros(latents), np.zeros(latents)
        self.tokens = 0
        self.thorough = thorough
        if thorough:
            self.contexts = Contexts(text, sizes, latents)
            self.mass = TokenMass(text.types_V.size)
            self.sketch = Sketch(latents, sizes.sketch)
            self.regression = TokenRegression(text, sizes.types, latents)

    def add(self, chunk: Chunk) -> None:
        """Add a chunk."""
        z_MF = chunk.z_MF
        self.fires_F += (z_MF != 0).sum(0).numpy()
        self.sum_F += z_MF.abs().sum(0, dtype=torch.float64).numpy()
        self.max_F = np.maximum(self.max_F, z_MF.abs().amax(0).numpy())
        self.tokens += int(chunk.measured_M.sum())
        self.windows.add(chunk)
        if self.thorough:
            self._rest(chunk)

    def _rest(self, chunk: Chunk) -> None:
        first = int(self.text.first_P[chunk.pieces.start])
        self.contexts.add(chunk)
        for p in chunk.pieces:
            start, end = int(self.text.first_P[p]), int(self.text.first_P[p + 1])
            measured_T = chunk.measured_M[start - first : end - first]
            z_TF = chunk.z_MF[start - first : end - first][torch.from_numpy(measured_T)]
            at_T = np.arange(start, end)[measured_T]
            self.mass.add(z_TF, torch.from_numpy(self.text.type_M[at_T]))
            self.sketch.add(z_TF, signs(start, end - start, self.sizes.sketch)[torch.from_numpy(measured_T)])
            self.regression.add(z_TF, at_T)
