"""What reading costs beside running the same blocks by hand, on the default model; all figures from one run.

    python benchmarks/bench_read.py [ROUNDS]

Prints tokens per second and the ratio read / bare, which should stay at or below 1.05.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from transformers.masking_utils import create_causal_mask

from harness.lm.catalog import default_alias
from harness.lm.loading import load_model
from harness.lm.model import LanguageModel

ROWS, LENGTH, LAYER = 8, 128, 14
LIMIT = 1.05


def bare(model: LanguageModel, ids_BT: Tensor, mask_BT: Tensor, layer: int) -> Tensor:
    """Run blocks 0 … layer of a Llama in the plainest loop that is right."""
    body = model.network.base_model
    with torch.no_grad():
        h_BTD: Tensor = body.embed_tokens(ids_BT)
        position_ids = torch.arange(ids_BT.shape[1])[None]
        mask = create_causal_mask(
            config=model.network.config,
            inputs_embeds=h_BTD,
            attention_mask=mask_BT,
            past_key_values=None,
            position_ids=position_ids,
        )
        angles = body.rotary_emb(h_BTD, position_ids=position_ids)
        for block in body.layers[: layer + 1]:
            h_BTD = block(h_BTD, attention_mask=mask, position_ids=position_ids, position_embeddings=angles)
    return h_BTD


@torch.no_grad()
def full(model: LanguageModel, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Run the whole model, the head on every position included."""
    logits: Tensor = model.network(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits
    return logits


def cases(model: LanguageModel, ids_BT: Tensor, mask_BT: Tensor) -> dict[str, Callable[[], object]]:
    x_BTD = model.read(ids_BT, mask_BT, [LAYER])[LAYER]
    if not torch.equal(x_BTD, bare(model, ids_BT, mask_BT, LAYER)):
        sys.exit("the bare loop computes something else than read: the comparison means nothing")
    return {
        f"bare loop 0..{LAYER}": lambda: bare(model, ids_BT, mask_BT, LAYER),
        f"read [{LAYER}]": lambda: model.read(ids_BT, mask_BT, [LAYER]),
        f"resume {LAYER}": lambda: model.resume(ids_BT, mask_BT, LAYER, x_BTD),
        "full forward with head": lambda: full(model, ids_BT, mask_BT),
    }


def main(rounds: int) -> None:
    model = load_model(default_alias())
    ids_BT = torch.randint(0, model.info.vocab, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    mask_BT = torch.ones_like(ids_BT)
    todo = cases(model, ids_BT, mask_BT)
    seconds: dict[str, list[float]] = {name: [] for name in todo}
    for turn in range(rounds + 1):
        # Every other round backwards, so that a slow drift of the machine falls on all alike.
        for name in list(todo) if turn % 2 else reversed(list(todo)):
            start = time.perf_counter()
            todo[name]()
            seconds[name].append(time.perf_counter() - start)
    print(f"{model.info.name}, {ROWS} x {LENGTH} tokens, {torch.get_num_threads()} threads, {rounds} rounds")
    for name, times in seconds.items():
        best, middle = min(times[1:]), statistics.median(times[1:])
        print(f"{name:24s} {ROWS * LENGTH / middle:8.0f} tokens/s   median {middle:.3f} s   best {best:.3f} s")
    bare_s, read_s = (seconds[name][1:] for name in list(todo)[:2])
    ratio = statistics.median(b / a for a, b in zip(bare_s, read_s, strict=True))
    print(f"read / bare: {ratio:.3f} median of rounds, {min(read_s) / min(bare_s):.3f} of the best (limit {LIMIT})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
