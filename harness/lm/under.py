"""A language model under an intervention: a change of activations at one block, and a bias on logits.

Whoever runs the model does so as ever, with a cache or without, padded on either side; the model itself is told where
a text begins. What an intervention puts before a prompt is text, and the business of whoever makes prompts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

from harness.api import Bias
from harness.lm.edits import edited
from harness.lm.model import LanguageModel
from harness.lm.spliced import Splice


@contextmanager
def spliced(model: LanguageModel, splices: Mapping[int, Splice]) -> Iterator[None]:
    """Let every call of the network inside the block run with ``splices``, by block from 0.

    Raises:
        UserError: a block is out of range.
    """

    def tell(_module: nn.Module, _args: Any, options: Mapping[str, Any]) -> None:
        if _begins(options):
            for splice in splices.values():
                splice.begin(options.get("attention_mask"))

    handle = model.network.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        with edited(model, splices):
            yield
    finally:
        handle.remove()


@contextmanager
def biased(model: LanguageModel, bias: Bias) -> Iterator[None]:
    """Let every call of the network inside the block return logits with a bias."""
    if not bias:
        yield
        return
    run = Biased(bias, model.info.vocab)
    handles = [
        model.network.register_forward_pre_hook(run.read, with_kwargs=True),
        model.network.register_forward_hook(run.write),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _begins(options: Mapping[str, Any]) -> bool:
    past = options.get("past_key_values")
    return past is None or int(past.get_seq_length()) == 0


@final
class Biased:
    """Adds a bias to logits; it keeps the tokens of the texts under way."""

    def __init__(self, bias: Bias, vocabulary: int) -> None:
        self._always_V = torch.zeros(vocabulary)
        self._after: list[tuple[tuple[int, ...], int, float]] = []
        for (*before, last), value in bias.items():
            if before:
                self._after.append((tuple(before), last, value))
            else:
                self._always_V[last] = value
        self._ids_BS = torch.zeros(0, 0, dtype=torch.int64)

    def read(self, _module: nn.Module, args: Any, options: Mapping[str, Any]) -> None:
        """Take note of the tokens of one call."""
        ids_BT = options["input_ids"] if "input_ids" in options else args[0]
        self._ids_BS = ids_BT if _begins(options) else torch.cat([self._ids_BS, ids_BT], 1)

    def write(self, _module: nn.Module, _args: Any, output: Any) -> Any:
        """Return what the network returned, with other logits."""
        output.logits = self.added(output.logits, self._ids_BS)
        return output

    def added(self, logits_BTV: Tensor, ids_BS: Tensor) -> Tensor:
        """Return logits of the last ``T`` of ``S`` tokens with the bias."""
        bias_BTV = self._always_V.to(logits_BTV).expand_as(logits_BTV)
        if self._after:
            bias_BTV = bias_BTV.clone()
        for before, last, value in self._after:
            after_BT = _follows(ids_BS, before)[:, -logits_BTV.shape[1] :]
            own_BT = bias_BTV[..., last]
            # A ban stays one whatever else is added.
            bias_BTV[..., last] = torch.where(after_BT & ~own_BT.isneginf(), own_BT + value, own_BT)
        return logits_BTV + bias_BTV


def _follows(ids_BS: Tensor, before: tuple[int, ...]) -> Tensor:
    """Return which tokens end a run of ``before``, bool ``[B, S]``."""
    found_BS = torch.ones_like(ids_BS, dtype=torch.bool)
    for back, id_ in enumerate(reversed(before)):
        same_BS = ids_BS == id_
        if back:
            same_BS = torch.cat([torch.zeros_like(same_BS[:, :back]), same_BS[:, :-back]], 1)
        found_BS &= same_BS
    return found_BS


def closed_form_kl(logp_NV: Tensor, first: tuple[int, ...], value: float) -> Tensor:
    """Return KL(p ‖ p biased) in nats per row, had the logits of some tokens ``value`` added: ``[N]``.

    ``ln(1 − P + P e^b) − b P`` with ``P`` the probability of these tokens.
    """
    if math.isinf(value):
        raise ValueError("a ban has no finite divergence")
    mass_N = logp_NV[:, list(first)].double().exp().sum(1)
    return torch.log1p(mass_N * math.expm1(value)) - value * mass_N
