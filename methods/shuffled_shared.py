"""Shuffled shared code: a fitted dictionary whose documents carry the shared code of another one.

Where the reconstruction barely suffers, the shared code carries nothing of its document.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api import Dictionary, Setting, Train

CHUNK_ROWS = 8192
# Signs that choose the donor: enough that two documents rarely agree in all, and one rounded to 0 is rare.
BITS = 32


class ShuffledShared(Dictionary):
    """The dictionary ``of`` with each document's shared code replaced by that of a document of the train split.

    The donor follows from the signs of the document's own code, so it looks random and is the same on every run.
    """

    @dataclass(frozen=True)
    class Params:
        """``shuffled_shared`` has no parameters."""

    bank: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        of = setting.uses.get("of")
        if not isinstance(of, Dictionary) or of.shared == 0:
            raise ValueError(f"shuffled_shared needs a fitted dictionary with a shared code as 'of', got {_name(of)}")
        # held in a tuple, so that its weights are not counted and saved a second time
        self._of = (of,)
        self.shared = of.shared
        self.register_buffer("bank", torch.zeros(0, of.shared))

    def fit(self, train: Train) -> None:
        """Keep the shared code of every train document."""
        self.to(train.device)
        with torch.no_grad():
            codes = [
                _last(self._of[0].encode(x_ND.to(train.device), doc_N)[:, : self.shared], doc_N)[0]
                for x_ND, doc_N in train.x.documents(CHUNK_ROWS)
            ]
        self.bank = torch.cat(codes)

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return the inner codes with the donors' shared ones."""
        z_NF = self._of[0].encode(x_ND, doc_N).clone()
        own_CR, of_N = _last(z_NF[:, : self.shared], doc_N)
        z_NF[:, : self.shared] = self.bank[self._donor(own_CR)][of_N]
        return z_NF

    def decode(self, z_NF: Tensor) -> Tensor:
        """Decode as the inner dictionary does."""
        return self._of[0].decode(z_NF)

    def directions(self) -> Tensor:
        """Return the inner directions."""
        return self._of[0].directions()

    def summary(self) -> dict[str, float]:
        """Return the number of donors."""
        return {"donors": float(len(self.bank))}

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        # The number of donors is known only once it is fitted.
        if f"{prefix}bank" in state_dict:
            self.bank = torch.empty_like(state_dict[f"{prefix}bank"], device=self.bank.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _donor(self, own_CR: Tensor) -> Tensor:
        """Return int64 ``[C]``: the bank entry each document takes, never one equal to its own code."""
        bits_CR = (own_CR > self.bank.mean(0))[:, :BITS].long()
        weight_R = torch.tensor([pow(3, i, 2**31 - 1) for i in range(bits_CR.shape[1])], device=own_CR.device)
        donor_C = (bits_CR @ weight_R) % len(self.bank)
        same_C = (self.bank[donor_C] == own_CR).all(1)
        return torch.where(same_C, (donor_C + 1) % len(self.bank), donor_C)


def _last(z_NR: Tensor, doc_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the code at the last token of each document ``[C, R]``, and the document of each row as its number."""
    _, of_N, length_C = torch.unique_consecutive(doc_N, return_inverse=True, return_counts=True)
    return z_NR[(length_C.cumsum(0) - 1).to(z_NR.device)], of_N.to(z_NR.device)


def _name(of: object) -> str:
    return f"a {type(of).__name__} without one" if isinstance(of, Dictionary) else type(of).__name__
