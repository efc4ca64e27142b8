"""The language model: tokenize, read the residual stream after a block, continue from an edited one, project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness.errors import UserError
from harness.lm.blocks import forwards
from harness.lm.body import Body
from harness.lm.info import Identity
from harness.lm.probe import check_equal


@dataclass(frozen=True)
class Tokenized:
    """Token ids of each text, and whether the text was longer than the context and lost its end."""

    ids: list[list[int]]
    cut: list[bool]


@final
class LanguageModel(Body):
    """A Hugging Face causal language model, frozen.

    Shapes: ``B`` rows, ``T`` tokens, ``D`` width, ``V`` vocabulary. Rows are padded on the right. Hidden states keep
    the model's dtype and device; ``resume`` and ``logits`` accept any. Gradients flow only from an argument that
    requires them, never into the weights. Not to be called from two threads at once: it swaps methods of its modules
    while it runs.

    Raises:
        UserError: on construction, when the architecture is not understood; a short run checks that reading,
            continuing from a block and projecting reproduce the model's own logits.
    """

    def __init__(self, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, identity: Identity) -> None:
        super().__init__(network, identity)
        self._tokenizer = tokenizer
        self._verify()

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The transformers tokenizer."""
        return self._tokenizer

    @property
    def bos_id(self) -> int | None:
        """Id of the token that starts a text, ``None`` where there is none."""
        return _as_id(self._tokenizer.bos_token_id)

    @property
    def eos_id(self) -> int | None:
        """Id of the token that ends a text, ``None`` where there is none."""
        return _as_id(self._tokenizer.eos_token_id)

    @property
    def pad_id(self) -> int | None:
        """Id of the token that fills rows, ``None`` where there is none."""
        return _as_id(self._tokenizer.pad_token_id)

    def tokenize(self, texts: Sequence[str], context: int) -> Tokenized:
        """Return ids of each text with the tokenizer's own special tokens, at most ``context`` of them.

        Raises:
            UserError: ``context`` is below 1 or beyond what the model can read.
        """
        if context < 1 or (self.info.context is not None and context > self.info.context):
            most = "" if self.info.context is None else f" and at most {self.info.context}"
            raise UserError(f"model '{self.info.name}': context must be at least 1{most}, got {context}.")
        if not texts:
            return Tokenized([], [])
        rows = self._tokenizer(list(texts), truncation=False, padding=False, verbose=False)["input_ids"]
        return Tokenized([[int(i) for i in row[:context]] for row in rows], [len(row) > context for row in rows])

    def logits(self, h_ND: Tensor) -> Tensor:
        """Return float32 logits ``[N, V]`` of final hidden states ``[N, D]`` (rows of what ``resume`` returns).

        The model's own code projects them, with its soft-capping, scales and biases. ``V`` is large: call it in
        chunks of some hundred rows.
        """
        hidden = h_ND.to(self._device, self._probe.head_dtype)[None]
        body_output = self._probe.output_type(last_hidden_state=hidden)
        ids_BT = torch.zeros(hidden.shape[:2], dtype=torch.int64, device=self._device)
        stand_in = forwards([self._probe.body], lambda *_args, **_kwargs: body_output)
        with torch.set_grad_enabled(torch.is_grad_enabled() and h_ND.requires_grad), stand_in:
            logits: Tensor = self._network(input_ids=ids_BT, use_cache=False).logits
        return logits[0].float()

    def _verify(self) -> None:
        run, real_BT, middle = self._probe, self._probe.mask_BT.bool(), self.info.blocks // 2
        with torch.no_grad():
            final_BTD = self._run_body(run.ids_BT, {"attention_mask": run.mask_BT}).last_hidden_state
            check_equal(self.logits(final_BTD[real_BT.to(final_BTD.device)]), run, self.info.name, "head")
            x_BTD = self.read(run.ids_BT, run.mask_BT, [middle])[middle]
            resumed_BTD = self.resume(run.ids_BT, run.mask_BT, middle, x_BTD)
            found_NV = self.logits(resumed_BTD[real_BT.to(resumed_BTD.device)])
        check_equal(found_NV, run, self.info.name, f"way of continuing after block {middle}")
        self._packs = self._understands_packing(middle, x_BTD[0], resumed_BTD[0, -1])


def _as_id(value: Any) -> int | None:
    return None if value is None else int(value)
