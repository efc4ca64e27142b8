"""The language model: tokenize, read the residual stream after a block, continue from an edited one, project."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from harness.errors import UserError
from harness.lm.blocks import device_of, find_blocks, forwards, hidden_of, hooked, with_hidden
from harness.lm.facts import check_layers
from harness.lm.info import Identity, describe
from harness.lm.past import Past, as_mask, joined, sees, states_of
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

        As ``follow`` of one ``past``.
        """
        past = self.past(ids_T, layer, x_TD)
        return self.follow([past], torch.zeros(len(last_AD), dtype=torch.int64), last_AD)

    @torch.no_grad()
    def past(self, ids_T: Tensor, layer: int, x_TD: Tensor) -> Past:
        """Run the blocks above ``layer`` on all tokens of a text but the last, once for all that ``follow`` is asked.

        A model that attends to a window shorter than the text, or takes no mask of our own, runs nothing here.

        Args:
            ids_T: int64 token ids of one text.
            layer: the block, from 0.
            x_TD: what it returned, of which the last row is not looked at.

        Raises:
            UserError: the layer is out of range.
            ValueError: shapes that do not fit.
        """
        if x_TD.shape != (len(ids_T), self.info.width):
            raise ValueError(f"x_TD {tuple(x_TD.shape)} does not fit {len(ids_T)} tokens of width {self.info.width}")
        check_layers([layer], self.info.blocks, self.info.name)
        before = len(ids_T) - 1
        if not self._packs or before >= self._window:
            return Past(ids_T, layer, x_TD, None)
        if layer == self.info.blocks - 1 or before == 0:
            return Past(ids_T, layer, x_TD, ())
        cache, row_T = DynamicCache(), torch.arange(before)
        mask = as_mask(row_T[:, None] >= row_T[None, :], self._probe.head_dtype)
        placed = {"attention_mask": mask, "position_ids": row_T[None]}
        self._resumed(layer, x_TD[None, :before], ids_T[None, :before], placed, cache)
        return Past(ids_T, layer, x_TD, states_of(cache, layer))

    def follow(self, pasts: Sequence[Past], of_A: Tensor, last_AD: Tensor) -> Tensor:
        """Return the final hidden states ``[A, D]`` at the last tokens of texts, had their block returned ``last_AD``.

        Args:
            pasts: what ``past`` returned, all of one block.
            of_A: int64; the text, from 0, that each of the ``A`` is the last token of. They do not see one another.
            last_AD: what the block is to have returned there.

        Raises:
            ValueError: shapes that do not fit.
        """
        if last_AD.shape != (len(of_A), self.info.width):
            raise ValueError(f"last_AD {tuple(last_AD.shape)} does not fit {len(of_A)} of width {self.info.width}")
        if any(past.states is None for past in pasts):
            return self._each(pasts, of_A, last_AD)
        last_T = torch.tensor([past.before for past in pasts])
        ids_A = torch.stack([past.ids_T[-1] for past in pasts])[of_A]
        mask = as_mask(sees(pasts, of_A), self._probe.head_dtype)
        placed = {"attention_mask": mask, "position_ids": last_T[of_A][None]}
        return self._resumed(pasts[0].layer, last_AD[None], ids_A[None], placed, joined(pasts))[0]

    def _each(self, pasts: Sequence[Past], of_A: Tensor, last_AD: Tensor) -> Tensor:
        """Return what ``follow`` does, by running the whole text for each."""
        found_AD = torch.zeros_like(last_AD)
        for text, past in enumerate(pasts):
            own_k = torch.nonzero(of_A == text).flatten()
            before_kTD = past.x_TD[:-1].to(last_AD).expand(len(own_k), -1, -1)
            ids_kT = past.ids_T.expand(len(own_k), -1)
            x_kTD = torch.cat([before_kTD, last_AD[own_k][:, None]], dim=1)
            final_kD = self.resume(ids_kT, torch.ones_like(ids_kT), past.layer, x_kTD)[:, -1]
            found_AD = found_AD.index_put((own_k,), final_kD.to(found_AD))
        return found_AD

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

    def _resumed(
        self,
        layer: int,
        x_BTD: Tensor,
        ids_BT: Tensor,
        placed: Mapping[str, Tensor],
        cache: DynamicCache | None = None,
    ) -> Tensor:
        """Run the blocks above ``layer`` on ``x_BTD``; ``placed`` says what each token may see, and where it stands."""
        device = device_of(self._blocks[layer], self._device)
        skeleton = self._probe.skeleton
        output = with_hidden(skeleton, x_BTD.to(device, hidden_of(skeleton).dtype))
        # Lower blocks return x as well: what flows between them is never looked at.
        stand_in = forwards(self._blocks[: layer + 1], lambda *_args, **_kwargs: output)
        with torch.set_grad_enabled(torch.is_grad_enabled() and x_BTD.requires_grad), stand_in:
            return self._run_body(ids_BT, placed, cache)

    def _run_body(self, ids_BT: Tensor, placed: Mapping[str, Tensor], cache: DynamicCache | None = None) -> Tensor:
        there = {name: value.to(self._device) for name, value in placed.items()}
        kept = {} if cache is None else {"past_key_values": cache}
        output = self._probe.body(input_ids=ids_BT.to(self._device), use_cache=cache is not None, **there, **kept)
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
        except (TypeError, ValueError, RuntimeError, AttributeError, LookupError):
            return False
        allowed = TOLERANCE.get(self._probe.head_dtype, 0.0) * float(final_D.abs().max())
        return bool((found_2D - final_D.to(found_2D)).abs().max() <= allowed)


def _as_id(value: Any) -> int | None:
    return None if value is None else int(value)
