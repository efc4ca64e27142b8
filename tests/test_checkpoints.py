"""Dictionaries saved by the real libraries give the codes and reconstructions those libraries gave (tests/golden)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.api import Setting
from harness.checkpoints.card import Card, OneLayer, Portable
from harness.checkpoints.detect import find_checkpoint
from harness.checkpoints.dictionary import ForeignDictionary, load_dictionary
from harness.checkpoints.export import saelens_files, write_files
from harness.checkpoints.site import check_site, site_notes
from harness.errors import UserError

GOLDEN = Path(__file__).parent / "golden" / "checkpoints"
CASES = sorted(path.name for path in GOLDEN.iterdir())
DOC = torch.zeros(8, dtype=torch.int64)


def load(folder: Path) -> ForeignDictionary:
    return load_dictionary(find_checkpoint(folder))


def close(got: Tensor, expected: Tensor) -> bool:
    return bool((got - expected).abs().max() <= 1e-5 * expected.abs().max().clamp_min(1.0))


def test_there_is_a_case_of_every_architecture_we_claim_to_read() -> None:
    kinds = {(card.format, card.architecture) for card in (find_checkpoint(GOLDEN / case).card for case in CASES)}
    saelens = {("SAELens", name) for name in ("standard", "gated", "topk", "jumprelu", "batchtopk")}
    assert kinds >= saelens | {("SAELens", "matryoshka_batchtopk"), ("Gemma Scope", "jumprelu")}
    assert kinds >= {("sparsify", "topk"), ("sparsify", "groupmax")}
    classes = "AutoEncoder AutoEncoderNew GatedAutoEncoder JumpReluAutoEncoder AutoEncoderTopK BatchTopKSAE"
    assert kinds >= {("dictionary_learning", name) for name in [*classes.split(), "MatryoshkaBatchTopKSAE"]}


@pytest.mark.parametrize("case", CASES)
def test_codes_and_reconstructions_are_those_of_the_library(case: str) -> None:
    dictionary, expected = load(GOLDEN / case), load_file(GOLDEN / case / "expected.safetensors")
    z_NF = dictionary.encode(expected["x"], DOC)
    assert torch.equal(z_NF != 0, expected["codes"] != 0)
    assert close(z_NF, expected["codes"])
    assert close(dictionary.decode(z_NF), expected["reconstruction"])
    one_NF = torch.zeros_like(z_NF[:1])
    one_NF[0, 3] = 1.0
    step = dictionary.decode(one_NF) - dictionary.decode(torch.zeros_like(one_NF))
    assert torch.allclose(step[0], dictionary.directions()[3], atol=1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if case != "sparsify_groupmax"])
def test_written_in_saelens_format_it_is_read_back_the_same(case: str, tmp_path: Path) -> None:
    dictionary, expected = load(GOLDEN / case), load_file(GOLDEN / case / "expected.safetensors")
    write_files(saelens_files(dictionary.portable(), "tiny-random", 0), tmp_path / "out")
    card = find_checkpoint(tmp_path / "out").card
    assert (card.format, card.trained.model, card.trained.layer) == ("SAELens", "tiny-random", 0)
    again = load(tmp_path / "out")
    assert isinstance(again, Portable)
    z_NF = again.encode(expected["x"], DOC)
    assert close(z_NF, expected["codes"])
    assert close(again.decode(z_NF), expected["reconstruction"])


def test_what_saelens_has_no_architecture_for_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no architecture for the activation 'groupmax'"):
        saelens_files(load(GOLDEN / "sparsify_groupmax").portable(), "tiny-random", 0)
    files = saelens_files(load(GOLDEN / "dl_topk").portable(), "tiny-random", 0)
    write_files(files, tmp_path)
    with pytest.raises(UserError, match=r"cfg.json' exists already|safetensors' exists already"):
        write_files(files, tmp_path)


def copied(case: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / case, tmp_path / case))


def changed(case: str, tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    folder = copied(case, tmp_path)
    values = json.loads((folder / name).read_text())
    change(values)
    (folder / name).write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("saelens_standard", {"architecture": "temporal"}, "unknown architecture 'temporal'.*Allowed: batchtopk"),
        ("saelens_standard", {"architecture": "jumprel"}, "Did you mean 'jumprelu'"),
        ("saelens_standard", {"architecture": None}, "the option 'architecture' is missing"),
        ("saelens_standard", {"noise": 3}, "unknown option 'noise'"),
        ("saelens_standard", {"normalize_activations": "layer_norm"}, 'normalize_activations="layer_norm".*mean and'),
        ("saelens_standard", {"normalize_activations": "expected_average_only_in"}, "factor is not in the files"),
        ("saelens_standard", {"normalize_activations": "constant_norm_rescale"}, "norm of each token"),
        ("saelens_standard", {"normalize_activations": "covariance_whitening"}, "whitening is not in the files"),
        ("saelens_standard", {"normalize_activations": "strange"}, "not a normalisation of SAELens"),
        ("saelens_standard", {"reshape_activations": "hook_z"}, "not a residual stream"),
        ("saelens_standard", {"d_in": "16"}, "'d_in' must be a whole number"),
        ("saelens_standard", {"d_in": True}, "'d_in' must be a whole number, got true"),
        ("saelens_standard", {"apply_b_dec_to_input": 1}, "must be true or false"),
        ("saelens_topk", {"k": None}, "the option 'k' is missing"),
        ("saelens_topk", {"k": 0}, "'k' must be at least 1"),
        ("saelens_topk", {"activation_fn": "tanh-relu"}, 'activation_fn="tanh-relu" is not supported'),
        ("saelens_flat_standard", {"activation_fn_str": "tanh-relu"}, 'activation_fn="tanh-relu" is not supported'),
        ("saelens_flat_standard", {"normalize_activations": True}, "factor is not in the files"),
        ("saelens_flat_standard", {"finetuning_scaling_factor": True}, "scaled after the fact"),
        ("saelens_flat_standard", {"hook_head_index": 0}, "one head is not a residual stream"),
        ("saelens_flat_topk", {"activation_fn_kwargs": {"k": 5, "postact_fn": "abs"}}, "unknown option 'postact_fn'"),
        ("sparsify_topk", {"transcode": True}, "predicts another site"),
        ("sparsify_topk", {"skip_connection": True}, "not be a function of the code"),
        ("sparsify_topk", {"signed": True}, "signed=true is not supported"),
        ("sparsify_topk", {"activation": "relu"}, "unknown activation 'relu'"),
        ("sparsify_topk", {"hookpoint": "layers.3"}, "unknown option 'hookpoint'"),
        ("sparsify_groupmax", {"k": 5}, "that k \\(5\\) divides"),
    ],
)
def test_an_option_we_do_not_do_is_refused_by_name(
    case: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = changed(case, tmp_path, "cfg.json", lambda values: values.update(change))
    with pytest.raises(UserError, match=message):
        find_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dict_class": "CrossCoder"}, "unknown dict_class 'CrossCoder'"),
        ({"dict_class": None}, "'dict_class' is missing"),
        ({"normalisation": "unit"}, "unknown option 'normalisation'"),
        ({"k": None}, "'k' is missing"),
    ],
)
def test_a_class_or_option_of_dictionary_learning_we_do_not_know_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = changed("dl_topk", tmp_path, "config.json", lambda values: values["trainer"].update(change))
    with pytest.raises(UserError, match=message):
        find_checkpoint(folder)


def test_the_config_alone_tells_topk_from_batchtopk(tmp_path: Path) -> None:
    topk = load(GOLDEN / "dl_topk")
    folder = changed(
        "dl_topk", tmp_path, "config.json", lambda values: values["trainer"].update(dict_class="BatchTopKSAE")
    )
    x_ND = load_file(GOLDEN / "dl_topk" / "expected.safetensors")["x"]
    assert not torch.equal(topk.encode(x_ND, DOC), load(folder).encode(x_ND, DOC))


def test_a_batchtopk_whose_threshold_was_never_set_is_refused(tmp_path: Path) -> None:
    folder = copied("dl_batchtopk", tmp_path)
    state = torch.load(folder / "ae.pt", weights_only=True)
    torch.save({**state, "threshold": torch.tensor(-1.0)}, folder / "ae.pt")
    with pytest.raises(UserError, match="threshold is -1, so it was never set"):
        load(folder)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    folder = copied("dl_topk", tmp_path)
    marker = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (exec, (f"open({str(marker)!r}, 'w').close()",))

    torch.save({"encoder.weight": Trap()}, folder / "ae.pt")
    with pytest.raises(UserError, match=r"ae\.pt cannot be read"):
        load(folder)
    assert not marker.exists()
    gemma = copied("gemma_scope_jumprelu", tmp_path)
    np.savez(gemma / "params.npz", W_enc=np.array([Trap()], dtype=object))
    with pytest.raises(UserError, match=r"params\.npz cannot be read"):
        load(gemma)
    assert not marker.exists()


def test_a_file_that_contradicts_its_config_is_refused(tmp_path: Path) -> None:
    wide = changed("saelens_topk", tmp_path / "a", "cfg.json", lambda values: values.update(d_sae=64))
    with pytest.raises(UserError, match="config says 64 for latents, the weights say 32"):
        load(wide)
    many = changed("saelens_topk", tmp_path / "b", "cfg.json", lambda values: values.update(k=33))
    with pytest.raises(UserError, match="k=33 is more than the 32 latents"):
        load(many)
    for name, tensor, message in (
        ("b_gate", torch.zeros(32), "unknown tensor for topk 'b_gate'"),
        ("b_enc", torch.zeros(31), r"b_enc has shape \[31\], expected \[32\]"),
        ("b_dec", torch.full((16,), torch.nan), "b_dec holds numbers that are not finite"),
        ("scaling_factor", torch.full((32,), 2.0), "'scaling_factor' is not 1"),
    ):
        folder = copied("saelens_topk", tmp_path / name)
        path = folder / "sae_weights.safetensors"
        save_file({**load_file(path), name: tensor}, path)
        with pytest.raises(UserError, match=message):
            load(folder)
    with pytest.raises(UserError, match="decoder rows are 16 wide, activations 64"):
        load_dictionary(find_checkpoint(GOLDEN / "saelens_topk"), Setting(64, 32, 5, 0))


def test_torn_and_absent_files_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        find_checkpoint(tmp_path / "none")
    with pytest.raises(UserError, match=r"holds no dictionary that can be read.*SAELens: cfg\.json and sae_weights"):
        find_checkpoint(tmp_path)
    folder = copied("saelens_topk", tmp_path)
    (folder / "sae_weights.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"sae_weights\.safetensors cannot be read"):
        load(folder)
    (folder / "cfg.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        find_checkpoint(folder)
    both = copied("sparsify_topk", tmp_path / "both")
    shutil.copy(GOLDEN / "saelens_topk" / "sae_weights.safetensors", both)
    with pytest.raises(UserError, match="several dictionaries: SAELens, sparsify"):
        find_checkpoint(both)


def test_identity_is_the_content_of_the_files_and_nothing_else(tmp_path: Path) -> None:
    folder = copied("saelens_topk", tmp_path)
    (folder / "README.md").write_text("words")
    assert find_checkpoint(folder).sha256 == find_checkpoint(GOLDEN / "saelens_topk").sha256
    path = folder / "sae_weights.safetensors"
    tensors = load_file(path)
    tensors["b_dec"][0] += 1e-6
    save_file(tensors, path)
    assert find_checkpoint(folder).sha256 != find_checkpoint(GOLDEN / "saelens_topk").sha256


class TestSite:
    def card(self, case: str, tmp_path: Path, **metadata: Any) -> Card:
        folder = changed(case, tmp_path, "cfg.json", lambda values: values["metadata"].update(metadata))
        return find_checkpoint(folder).card

    def test_what_leaves_a_block_is_what_enters_the_next(self, tmp_path: Path) -> None:
        pre = self.card("saelens_topk", tmp_path, hook_name="blocks.3.hook_resid_pre")
        assert pre.trained.layer == 2
        check_site("m", pre, 16, 2)
        with pytest.raises(UserError, match=r"output of block 2; the task reads block 3. Give --layers 2"):
            check_site("m", pre, 16, 3)

    @pytest.mark.parametrize("hook", ["blocks.0.hook_resid_pre", "blocks.1.hook_mlp_out", "blocks.1.attn.hook_z"])
    def test_a_site_that_is_no_output_of_a_block_is_refused(self, hook: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=f"trained at '{hook}', which is not the output of a block"):
            check_site("m", self.card("saelens_topk", tmp_path, hook_name=hook), 16, 0)

    def test_another_width_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="16 wide; those of the model are 64 wide"):
            check_site("m", self.card("saelens_topk", tmp_path), 64, 0)

    def test_another_model_and_what_is_not_stated_are_said(self, tmp_path: Path) -> None:
        card = self.card("saelens_topk", tmp_path, model_name="owner/Tiny-Random")
        assert site_notes(card, "tiny-random", 128) == []
        assert site_notes(card, "gpt2", 8) == [
            "the dictionary was trained on 'owner/Tiny-Random', not on 'gpt2'",
            "the dictionary has 32 latents, the task allows 8",
        ]
        silent = find_checkpoint(GOLDEN / "gemma_scope_jumprelu").card
        check_site("m", silent, 64, 7)
        assert ["at which site" in note or "on which model" in note for note in site_notes(silent, "x", None)] == [
            True,
            True,
        ]

    def test_folders_tell_the_block_where_files_do_not(self, tmp_path: Path) -> None:
        for case, name, layer in (
            ("sparsify_topk", "layers.12", 12),
            ("sparsify_topk", "layers.12.mlp", None),
            ("gemma_scope_jumprelu", "layer_20/width_16k/average_l0_71", 20),
        ):
            folder = Path(shutil.copytree(GOLDEN / case, tmp_path / name))
            trained = find_checkpoint(folder).card.trained
            assert (trained.hook is None, trained.layer) == (False, layer)

    @pytest.mark.parametrize(
        ("given", "layer"),
        [
            ({"submodule_name": "resid_post_layer_7"}, 7),
            ({"submodule_name": None, "layer": 4}, 4),
            ({"submodule_name": "mlp_out_layer_7"}, None),
        ],
    )
    def test_dictionary_learning_names_its_submodule(
        self, given: dict[str, Any], layer: int | None, tmp_path: Path
    ) -> None:
        folder = changed("dl_topk", tmp_path, "config.json", lambda values: values["trainer"].update(given))
        trained = find_checkpoint(folder).card.trained
        assert (trained.hook is None, trained.layer) == (False, layer)


def test_scaling_inputs_biases_and_thresholds_scales_the_reconstruction() -> None:
    """Scaled inputs, biases and thresholds change nothing but the scale, for every activation."""
    c = 3.0
    for case in CASES:
        layer, x_ND = load(GOLDEN / case).portable(), load_file(GOLDEN / case / "expected.safetensors")["x"]
        larger = {name: value * c for name, value in _of(layer, "b_enc", "b_dec", "threshold", "b_mag").items()}
        scaled = ForeignDictionary(OneLayer(**{**vars(layer), **larger}))
        one = ForeignDictionary(layer)
        expected = one.decode(one.encode(x_ND, DOC)) * c
        assert close(scaled.decode(scaled.encode(x_ND * c, DOC)), expected), case


def _of(layer: OneLayer, *names: str) -> dict[str, Tensor]:
    return {name: getattr(layer, name) for name in names if getattr(layer, name) is not None}
