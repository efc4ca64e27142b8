"""Writes what `harness export` writes, with our codes beside it, for the real SAELens to read.

In the harness's environment: python tests/golden/export_ours.py OUT; then, where SAELens is installed:
python tests/golden/make_saelens.py OUT/*
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from fixture import HERE, inputs
from safetensors.torch import save_file

from harness.api import Dictionary, Setting, Train
from harness.checkpoints.card import Portable
from harness.checkpoints.detect import find_checkpoint
from harness.checkpoints.dictionary import load_dictionary
from harness.checkpoints.export import saelens_files, write_files
from harness.registry import build_method
from harness.specs.library import Library
from harness.testing import SETTING, planted

OTHERS = ("dl_relu", "dl_gated", "dl_matryoshka", "sparsify_topk", "gemma_scope_jumprelu", "saelens_topk_rescaled")


def ours() -> dict[str, Dictionary]:
    """Fit every method of ours that can be exported, on planted data."""
    setting, library = Setting(SETTING.width, SETTING.latents, SETTING.l0, 0), Library()
    found = {}
    for name in library.names("methods"):
        method = library.method(name)
        if method.spec.uses or method.spec.needs:
            continue
        dictionary: Dictionary = build_method(method, method.spec.params, setting)
        if isinstance(dictionary, Portable):
            dictionary.fit(Train(planted(setting, 1024, 1), planted(setting, 256, 2), 4, torch.device("cpu")))
            found[name] = dictionary
    return found


@torch.no_grad()
def write(name: str, dictionary: Dictionary, out: Path) -> None:
    """Write the files SAELens reads, and what we make of fixed inputs."""
    assert isinstance(dictionary, Portable)
    write_files(saelens_files(dictionary.portable(), "tiny-random", 0), out / name)
    x = inputs(dictionary.directions().shape[1])
    codes = dictionary.encode(x, torch.zeros(len(x), dtype=torch.int64))
    expected = {"x": x, "codes": codes, "reconstruction": dictionary.decode(codes)}
    save_file({key: value.contiguous() for key, value in expected.items()}, out / name / "expected.safetensors")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for case in OTHERS:
        write(case, load_dictionary(find_checkpoint(HERE / case)), folder)
    for method, fitted in ours().items():
        write(method, fitted, folder)
