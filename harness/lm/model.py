"""The language model: tokenize, read the residual stream after a block, continue from an edited one, project."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness.errors import UserError
from harness.lm.blocks import device_of, find_blocks, forwards, hidden_of, hooked, with_hidden
from harness.lm.facts import check_layers
from harness.lm.info import Identity, describe
from harness.lm.probe import TOLERANCE, check_equal, probe


@dataclass(frozen=True)
class Tokenized:
    """Token ids of each text, and whether the text was longer than the context and lost its end."""

    ids: list[list[int]]
    cut: list[bool]


class _Enough(Exception):
    """Raised out of a hook when the last wanted block has run; not a mistake, and never seen outside."""


@final
class LanguageModel:
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
        network.eval().requires_grad_(False)
        self._network = network
        self._tokenizer = tokenizer
        self._blocks = find_blocks(network, identity.name)
        self._device = device_of(network.get_input_embeddings(), torch.device("cpu"))
        self._probe = probe(network, self._blocks, self._device, identity.name)
        self.info = describe(network, identity, len(self._blocks), int(self._probe.logits_BTV.shape[-1]), self._device)
        self._verify()

    @property
    def network(self) -> PreTrainedModel:
        """The transformers model, for generation and for evaluators that want it."""
        return self._network

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The transformers tokenizer."""
        return self._tokenizer

    @property
    def blocks(self) -> nn.ModuleList:
        """The decoder blocks, for hooks (``harness.lm.blocks`` reads and replaces what they return)."""
        return self._blocks

    @property
    def device(self) -> torch.device:
        """Where token ids go; the device of the input embeddings."""
        return self._device

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

    def read(self, ids_BT: Tensor, mask_BT: Tensor, layers: Collection[int]) -> dict[int, Tensor]:
        """Return ``resid_post`` of each of ``layers``, ``[B, T, D]``; no block above the highest of them is run.

        Args:
            ids_BT: int64 token ids.
            mask_BT: 1 (or True) for real tokens, 0 for padding on the right.
            layers: blocks, counted from 0. The value is the block's own output, before any final norm.

        Raises:
            UserError: a layer is out of range.
            ValueError: no layer, or shapes that do not fit.
        """
        wanted = sorted(set(layers))
        if not wanted:
            raise ValueError("read needs at least one layer")
        self._check(ids_BT, mask_BT, wanted)
        found: dict[int, Tensor] = {}

        def keep(layer: int) -> Callable[[nn.Module, Any, Any], None]:
            def hook(_module: nn.Module, _args: Any, output: Any) -> None:
                found[layer] = hidden_of(output)
                if layer == wanted[-1]:
                    raise _Enough

            return hook

        hooks = [(self._blocks[layer], keep(layer)) for layer in wanted]
        with torch.no_grad(), hooked(hooks), suppress(_Enough):
            self._run_body(ids_BT, {"attention_mask": mask_BT.to(torch.int64)})
        return found

    def resume(self, ids_BT: Tensor, mask_BT: Tensor, layer: int, x_BTD: Tensor) -> Tensor:
        """Return the final hidden states ``[B, T, D]``, after the final norm, had block ``layer`` returned ``x_BTD``.

        Blocks ``0 … layer`` are not run. Embeddings, rotary angles and masks are computed by the model itself, from
        the same ids and mask as in ``read``.

        Raises:
            UserError: the layer is out of range.
            ValueError: shapes that do not fit.
        """
        self._check(ids_BT, mask_BT, [layer])
        if x_BTD.shape != (*ids_BT.shape, self.info.width):
            expected = (*ids_BT.shape, self.info.width)
            raise ValueError(f"x_BTD must have shape {expected}, got {tuple(x_BTD.shape)}")
        return self._resumed(layer, x_BTD, ids_BT, {"attention_mask": mask_BT.to(torch.int64)})

    def branches(self, ids_T: Tensor, layer: int, x_TD: Tensor, last_AD: Tensor) -> Tensor:
        """Return the final hidden states ``[A, D]`` at the last token, had block ``layer`` returned ``last_AD`` there.

        The tokens before it are run once for all: each of the ``A`` stands at the last token's position and sees them
        and itself. A model that attends to a window shorter than the text, or takes no such mask, runs them
        once for each.

        Args:
            ids_T: int64 token ids of one text.
            layer: the block, from 0.
            x_TD: what it returned, of which the last row is not looked at.
            last_AD: what it is to have returned at the last token.

        Raises:
            UserError: the layer is out of range.
            ValueError: shapes that do not fit.
        """
        before, several = len(ids_T) - 1, len(last_AD)
        if x_TD.shape != (before + 1, self.info.width) or last_AD.shape != (several, self.info.width):
            shapes = f"x_TD {tuple(x_TD.shape)} and last_AD {tuple(last_AD.shape)}"
            raise ValueError(f"{shapes} do not fit {before + 1} tokens of width {self.info.width}")
        check_layers([layer], self.info.blocks, self.info.name)
        if not self._packs or before >= self._window:
            rows_ATD = torch.cat([x_TD[:before].to(last_AD).expand(several, -1, -1), last_AD[:, None]], 1)
            ids_AT = ids_T.expand(several, -1)
            return self.resume(ids_AT, torch.ones_like(ids_AT), layer, rows_ATD)[:, -1]
        row_S = torch.cat([torch.arange(before), torch.full((several,), before)])
        x_SD = torch.cat([x_TD[:before].to(last_AD), last_AD])
        sees_SS = (row_S[:, None] > row_S[None, :]) | torch.eye(before + several, dtype=torch.bool)
        lowest = torch.finfo(self._probe.head_dtype).min
        mask_SS = torch.zeros(sees_SS.shape, dtype=self._probe.head_dtype).masked_fill(~sees_SS, lowest)
        placed = {"attention_mask": mask_SS[None, None], "position_ids": row_S[None]}
        return self._resumed(layer, x_SD[None], ids_T[row_S][None], placed)[0, before:]

    @property
    def _window(self) -> float:
        """Tokens that one attends to at most, itself included."""
        config = self._network.config.get_text_config()
        sizes = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
        return min([size for size in sizes if size is not None], default=math.inf)

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

    def _resumed(self, layer: int, x_BTD: Tensor, ids_BT: Tensor, placed: Mapping[str, Tensor]) -> Tensor:
        """Run the blocks above ``layer`` on ``x_BTD``; ``placed`` says what each token may see, and where it stands."""
        device = device_of(self._blocks[layer], self._device)
        skeleton = self._probe.skeleton
        output = with_hidden(skeleton, x_BTD.to(device, hidden_of(skeleton).dtype))
        # Lower blocks return x as well: what flows between them is never looked at.
        stand_in = forwards(self._blocks[: layer + 1], lambda *_args, **_kwargs: output)
        with torch.set_grad_enabled(torch.is_grad_enabled() and x_BTD.requires_grad), stand_in:
            return self._run_body(ids_BT, placed)

    def _run_body(self, ids_BT: Tensor, placed: Mapping[str, Tensor]) -> Tensor:
        there = {name: value.to(self._device) for name, value in placed.items()}
        output = self._probe.body(input_ids=ids_BT.to(self._device), use_cache=False, **there)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _check(self, ids_BT: Tensor, mask_BT: Tensor, layers: Collection[int]) -> None:
        check_layers(layers, self.info.blocks, self.info.name)
        if ids_BT.ndim != 2 or ids_BT.shape != mask_BT.shape:
            raise ValueError(f"ids and mask must both be [B, T], got {tuple(ids_BT.shape)} and {tuple(mask_BT.shape)}")
        # Positions are counted from the first column, so padding there would shift every real token.
        if bool((mask_BT[:, 1:].bool() & ~mask_BT[:, :-1].bool()).any()):
            raise ValueError("rows must be padded on the right: the mask goes from 0 back to 1")

    def _verify(self) -> None:
        run, real_BT, middle = self._probe, self._probe.mask_BT.bool(), self.info.blocks // 2
        with torch.no_grad():
            final_BTD = self._run_body(run.ids_BT, {"attention_mask": run.mask_BT})
            check_equal(self.logits(final_BTD[real_BT.to(final_BTD.device)]), run, self.info.name, "head")
            x_BTD = self.read(run.ids_BT, run.mask_BT, [middle])[middle]
            resumed_BTD = self.resume(run.ids_BT, run.mask_BT, middle, x_BTD)
            found_NV = self.logits(resumed_BTD[real_BT.to(resumed_BTD.device)])
        check_equal(found_NV, run, self.info.name, f"way of continuing after block {middle}")
        self._packs = self._understands_packing(middle, x_BTD[0], resumed_BTD[0, -1])

    @torch.no_grad()
    def _understands_packing(self, layer: int, x_TD: Tensor, final_D: Tensor) -> bool:
        """Whether copies of a token beside each other, told by mask and position apart, come out as the token itself.

        Not every architecture takes masks of that form, or positions.
        """
        self._packs = True
        ids_T = self._probe.ids_BT[0].cpu()
        try:
            found_2D = self.branches(ids_T, layer, x_TD, x_TD[-1:].expand(2, -1))
        except (TypeError, ValueError, RuntimeError):
            return False
        allowed = TOLERANCE.get(self._probe.head_dtype, 0.0) * float(final_D.abs().max())
        return bool((found_2D - final_D.to(found_2D)).abs().max() <= allowed)


def _as_id(value: Any) -> int | None:
    return None if value is None else int(value)
