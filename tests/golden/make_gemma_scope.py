"""A fixture in the published format of Gemma Scope (arXiv 2408.05147), written and run by numpy alone, numpy 2.4.

python tests/golden/make_gemma_scope.py
"""

from __future__ import annotations

import numpy as np
import torch
from fixture import HERE, inputs, shape_of, write


def make(case: str) -> None:
    """Write the five arrays, and what the formula of the paper gives."""
    width, latents = shape_of(case)
    draw = np.random.default_rng(0)
    arrays = {
        "W_enc": draw.normal(size=(width, latents)) * 0.35,
        "b_enc": draw.normal(size=latents) * 0.3,
        "W_dec": draw.normal(size=(latents, width)) * 0.35,
        "b_dec": draw.normal(size=width) * 0.3,
        "threshold": np.abs(draw.normal(size=latents)) * 0.4,
    }
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    (HERE / case).mkdir(parents=True, exist_ok=True)
    np.savez(HERE / case / "params.npz", **arrays)
    x = inputs(width).numpy()
    pre = x @ arrays["W_enc"] + arrays["b_enc"]
    codes = np.where(pre > arrays["threshold"], np.maximum(pre, 0), 0).astype(np.float32)
    reconstruction = codes @ arrays["W_dec"] + arrays["b_dec"]
    write(case, torch.from_numpy(codes), torch.from_numpy(reconstruction), torch.from_numpy(x))


if __name__ == "__main__":
    make("gemma_scope_jumprelu")
