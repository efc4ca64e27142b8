"""Logistic regression on principal components: what a linear probe reads with far fewer numbers than dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge
from numpy.typing import NDArray

from harness.api import Answers, Features, Setting
from harness.training.components import components
from harness.training.probe import Ints, ReducedProbe, Reduction


class ComponentLogistic(ReducedProbe):
    """Reads the first components of the activations at all blocks and positions, found anew in every fold."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``pca_lr``."""

        components: Annotated[int, Ge(1)]
        """principal components that are read"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self._count = params.components

    def features(self, answers: Answers) -> Features:
        """Return the activations, flat."""
        return answers.raw()

    def reduction(self, x_nF: NDArray[Any], y_n: Ints) -> Reduction:
        """Return the projection onto the components of the train rows; labels play no part."""
        return components(x_nF, self._count)
