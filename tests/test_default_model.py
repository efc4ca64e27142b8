"""The laws every board stands on, on the real default model."""

from __future__ import annotations

import pytest
from running import record_of, run, values

from harness.specs.record import Record

pytestmark = pytest.mark.model

SMALL = {
    "budget.train_tokens": "3000",
    "budget.val_tokens": "800",
    "budget.latents": "1152",
    "budget.l0": "32",
    "budget.test_tokens": "1500",
    "budget.splice_tokens": "1000",
    "budget.density_tokens": "1500",
    "metrics": "[fvu, fvu_centred, fvu_inlier, l0, rrb, delta_ce, ce_recovered, ce_recovered_mean, kl_splice, agree1]",
    "bars": "{}",
}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    outcome = run("topk", "gsm_symbolic", tmp_path_factory.mktemp("run"), seeds=[0], set=SMALL)
    names = ("topk", "identity", "mean_only", "pca", "random_dictionary", "permuted_decoder")
    return {name: record_of(outcome, name) for name in names}


def test_identity_changes_nothing(records: dict[str, Record]) -> None:
    identity = values(records["identity"])
    assert identity["fvu"] == 0
    assert identity["kl_splice"] == pytest.approx(0, abs=1e-5)
    assert identity["delta_ce"] == pytest.approx(0, abs=1e-5)
    assert identity["ce_recovered"] == pytest.approx(1, abs=1e-5)
    assert identity["agree1"] == 1


def test_the_mean_explains_nothing(records: dict[str, Record]) -> None:
    mean = values(records["mean_only"])
    assert mean["fvu"] == pytest.approx(1, abs=0.02)
    assert mean["ce_recovered_mean"] == pytest.approx(0, abs=1e-6)


def test_permuting_the_decoder_keeps_l0_and_ruins_the_rest(records: dict[str, Record]) -> None:
    topk, permuted = values(records["topk"]), values(records["permuted_decoder"])
    assert permuted["l0"] == topk["l0"]
    assert (permuted["fvu"] or 0) > max(1.0, 3 * (topk["fvu"] or 0))
    assert (permuted["kl_splice"] or 0) > 3 * (topk["kl_splice"] or 0)


def test_a_trained_dictionary_beats_a_random_one(records: dict[str, Record]) -> None:
    margin = records["topk"].margins["fvu"]
    assert margin.value is not None
    assert values(records["random_dictionary"])["fvu"] > values(records["topk"])["fvu"]  # type: ignore[operator]


def test_leaving_out_the_attention_sink_makes_outliers_rare(records: dict[str, Record]) -> None:
    topk = values(records["topk"])
    assert topk["fvu_inlier"] == pytest.approx(topk["fvu"], rel=0.05)


def test_the_record_names_the_weights_for_what_they_are(records: dict[str, Record]) -> None:
    assert records["topk"].model.label == "gguf-q4_1-dequantized"
    assert (records["topk"].model.layer, records["topk"].model.hidden_state) == (14, 15)
