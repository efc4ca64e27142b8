"""Fixtures by the real dictionary_learning. Made with dictionary-learning 0.1.0, torch 2.13.0.

pip install torch==2.13.0 einops tqdm safetensors numpy, and dictionary-learning==0.1.0 with --no-deps (it pins an
nnsight that wants another torch), then: python tests/golden/make_dictionary_learning.py
"""

from __future__ import annotations

import importlib
import json
import sys
from types import ModuleType
from typing import Any

import torch
from fixture import HERE, K, inputs, randomise, shape_of, write

for absent in ("nnsight", "zstandard", "datasets"):
    # Imported by the library for its buffers of activations, which nothing here uses.
    sys.modules.setdefault(absent, ModuleType(absent))
sys.modules["nnsight"].LanguageModel = object
sys.modules["datasets"].load_dataset = None
dictionary = importlib.import_module("dictionary_learning.dictionary")
load_dictionary = importlib.import_module("dictionary_learning.utils").load_dictionary
trainers = {
    name: importlib.import_module(f"dictionary_learning.trainers.{name}")
    for name in ("top_k", "batch_top_k", "matryoshka_batch_top_k", "standard", "gdm", "jumprelu")
}
CASES = {
    "dl_relu": ("standard", "StandardTrainer", {}),
    "dl_relu_new": ("standard", "StandardTrainerAprilUpdate", {"dict_class": dictionary.AutoEncoderNew}),
    "dl_gated": ("gdm", "GatedSAETrainer", {}),
    "dl_jumprelu": ("jumprelu", "JumpReluTrainer", {}),
    "dl_topk": ("top_k", "TopKTrainer", {"k": K}),
    "dl_batchtopk": ("batch_top_k", "BatchTopKTrainer", {"k": K}),
    "dl_matryoshka": (
        "matryoshka_batch_top_k",
        "MatryoshkaBatchTopKTrainer",
        {"k": K, "group_fractions": [0.25, 0.75]},
    ),
    "dl_topk_board": ("top_k", "TopKTrainer", {"k": K}),
    "dl_batchtopk_board": ("batch_top_k", "BatchTopKTrainer", {"k": K}),
}


@torch.no_grad()
def make(case: str, module: str, trainer: str, options: dict[str, Any], seed: int) -> None:
    """Save what a trainer's dictionary and config come to, as the library's `training.py` does, load it, and run it."""
    width, latents = shape_of(case)
    common = {"steps": 4000, "activation_dim": width, "dict_size": latents, "layer": 0, "lm_name": "tiny-random"}
    made = getattr(trainers[module], trainer)(**common, device="cpu", submodule_name="resid_post_layer_0", **options)
    randomise(made.ae, seed)
    if hasattr(made.ae, "k"):
        made.ae.threshold.fill_(1.2)
    folder = HERE / case
    folder.mkdir(parents=True, exist_ok=True)
    config = made.config
    if "dict_class" in options:
        # The trainer writes AutoEncoder whatever it trained; a user of this class corrects it to load it again.
        config = {**config, "dict_class": options["dict_class"].__name__}
    (folder / "config.json").write_text(json.dumps({"trainer": config}, indent=4))
    torch.save({name: value.cpu() for name, value in made.ae.state_dict().items()}, folder / "ae.pt")
    loaded, _ = load_dictionary(str(folder), "cpu")
    x = inputs(width)
    codes = loaded.encode(x)
    write(case, codes, loaded.decode(codes), x)


if __name__ == "__main__":
    for number, (case, (module, trainer, options)) in enumerate(CASES.items()):
        make(case, module, trainer, options, number)
