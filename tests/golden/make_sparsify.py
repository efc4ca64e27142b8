"""Fixtures by the real sparsify (EleutherAI). Made with eai-sparsify 1.3.3, torch 2.13.0.

pip install torch==2.13.0 eai-sparsify==1.3.3, then: python tests/golden/make_sparsify.py
"""

from __future__ import annotations

import torch
from fixture import HERE, K, inputs, randomise, shape_of, write
from sparsify import SparseCoder, SparseCoderConfig

CASES = {
    "sparsify_topk": {"k": K},
    "sparsify_groupmax": {"k": 4, "activation": "groupmax"},
    "sparsify_topk_board": {"k": K},
}


@torch.no_grad()
def make(case: str, options: dict[str, int | str], seed: int) -> None:
    """Save a coder, load it again, and run it."""
    width, latents = shape_of(case)
    coder = SparseCoder(width, SparseCoderConfig(num_latents=latents, **options))
    randomise(coder, seed)
    coder.save_to_disk(HERE / case)
    coder = SparseCoder.load_from_disk(HERE / case)
    x = inputs(width)
    value, index, _ = coder.encode(x)
    codes = torch.zeros(len(x), latents).scatter(1, index, value)
    write(case, codes, coder.decode(value, index), x)


if __name__ == "__main__":
    for number, (case, options) in enumerate(CASES.items()):
        make(case, options, number)
