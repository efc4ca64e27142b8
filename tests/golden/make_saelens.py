"""Fixtures by the real SAELens, and a check that it reads what we write. Made with sae-lens 6.54.12, torch 2.13.0.

pip install torch==2.13.0 sae-lens==6.54.12, then: python tests/golden/make_saelens.py
or, after export_ours.py, with its folders.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from fixture import HERE, K, inputs, randomise, shape_of, write
from sae_lens import SAE, TrainingSAE
from sae_lens.saes.sae import SAEMetadata
from safetensors.torch import load_file

warnings.simplefilter("ignore")
METADATA = {"model_name": "tiny-random", "hook_name": "blocks.0.hook_resid_post", "prepend_bos": False}
# Case: architecture, options; `saved` says which of the library's ways of saving.
CASES: dict[str, dict[str, Any]] = {
    "saelens_standard": {"architecture": "standard"},
    "saelens_standard_uncentred": {"architecture": "standard", "apply_b_dec_to_input": False},
    "saelens_gated": {"architecture": "gated"},
    "saelens_jumprelu": {"architecture": "jumprelu"},
    "saelens_topk": {"architecture": "topk", "k": K},
    "saelens_topk_rescaled": {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True},
    "saelens_topk_board": {"architecture": "topk", "k": K},
}
TRAINING: dict[str, dict[str, Any]] = {
    "saelens_batchtopk_training": {"architecture": "batchtopk", "k": K, "rescale_acts_by_decoder_norm": True},
    "saelens_batchtopk": {"architecture": "batchtopk", "k": K, "rescale_acts_by_decoder_norm": False},
    "saelens_matryoshka": {"architecture": "matryoshka_batchtopk", "k": K, "matryoshka_widths": [8, 32]},
    "saelens_matryoshka_training": {"architecture": "matryoshka_batchtopk", "k": K, "matryoshka_widths": [8, 32]},
}


def make(case: str, options: dict[str, Any], seed: int) -> None:
    """Save a dictionary for use, load it again, and run it."""
    width, latents = shape_of(case)
    config = {"d_in": width, "d_sae": latents, "metadata": METADATA, **options}
    cls, config_cls = SAE, SAE.get_sae_config_class_for_architecture(options["architecture"])
    sae = cls.get_sae_class_for_architecture(options["architecture"])(config_cls.from_dict(config))
    randomise(sae, seed)
    sae.save_model(HERE / case)
    run(case, SAE.load_from_disk(HERE / case))


def make_training(case: str, options: dict[str, Any], seed: int) -> None:
    """Save a training checkpoint, or what training leaves for use; both are run as they are used."""
    width, latents = shape_of(case)
    config = {"d_in": width, "d_sae": latents, **options}
    cls = TrainingSAE.get_sae_class_for_architecture(options["architecture"])
    config_cls = TrainingSAE.get_sae_config_class_for_architecture(options["architecture"])
    sae = cls(config_cls.from_dict(config))
    sae.cfg.metadata = SAEMetadata(**METADATA)
    randomise(sae, seed)
    sae.topk_threshold.fill_(1.1)
    scratch = Path(sys.argv[0]).parent / ".inference"
    used = scratch if case.endswith("_training") else HERE / case
    if case.endswith("_training"):
        sae.save_model(HERE / case)
    sae.save_inference_model(used)
    run(case, SAE.load_from_disk(used))
    for path in scratch.glob("*"):
        path.unlink()
    if scratch.is_dir():
        scratch.rmdir()


def flat(case: str, old: str, extra: dict[str, Any]) -> None:
    """Write the same weights in the layout of versions 1 to 5, and run what the library makes of that."""
    config = json.loads((HERE / old / "cfg.json").read_text())
    keep = {name: config[name] for name in ("d_in", "d_sae", "dtype", "device", "apply_b_dec_to_input")}
    (HERE / case).mkdir(parents=True, exist_ok=True)
    (HERE / case / "cfg.json").write_text(json.dumps({**keep, **extra}))
    (HERE / case / "sae_weights.safetensors").write_bytes((HERE / old / "sae_weights.safetensors").read_bytes())
    run(case, SAE.load_from_disk(HERE / case))


@torch.no_grad()
def run(case: str, sae: Any) -> None:
    """Save what the library makes of the fixed inputs."""
    x = inputs(sae.cfg.d_in)
    codes = sae.encode(x)
    write(case, codes, sae.decode(codes), x)


@torch.no_grad()
def check_export(folder: Path) -> None:
    """Load a folder we exported, and compare with the codes and reconstructions we saved beside it."""
    sae, expected = SAE.load_from_disk(folder), load_file(folder / "expected.safetensors")
    codes = sae.encode(expected["x"])
    for name, got in (("codes", codes), ("reconstruction", sae.decode(codes))):
        gap = float((got - expected[name]).abs().max())
        print(f"{folder.name} ({sae.cfg.architecture()}): {name} off by {gap:.2g}")
        if gap > 1e-5 * max(1.0, float(expected[name].abs().max())):
            sys.exit("SAELens reads our export differently")


OLD = {"model_name": "tiny-random", "hook_layer": 0, "context_size": 128, "prepend_bos": True, "dataset_path": "none"}
if __name__ == "__main__":
    if sys.argv[1:]:
        for word in sys.argv[1:]:
            check_export(Path(word))
    else:
        for number, (case, options) in enumerate(CASES.items()):
            make(case, options, number)
        for number, (case, options) in enumerate(TRAINING.items(), start=100):
            make_training(case, options, number)
        first = {"hook_name": "blocks.1.hook_resid_pre", "activation_fn_str": "relu", "normalize_activations": "none"}
        flat("saelens_flat_standard", "saelens_standard", {**OLD, **first, "finetuning_scaling_factor": False})
        point = {"hook_point": "blocks.0.hook_resid_post", "normalize_activations": False, "use_ghost_grads": False}
        kwargs = {"activation_fn": "topk", "activation_fn_kwargs": {"k": K}}
        flat("saelens_flat_topk", "saelens_topk", {**OLD, **point, **kwargs})
