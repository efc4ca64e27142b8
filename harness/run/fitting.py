"""Fits methods, or finds them fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from harness.api import Method, Train, Trained
from harness.errors import CellError, UserError
from harness.registry import build_method
from harness.run.cells import Cell
from harness.run.meter import Meter
from harness.store.fits import FitCard, load_fit, save_fit
from harness.tracks.at_blocks import AtBlocks
from harness.tracks.contract import Track


@dataclass(frozen=True)
class Fitted:
    """A fitted method with what its fit cost; ``found`` says that it was not fitted now."""

    method: Method
    card: FitCard
    found: bool


class Fitter:
    """Fits the methods of one group; a fit is kept by fingerprint and found by every later call."""

    def __init__(self, track: Track, folder: Path) -> None:
        self.track, self.folder = track, folder
        self.at_blocks = AtBlocks(track.group, track.resources)
        self._fitted: dict[str, Fitted] = {}

    def fit(self, cell: Cell) -> Fitted:
        """Return the fitted method of a cell; raises ``CellError`` where its code fails."""
        if cell.fit not in self._fitted:
            self._fitted[cell.fit] = self._find(cell)
        return self._fitted[cell.fit]

    def _find(self, cell: Cell) -> Fitted:
        uses = {name: self.fit(used).method for name, used in cell.uses.items()}
        below = {name: [self.fit(used) for used in cells] for name, cells in cell.at_blocks.items()}
        at_blocks = {name: tuple(one.method for one in found) for name, found in below.items()}
        setting = replace(self.track.setting(cell.seed, uses), at_blocks=at_blocks)
        method: Method = build_method(cell.fitted.found, cell.fitted.params, setting)
        if not isinstance(method, Trained):
            used = [one for found in below.values() for one in found]
            return Fitted(method, _together([one.card for one in used]), all(one.found for one in used))
        if cell.fitted.found.checkpoint is not None:
            return self._ready(Fitted(method, FitCard(0.0, None, 0, {}), True), cell)
        kept = load_fit(self.folder, cell.fit)
        if kept is not None:
            state, card = kept
            method.load(state)
            return self._ready(Fitted(method, card, True), cell)
        train = self._train(cell)
        with Meter() as meter:
            self._run(method, train, cell)
        card = FitCard(meter.seconds, meter.peak_mb, len(train.x), _plain(method.summary()))
        save_fit(self.folder, cell.fit, method.state(), card)
        return self._ready(Fitted(method, card, False), cell)

    def _train(self, cell: Cell) -> Train:
        return self.track.train() if cell.block is None else self.at_blocks.train(cell.block)

    def _run(self, method: Trained, train: Train, cell: Cell) -> None:
        def progress(label: str, done: int, total: int) -> None:
            train.progress(f"{cell.label}: {label}", done, total)

        extra: dict[str, Any] = {
            need: train.extra[need] for need in cell.fitted.found.spec.needs if need in train.extra
        }
        own = Train(train.x, train.val, train.passes, train.device, progress, extra)
        try:
            method.fit(own)
        except (UserError, KeyboardInterrupt):
            raise
        except Exception as error:  # a method is foreign code: whatever it raises fails its own cell only
            raise CellError(f"fit raised {type(error).__name__}: {error}") from error

    def _ready(self, fitted: Fitted, cell: Cell) -> Fitted:
        if isinstance(fitted.method, torch.nn.Module):
            device = self.track.train().device if cell.block is None else self.at_blocks.device(cell.block)
            fitted.method.to(device).eval().requires_grad_(False)
        return fitted


def _together(cards: Sequence[FitCard]) -> FitCard:
    """Return what the fits cost that a method is built on which is not fitted itself."""
    peaks = [card.peak_mb for card in cards if card.peak_mb is not None]
    tokens = max((card.train_tokens for card in cards), default=0)
    return FitCard(sum(card.seconds for card in cards), max(peaks, default=None), tokens, {})


def _plain(summary: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in summary.items()}
