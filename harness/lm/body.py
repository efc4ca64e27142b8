"""The blocks of a language model: read what one returns, and run those above on from something else."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from harness.lm.blocks import device_of, find_blocks, forwards, hidden_of, hooked, with_hidden
from harness.lm.facts import check_layers
from harness.lm.info import Identity, describe
from harness.lm.past import Past, as_mask, joined, sees, states_of
from harness.lm.probe import TOLERANCE, probe


class _Enough(Exception):
    """Raised out of a hook when the last wanted block has run; not a mistake, and never seen outside."""


class Body:
    """The blocks of a Hugging Face causal language model and what stands around them, but for the head.

    Attributes:
        info: what is known of the model.
    """

    def __init__(self, network: PreTrainedModel, identity: Identity) -> None:
        network.eval().requires_grad_(False)
        self._network = network
        self._blocks = find_blocks(network, identity.name)
        self._device = device_of(network.get_input_embeddings(), torch.device("cpu"))
        self._probe = probe(network, self._blocks, self._device, identity.name)
        self.info = describe(network, identity, len(self._blocks), int(self._probe.logits_BTV.shape[-1]), self._device)
        # Until a run has shown that it does not (``_understands_packing``).
        self._packs = True

    @property
    def network(self) -> PreTrainedModel:
        """The transformers model, for generation and for evaluators that want it."""
        return self._network

    @property
    def blocks(self) -> nn.ModuleList:
        """The decoder blocks, for hooks (``harness.lm.blocks`` reads and replaces what they return)."""
        return self._blocks

    @property
    def device(self) -> torch.device:
        """Where token ids go; the device of the input embeddings."""
        return self._device

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

    def read_on(
        self, ids_BT: Tensor, mask_BS: Tensor, layers: Collection[int], past: Any = None
    ) -> tuple[dict[int, Tensor], Any]:
        """Read more tokens of texts: return ``resid_post`` of ``layers`` at these, and what the model keeps of all.

        Args:
            ids_BT: the next tokens.
            mask_BS: 1 for real tokens, 0 for padding on the left, of all that was read and is read now.
            layers: blocks, counted from 0.
            past: what the last call kept; it is added to in place. None begins texts.
        """
        position_BT = (mask_BS.cumsum(1) - 1).clamp_min(0)[:, -ids_BT.shape[1] :]
        found: dict[int, Tensor] = {}

        def keep(layer: int) -> Callable[[nn.Module, Any, Any], None]:
            return lambda _module, _args, output: found.update({layer: hidden_of(output)})

        with torch.no_grad(), hooked([(self._blocks[layer], keep(layer)) for layer in set(layers)]):
            placed = {"attention_mask": mask_BS, "position_ids": position_BT}
            output = self._run_body(ids_BT, placed, past_key_values=past, use_cache=True)
        return found, output.past_key_values

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
            kept = {} if cache is None else {"past_key_values": cache, "use_cache": True}
            hidden: Tensor = self._run_body(ids_BT, placed, **kept).last_hidden_state
            return hidden

    def _run_body(self, ids_BT: Tensor, placed: Mapping[str, Tensor], **kept: Any) -> Any:
        """Return what the module around the blocks returns; it keeps nothing where ``kept`` does not say so."""
        there = {name: value.to(self._device) for name, value in placed.items()}
        return self._probe.body(input_ids=ids_BT.to(self._device), **{"use_cache": False, **there, **kept})

    def _check(self, ids_BT: Tensor, mask_BT: Tensor, layers: Collection[int]) -> None:
        check_layers(layers, self.info.blocks, self.info.name)
        if ids_BT.ndim != 2 or ids_BT.shape != mask_BT.shape:
            raise ValueError(f"ids and mask must both be [B, T], got {tuple(ids_BT.shape)} and {tuple(mask_BT.shape)}")
        # Positions are counted from the first column, so padding there would shift every real token.
        if bool((mask_BT[:, 1:].bool() & ~mask_BT[:, :-1].bool()).any()):
            raise ValueError("rows must be padded on the right: the mask goes from 0 back to 1")

    @torch.no_grad()
    def _understands_packing(self, layer: int, x_TD: Tensor, final_D: Tensor) -> bool:
        """Whether copies of a token beside each other, told by mask and position apart, come out as the token itself.

        Not every architecture takes masks of that form, or positions.
        """
        self._packs = True
        ids_T = self._probe.ids_BT[0].cpu()
        try:
            past = self.past(ids_T, layer, x_TD)
            found_2D = self.follow([past], torch.zeros(2, dtype=torch.int64), x_TD[-1:].expand(2, -1))
        except (TypeError, ValueError, RuntimeError, AttributeError, LookupError):
            return False
        allowed = TOLERANCE.get(self._probe.head_dtype, 0.0) * float(final_D.abs().max())
        return bool((found_2D - final_D.to(found_2D)).abs().max() <= allowed)
