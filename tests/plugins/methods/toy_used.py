"""A method built on another, declared under ``uses``."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harness.api import Dictionary, Setting, Train


@dataclass(frozen=True)
class Params:
    """No parameters."""


class Used(Dictionary):
    """Encodes and decodes with the method it uses."""

    Params = Params

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        # In a list, so that the inner method's tensors are not saved twice.
        self._inner = [setting.uses["dictionary"]]

    @property
    def inner(self) -> Dictionary:
        """The method this one is built on."""
        method = self._inner[0]
        assert isinstance(method, Dictionary)
        return method

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return the inner codes."""
        return self.inner.encode(x_ND, doc_N)

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return the inner reconstruction."""
        return self.inner.decode(z_NF)

    def directions(self) -> Tensor:
        """Return the inner directions."""
        return self.inner.directions()

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}
