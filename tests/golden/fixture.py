"""What the makers of golden fixtures share: fixed inputs, random weights, and one file of expected outputs per case.

Each maker runs in an environment of its own, where one real library is installed; it never imports the harness.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

HERE = Path(__file__).parent / "checkpoints"
ROWS, WIDTH, LATENTS = 8, 16, 32
# The width of `tiny-random`, for the cases that are measured on a board.
BOARD_WIDTH, BOARD_LATENTS = 64, 16
K = 5


def shape_of(case: str) -> tuple[int, int]:
    """Return width and latents of a case."""
    return (BOARD_WIDTH, BOARD_LATENTS) if case.endswith("_board") else (WIDTH, LATENTS)


def inputs(width: int) -> Tensor:
    """Return rows about a mean, as activations are."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(ROWS, width, generator=generator) + torch.randn(width, generator=generator)


@torch.no_grad()
def randomise(module: torch.nn.Module, seed: int) -> None:
    """Fill every floating parameter and buffer with numbers of a size that fires some latents and not others."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in sorted(module.state_dict().items()):
        if not value.is_floating_point() or value.ndim == 0:
            continue
        noise = torch.randn(value.shape, generator=generator)
        matrix = value.ndim == 2
        value.copy_(noise.abs() * 0.4 if "threshold" in name else noise * (0.35 if matrix else 0.3))


def write(case: str, codes: Tensor, reconstruction: Tensor, x: Tensor) -> None:
    """Save inputs and what the library made of them beside the checkpoint; refuse a case that shows nothing."""
    active = int((codes != 0).sum())
    if not 0 < active < codes.numel():
        sys.exit(f"{case}: {active} of {codes.numel()} codes are active; the case tells nothing")
    tensors = {"x": x, "codes": codes, "reconstruction": reconstruction}
    save_file({n: t.detach().float().contiguous() for n, t in tensors.items()}, HERE / case / "expected.safetensors")
    print(f"{case}: {active / len(x):.1f} active a row")
