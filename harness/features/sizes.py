"""How much is gathered; everything here is independent of the number of tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """What is kept for every latent.

    Attributes:
        window: tokens of a window at most, for labels and for contexts.
        short: a window of fewer tokens takes no part in labels.
        top: contexts of largest activation, each from another document.
        sample: contexts drawn uniformly from all pieces of documents in which the latent fires.
        neighbours: nearest decoder directions.
        evidence: token types that carry most activation.
        train: windows of either kind a label is made from.
        test: windows of either kind it is tested on, from other groups.
        spare: how many times as many firing windows are drawn as are needed, so that deciles can be filled.
        items: entries of a label at most.
        sketch: random signs per token, for correlations between latents.
        types: token types with a column of their own in the token regression.
        clustered: latents that are clustered at most, those of largest activation mass.
        codes: codes held at once, in floats.
        control_labels: latents of a control that are labelled at most.
        seed: of every draw.
    """

    window: int = 32
    short: int = 16
    top: int = 8
    sample: int = 4
    neighbours: int = 8
    evidence: int = 12
    train: int = 40
    test: int = 50
    spare: int = 2
    items: int = 10
    sketch: int = 1024
    types: int = 1000
    clustered: int = 4096
    codes: int = 2**24
    control_labels: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.window <= 62:
            raise ValueError(f"window must be 1 to 62 tokens (its bits are kept in one integer), got {self.window}")
