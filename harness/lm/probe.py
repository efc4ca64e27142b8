"""One short run of a language model, to learn what its parts return and to prove that we understand them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.errors import UserError
from harness.lm.blocks import hidden_of, hooked, with_hidden

ROWS, LENGTH, SHORT = 2, 8, 5
# Share of the largest logit; the same numbers pass through the same kernels, only in other shapes.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8, torch.float16: 2e-2, torch.bfloat16: 5e-2}


Ran = tuple[nn.Module, Any]  # a module and what it returned


@dataclass(frozen=True)
class Probe:
    """What the run showed.

    Attributes:
        ids_BT: its input, int64, the last row padded.
        mask_BT: 1 for real tokens, 0 for padding.
        logits_BTV: the model's own logits.
        body: the module around the blocks, from token ids to final hidden states.
        output_type: class of the body's output, with a field ``last_hidden_state``.
        head_dtype: dtype of the final hidden states.
        skeleton: output of a block without its content, to put other hidden states into.
    """

    ids_BT: Tensor
    mask_BT: Tensor
    logits_BTV: Tensor
    body: nn.Module
    output_type: type[Any]
    head_dtype: torch.dtype
    skeleton: Any


@torch.no_grad()
def probe(network: PreTrainedModel, blocks: nn.ModuleList, device: torch.device, name: str) -> Probe:
    """Run the whole model on ``ROWS`` short rows of low token ids.

    Raises:
        UserError: the blocks do not run once each and in order, or return something other than ``[B, T, D]``, or the
            model runs them in a way that leaves no final hidden states to take.
    """
    ran: list[Ran] = []
    around = [module for module in network.modules() if module is not network and _holds(module, blocks)]
    ids_BT, mask_BT = _rows(network, device)
    with hooked([(module, lambda *call: ran.append((call[0], call[2]))) for module in (*blocks, *around)]):
        output = network(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False)
    blocks_ran = [each for each in ran if not any(each[0] is outer for outer in around)]
    if [module for module, _ in blocks_ran] != list(blocks):
        raise _unsupported(name, network, "does not run each of its decoder blocks once and in order")
    if any(hidden_of(each).ndim != 3 or hidden_of(each).shape[:2] != ids_BT.shape for _, each in blocks_ran):
        raise _unsupported(name, network, "has decoder blocks that return something else than [batch, token, width]")
    body, body_output = _body(around, ran, network, name)
    return Probe(
        ids_BT=ids_BT,
        mask_BT=mask_BT,
        logits_BTV=output.logits,
        body=body,
        output_type=type(body_output),
        head_dtype=body_output.last_hidden_state.dtype,
        skeleton=_skeleton(blocks_ran[-1][1]),
    )


def check_equal(found_NV: Tensor, probe: Probe, name: str, what: str) -> None:
    """Raise ``UserError`` unless ``found_NV`` equals the model's own logits at the real tokens of the probe.

    ``what`` ends the sentence "this architecture's … is not understood".
    """
    own_NV = probe.logits_BTV[probe.mask_BT.bool()].float().to(found_NV.device)
    same = found_NV.shape == own_NV.shape
    error = (found_NV - own_NV).abs().max().item() if same else float("nan")
    allowed = TOLERANCE.get(probe.head_dtype, 0.0) * own_NV.abs().max().item()
    if not error <= allowed:
        raise UserError(
            f"model '{name}': this architecture's {what} is not understood: logits differ by {error:.2g} "
            f"(allowed {allowed:.2g}) from the model's own."
        )


def _body(around: list[nn.Module], ran: list[Ran], network: PreTrainedModel, name: str) -> Ran:
    """Return the outermost module around the blocks that was called: some models call `model.decoder`, not `model`."""
    found = [(module, output) for outer in around for module, output in ran if module is outer]
    if not found or not isinstance(getattr(found[0][1], "last_hidden_state", None), Tensor):
        raise _unsupported(name, network, "has a body that returns no last_hidden_state")
    return found[0]


def _holds(module: nn.Module, blocks: nn.ModuleList) -> bool:
    return module is not blocks and any(each is blocks for each in module.modules())


def _rows(network: PreTrainedModel, device: torch.device) -> tuple[Tensor, Tensor]:
    size = network.get_input_embeddings().num_embeddings
    ids_BT = (torch.arange(ROWS * LENGTH, device=device) % size).view(ROWS, LENGTH)
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[-1, SHORT:] = 0
    return ids_BT, mask_BT


def _skeleton(output: Any) -> Any:
    empty = torch.empty(0, dtype=hidden_of(output).dtype)
    return (
        empty if isinstance(output, Tensor) else with_hidden(type(output)([empty] + [None] * (len(output) - 1)), empty)
    )


def _unsupported(name: str, network: PreTrainedModel, why: str) -> UserError:
    return UserError(f"model '{name}': {type(network).__name__} {why}; it is not supported.")
