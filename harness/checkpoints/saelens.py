"""SAELens: ``cfg.json`` and ``sae_weights.safetensors``.

Since version 6 what concerns training and the language model lies under ``metadata``; before, all options lay side by
side, and TopK was an ``activation_fn``. BatchTopK and Matryoshka dictionaries are saved as JumpReLU for use; their
training checkpoints hold one ``topk_threshold`` and are used the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.checkpoints.card import Activation, Card, Format, OneLayer, Options, Trained, named, positive, read_json
from harness.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor

ARCHITECTURES: dict[str, Activation] = {
    "standard": "relu",
    "gated": "gated",
    "topk": "topk",
    "jumprelu": "threshold",
    "batchtopk": "threshold",
    "matryoshka_batchtopk": "threshold",
}
_BATCHED = ("batchtopk", "matryoshka_batchtopk")
_PLAIN = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
_TENSORS: dict[str, dict[str, str]] = {
    "standard": _PLAIN,
    "topk": _PLAIN,
    "gated": {**_PLAIN, "b_enc": "b_gate", "r_mag": "r_mag", "b_mag": "b_mag"},
    "jumprelu": {**_PLAIN, "threshold": "threshold"},
    **{name: {**_PLAIN, "threshold": "topk_threshold"} for name in _BATCHED},
}
# The old layout's names for what the new one calls otherwise.
_RENAMED = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}
_NORMS = {
    "expected_average_only_in": "the factor is not in the files; fold it into the weights before saving",
    "constant_norm_rescale": "the reconstruction would depend on the norm of each token beside its code",
    "layer_norm": "the reconstruction would depend on mean and spread of each token beside its code",
    "covariance_whitening": "the whitening is not in the files; fold it into the weights before saving",
}
# What a training checkpoint says besides; none is read when the dictionary is used.
# fmt: off
_TRAINING = (
    "aux_loss_coefficient", "decoder_init_norm", "jumprelu_bandwidth", "jumprelu_init_threshold",
    "jumprelu_sparsity_loss_mode", "jumprelu_ste_to_input", "jumprelu_tanh_scale", "l0_coefficient",
    "l0_warm_up_steps", "l1_coefficient", "l1_warm_up_steps", "lp_norm", "matryoshka_widths",
    "pre_act_loss_coefficient", "target_l0", "topk_threshold_lr", "use_matryoshka_aux_loss",
    "use_sparse_activations",
)
# fmt: on
# What the flat layout of versions 1 to 5 said of data, training and logging.
# fmt: off
_FLAT = (
    "act_store_device", "activation_fn_kwargs", "adam_beta1", "adam_beta2", "autocast", "autocast_lm",
    "b_dec_init_method", "cached_activations_path", "checkpoint_path", "compile_llm", "compile_sae",
    "context_size", "d_out", "dataset_path", "dataset_trust_remote_code", "dead_feature_estimation_method",
    "dead_feature_threshold", "dead_feature_window", "decoder_heuristic_init", "decoder_heuristic_init_norm",
    "decoder_orthogonal_init", "eval_batch_size_prompts", "eval_every_n_wandb_logs", "exclude_special_tokens",
    "expansion_factor", "feature_sampling_method", "feature_sampling_window", "finetuning_method",
    "finetuning_tokens", "from_pretrained_path", "ghost_grads_warmup", "hook_eval", "hook_layer",
    "hook_point_layer", "init_encoder_as_decoder_transpose", "is_dataset_tokenized", "l1_warm_up_steps",
    "llm_compilation_mode", "log_activations_store_to_wandb", "log_optimizer_state_to_wandb", "log_to_wandb",
    "lr", "lr_decay_steps", "lr_end", "lr_scheduler_name", "lr_warm_up_steps", "model_class_name",
    "model_from_pretrained_kwargs", "model_kwargs", "mse_loss_normalization", "n_batches_in_buffer",
    "n_checkpoints", "n_eval_batches", "n_restart_cycles", "neuronpedia_id", "noise_scale",
    "normalize_sae_decoder", "prepend_bos", "resume", "run_name", "sae_compilation_mode",
    "sae_lens_training_version", "sae_lens_version", "scale_sparsity_penalty_by_decoder_norm", "seed", "seqpos",
    "seqpos_slice", "sparsity_path", "store_batch_size", "store_batch_size_prompts", "streaming",
    "tokens_per_buffer", "train_batch_size", "train_batch_size_tokens", "training_tokens",
    "use_cached_activations", "use_ghost_grads", "verbose", "wandb_entity", "wandb_id", "wandb_log_frequency",
    "wandb_project",
)
# fmt: on
_HOOK = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|post)")


def read(folder: Path) -> Card:
    """Return the card; raises ``UserError`` on any architecture, activation, normalisation or option we do not do."""
    path = str(folder / "cfg.json")
    values = read_json(folder / "cfg.json")
    flat = "metadata" not in values
    if flat:
        values = {_RENAMED.get(name, name): value for name, value in values.items()}
    options = Options(values, path)
    architecture, k = _architecture(options, values, flat)
    options.want("normalize_activations", ["none", False], _why_no_norm(values))
    options.want("reshape_activations", ["none"], "the site is not a residual stream")
    options.want("finetuning_scaling_factor", [False], "codes would be scaled after the fact")
    options.ignore(("dtype", "device", *_TRAINING, *(_FLAT if flat else ())))
    where = options if flat else Options(options.take("metadata", dict), f"{path}: metadata")
    card = Card(
        folder,
        FORMAT.name,
        architecture,
        ARCHITECTURES[architecture],
        k=k,
        centred=options.take("apply_b_dec_to_input", bool, True),
        rescaled=options.take("rescale_acts_by_decoder_norm", bool, False),
        width=positive(options.take("d_in", int), "d_in", path),
        latents=positive(options.take("d_sae", int), "d_sae", path),
        trained=_trained(where),
    )
    # Metadata of the new layout is free text about the training; it changes nothing but the site.
    options.end()
    return card


def _architecture(options: Options, values: Mapping[str, Any], flat: bool) -> tuple[str, int | None]:
    name = options.take("architecture", str, "standard") if flat else options.take("architecture", str)
    if name not in ARCHITECTURES:
        raise unknown("architecture", name, ARCHITECTURES, options.where)
    # The new layout has no such option: only an old TopK is not ReLU.
    allowed = ["relu", "topk"] if flat and name in ("standard", "topk") else ["relu"]
    options.want("activation_fn", allowed, "codes are ReLU or TopK of the pre-activations")
    if flat and (name == "topk" or values.get("activation_fn") == "topk"):
        inner = Options(options.take("activation_fn_kwargs", dict), f"{options.where}: activation_fn_kwargs")
        k = positive(inner.take("k", int), "k", inner.where)
        inner.end()
        return "topk", k
    if name in _BATCHED:
        # Their k is a mean over the batch, may be a fraction, and is replaced by the threshold.
        options.ignore(("k",))
        return name, None
    return name, positive(options.take("k", int), "k", options.where) if name == "topk" else None


def _why_no_norm(values: Mapping[str, Any]) -> str:
    given = values.get("normalize_activations")
    name = "expected_average_only_in" if given is True else str(given)
    return _NORMS.get(name, "it is not a normalisation of SAELens")


def _trained(options: Options) -> Trained:
    options.want("hook_head_index", [], "one head is not a residual stream")
    hook = options.take("hook_name", str, None)
    found = _HOOK.fullmatch(hook) if hook else None
    # What enters a block left the one before it.
    layer = int(found.group(1)) - (found.group(2) == "pre") if found else None
    return Trained(options.take("model_name", str, None), hook, layer)


def arrange(card: Card, tensors: Mapping[str, Tensor]) -> OneLayer:
    """Turn the encoder round, and fold decoder norms in where codes are scaled by them."""
    tensors = dict(tensors)
    factor = tensors.pop("scaling_factor", None)
    if factor is not None and not bool((factor == 1).all()):
        raise UserError(f"{card.folder}: the tensor 'scaling_factor' is not 1: codes would be scaled after the fact")
    got = named(tensors, _TENSORS[card.architecture], card)
    if card.rescaled:
        norm_F = got["W_dec"].norm(dim=1)
        got["W_enc"] = got["W_enc"] * norm_F
        got["b_enc"] = got["b_enc"] * norm_F
        got["W_dec"] = got["W_dec"] / norm_F[:, None]
    got["W_enc"] = got["W_enc"].T
    return card.layer(got)


FORMAT = Format("SAELens", "cfg.json", "sae_weights.safetensors", read, arrange)
