"""Labels of many latents, with their controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.features.bag import Bags
from harness.features.gather import Gatherer
from harness.features.items import Items
from harness.features.lexical import COVERED, Explainer, Lexicon, Quality, Side, as_dict, refusal
from harness.features.sizes import Sizes
from harness.features.text import Text
from harness.specs.features import Coverage, Detection, Item, Label
from harness.stats.proportions import wilson

Tell = Callable[[int, int], None]


class Labeller:
    """Makes and tests the labels of one method's latents."""

    def __init__(self, text: Text, words: Sequence[str], sizes: Sizes) -> None:
        self.sizes = sizes
        self.items = Items(text, words, text.side_P[text.piece_M] == 0)
        self.explainer = Explainer(text, self.items, sizes.items, sizes.seed)
        self.bags = Bags(text, self.items)

    def label(self, gatherer: Gatherer, latents: Sequence[int], tell: Tell) -> tuple[dict[int, Label], dict[int, str]]:
        """Return labels, and for the other ``latents`` why they have none."""
        sides, refused = self._sides(gatherer, latents)
        lexicons = {latent: self.explainer.label(train) for latent, (train, _) in sides.items()}
        other = rotate(list(sides), self.sizes.seed)
        labels = {}
        for done, (latent, (train, test)) in enumerate(sides.items()):
            permuted = None
            if latent in other:
                permuted = self.explainer.test(lexicons[other[latent]], test)[0].balanced
            labels[latent] = self._label(lexicons[latent], train, test, permuted)
            tell(done + 1, len(sides))
        return labels, refused

    def _sides(self, gatherer: Gatherer, latents: Sequence[int]) -> tuple[dict[int, tuple[Side, Side]], dict[int, str]]:
        need = self.sizes.train, self.sizes.test
        sides, refused = {}, {}
        for latent in latents:
            pair = gatherer.windows.of(latent, 0), gatherer.windows.of(latent, 1)
            why = "it never fires" if gatherer.fires_F[latent] == 0 else refusal(*pair, need)
            if why is None:
                sides[latent] = pair
            else:
                refused[latent] = why
        return sides, refused

    def _label(self, lexicon: Lexicon, train: Side, test: Side, permuted: float | None) -> Label:
        detection, fuzzing = self.explainer.test(lexicon, test)
        described = zip((self.items.describe(int(i)) for i in lexicon.items), lexicon.weights, strict=True)
        return Label(
            items=[Item(kind=kind, text=text, weight=round(float(w), 3)) for (kind, text), w in described],
            detection=_detection(detection),
            fuzzing=_detection(fuzzing),
            permuted=None if permuted is None else round(permuted, 4),
            ceiling=round(self.bags.ceiling(train, test), 4),
        )


def _detection(value: Quality) -> Detection:
    return Detection(**as_dict(value))


def rotate(latents: Sequence[int], seed: int) -> dict[int, int]:
    """Return a permutation without a fixed point; empty for fewer than two latents."""
    if len(latents) < 2:
        return {}
    order = np.random.default_rng(seed).permutation(np.asarray(latents))
    return dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))


@dataclass(frozen=True)
class Counted:
    """How many latents a coverage is over."""

    alive: int
    sampled: int


def coverage(name: str, labels: dict[int, Label], refused: dict[int, str], counted: Counted) -> Coverage:
    """Sum labels up; ``label_coverage`` is over all alive latents that were tried, whether they got a label or not."""
    found = list(labels.values())
    covered = sum(label.detection.lower > COVERED for label in found)
    reason = None
    if not found:
        reasons = [why.split(" to ")[0] for why in refused.values()]
        reason = "no latent fires" if not reasons else f"no latent could be labelled; for one, {reasons[0]}"
    tried = bool(found and counted.sampled)
    lo, hi = wilson(covered, counted.sampled) if tried else (None, None)
    return Coverage(
        name=name,
        alive=counted.alive,
        tried=counted.sampled,
        labelled=len(found),
        covered=covered,
        coverage=round(covered / counted.sampled, 4) if tried else None,
        of_labelled=round(covered / len(found), 4) if found else None,
        lo=None if lo is None else round(lo, 4),
        hi=None if hi is None else round(hi, 4),
        reason=reason,
        detection=median([label.detection.balanced for label in found]),
        fuzzing=median([label.fuzzing.balanced for label in found]),
        permuted=median([label.permuted for label in found if label.permuted is not None]),
        ceiling=median([label.ceiling for label in found]),
    )


def median(values: Sequence[float]) -> float | None:
    """Return the median to four decimals, or None of nothing."""
    return round(float(np.median(values)), 4) if values else None
