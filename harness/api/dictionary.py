"""Dictionaries: activations become codes of ``F`` latents, and codes activations."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from harness.api.fitting import Network


class Dictionary(Network):
    """Maps activations to codes and back, in the model's own units.

    Constructed as ``Class(params, setting)``, ``params`` being an instance of the class's ``Params`` dataclass, filled
    from YAML.
    ``uses`` of the setting are not registered as submodules: they are saved under their own fingerprint.
    """

    kind: ClassVar[str] = "dictionary"
    shared: int = 0
    """Leading latents that code the document instead of the token: they hold one value for all of its tokens (in a
    causal method, one that follows what was read). They do not count in L0; what they cost is ``bits_per_token``."""

    @abstractmethod
    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return codes ``[N, F]``. ``doc_N`` tells which rows share a document; documents come whole."""

    @abstractmethod
    def decode(self, z_NF: Tensor) -> Tensor:
        """Return reconstructions ``[N, D]`` in raw model units, biases included."""

    @abstractmethod
    def directions(self) -> Tensor:
        """Return decoder rows ``[F, D]`` in raw model units per unit of code (used to fold codes)."""
