"""A decoder of next tokens over the codes of a sparse dictionary, distilled from the model's own predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.api import Setting
from harness.training.distil import Target
from harness.training.loop import Optim
from harness.training.sparse_decoder import CodeDecoder, Map


class SparseDecoder(CodeDecoder):
    """``min mean KL(p || q(. | z))``, ``z`` the codes and ``p`` the model's own distribution."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``sparse_decoder`` and its variants."""

        map: Map
        """what leads from codes to predictions"""
        target: Target
        """soft: the model's whole distribution; hard: its most likely token, which sharpens"""
        optim: Optim
        """optimiser"""

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__(setting, params.optim, params.target, params.map)

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Refuse a map that takes too much memory to fit."""
        params.map.check(setting)
