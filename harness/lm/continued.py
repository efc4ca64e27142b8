"""What a language model gives the tokens of texts that are already written, read as if it had written them.

The prompt is read first and the continuation after it, with a cache: an intervention that changes new tokens alone does
to these what it does while they are generated.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.lm.model import LanguageModel
from harness.lm.padding import padded_left


@dataclass(frozen=True)
class Followed:
    """Token ids of a prompt and of what follows it; neither is empty."""

    prompt: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.after)


def continued(model: LanguageModel, texts: Sequence[Followed], batch_tokens: int) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of each text with the log-probabilities ``[T, V]`` (float32) from which its ``T`` tokens came.

    Texts come longest first; those of one batch change each other's numbers by rounding alone.

    Args:
        model: the language model, under whatever intervention is in force.
        texts: what is read.
        batch_tokens: tokens of a batch, padding included; a longer text makes a batch by itself.

    Raises:
        ValueError: a prompt or a continuation has no token.
    """
    if any(not text.prompt or not text.after for text in texts):
        raise ValueError("a text needs a prompt and a continuation")
    for batch in _batches(texts, batch_tokens):
        logp_BTV = _read(model, [texts[row] for row in batch])
        for row, logp_TV in zip(batch, logp_BTV, strict=True):
            yield row, logp_TV[: len(texts[row].after)]


def _batches(texts: Sequence[Followed], batch_tokens: int) -> list[list[int]]:
    batches: list[list[int]] = []
    prompt = after = 0
    for row in sorted(range(len(texts)), key=lambda row: -texts[row].length):
        # Prompts and continuations are padded apart.
        wide = max(prompt, len(texts[row].prompt)) + max(after, len(texts[row].after))
        if batches and (len(batches[-1]) + 1) * wide <= batch_tokens:
            batches[-1].append(row)
            prompt, after = max(prompt, len(texts[row].prompt)), max(after, len(texts[row].after))
        else:
            batches.append([row])
            prompt, after = len(texts[row].prompt), len(texts[row].after)
    return batches


@torch.no_grad()
def _read(model: LanguageModel, texts: Sequence[Followed]) -> Tensor:
    """Return log-probabilities ``[B, T, V]``; rows of shorter continuations end in what padding gives."""
    ids_BP, mask_BP = padded_left([text.prompt for text in texts], model.pad_id)
    length = max(len(text.after) for text in texts)
    # The last token of a continuation predicts nothing that is asked for.
    ids_BT = torch.tensor([list(text.after) + [0] * (length - len(text.after)) for text in texts])[:, :-1]
    first = _call(model, ids_BP, mask_BP, None)
    found = [first.logits[:, -1:].float()]
    if length > 1:
        mask_BS = torch.cat([mask_BP, torch.ones_like(ids_BT)], 1)
        found.append(_call(model, ids_BT, mask_BS, first.past_key_values).logits.float())
    return torch.cat(found, 1).log_softmax(-1)


def _call(model: LanguageModel, ids_BT: Tensor, mask_BS: Tensor, past: Any) -> Any:
    position_BT = (mask_BS.cumsum(1) - 1).clamp_min(0)[:, -ids_BT.shape[1] :]
    # Of a prompt one position is wanted: its logits are the largest array there is.
    few = "logits_to_keep" in inspect.signature(model.network.forward).parameters
    return model.network(
        input_ids=ids_BT.to(model.device),
        attention_mask=mask_BS.to(model.device),
        position_ids=position_BT.to(model.device),
        past_key_values=past,
        use_cache=True,
        **({"logits_to_keep": 1} if few and past is None else {}),
    )
