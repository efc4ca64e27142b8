"""A text becomes the tokens whose last one predicts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.data.batches import NONE, TokenBatch
from harness.errors import UserError
from harness.lm.model import LanguageModel
from harness.specs.resolve import ResolvedTask


def as_message(model: LanguageModel, text: str) -> str:
    """Return the text as a user's message in the model's own chat template, up to where the answer begins."""
    if getattr(model.tokenizer, "chat_template", None) is None:
        raise UserError(f"--chat: model '{model.info.name}' has no chat template; leave --chat out.")
    message = [{"role": "user", "content": text}]
    return str(model.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))


def read_ids(model: LanguageModel, text: str, task: ResolvedTask, tokens: int) -> list[int]:
    """Return the ids of a text; raises ``UserError`` where it leaves no room, or nothing that the task codes."""
    context = task.budget.context
    found = model.tokenize([text], context)
    ids, room = found.ids[0], context - tokens + 1
    if found.cut[0] or len(ids) > room:
        least = f"more than {context}" if found.cut[0] else str(len(ids))
        ahead = f", and {tokens} predictions leave room for {room}" if tokens > 1 else ""
        raise UserError(
            f"--text: {least} tokens; methods of task '{task.spec.task}' were fitted on texts of at most {context}"
            f"{ahead}. Give a shorter text."
        )
    if not _kept(model, ids, task)[-1:] == [True]:
        raise UserError(
            f"--text: {len(ids)} token(s), of which the last has no code: task '{task.spec.task}' leaves out the first "
            "token of a text and the one that begins texts. Give a longer text."
        )
    return ids


def batch_of(model: LanguageModel, ids: Sequence[int], task: ResolvedTask) -> TokenBatch:
    """Return one text as a batch of its own."""
    ids_BT = torch.tensor([list(ids)])
    keep_BT = torch.tensor([_kept(model, ids, task)])
    real_BT = torch.ones_like(keep_BT)
    return TokenBatch(
        ids_BT, real_BT, keep_BT, torch.zeros_like(keep_BT), torch.zeros_like(ids_BT),
        torch.full_like(ids_BT, NONE), torch.zeros(1, dtype=torch.int64), "",
    )  # fmt: skip


def _kept(model: LanguageModel, ids: Sequence[int], task: ResolvedTask) -> list[bool]:
    """Say which tokens have codes under the task's mask, as in the texts that methods are fitted on."""
    first = task.spec.mask.first == "keep"
    return [token != model.bos_id and (first or place > 0) for place, token in enumerate(ids)]
