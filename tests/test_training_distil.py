"""Decoders over codes: what they are fitted to, where they start, and what they would cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.api import ArrayActivations, Dictionary, Read, Setting, Targets, Train
from harness.errors import UserError
from harness.registry import build_method, check_params, method_class
from harness.specs.library import Library
from harness.testing import SETTING, planted
from harness.testing.decoders import CLASSES, PlantedEnd, planted_read, planted_targets
from harness.training.distil import divergence
from harness.training.loop import Optim
from harness.training.sparse_decoder import CodeDecoder, Map
from harness.training.stored_codes import StoredCodes

CPU = torch.device("cpu")
LIBRARY = Library()
STEADY = Optim(lr=0.05, batch=64, warmup=0.02, decay=0.5, clip=10.0)


class OneHot(Dictionary):
    """Codes are the activations, which are one-hot rows here."""

    @dataclass(frozen=True)
    class Params:
        """None."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def fit(self, train: Train) -> None:
        """Nothing."""

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return the activations."""
        return x_ND.clone()

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return the codes."""
        return z_NF.clone()

    def directions(self) -> Tensor:
        """Return the unit matrix."""
        return torch.eye(self.width)

    def summary(self) -> dict[str, float]:
        """Return nothing."""
        return {}


class Decoder(CodeDecoder):
    """A decoder over codes as it stands."""

    @classmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Accept."""


def table(target: str, kind: str) -> tuple[Decoder, Tensor, Tensor]:
    """Fit a decoder on 4 states whose predictions vary, and return it with the states and the model's predictions."""
    draw = torch.Generator().manual_seed(1)
    state_N = torch.arange(512) % 4
    logp_NV = torch.log_softmax(2 * torch.randn(4, 6, generator=draw)[state_N] + torch.randn(512, 6, generator=draw), 1)
    x = ArrayActivations(torch.eye(4)[state_N])
    targets = Targets(state_N, logp_NV.argmax(1), lambda index_N: logp_NV[index_N])
    extra = {"unembedding": PlantedEnd(), "targets": targets, "val_targets": targets}
    setting = Setting(4, 4, 1, 0, {"dictionary": OneHot(4)}, vocabulary=6)
    decoder = Decoder(setting, STEADY, target, Map(kind, 8, 100))  # type: ignore[arg-type]
    decoder.fit(Train(x, x, 100, CPU, extra=extra))
    return decoder, state_N, logp_NV


@pytest.mark.parametrize("kind", ["linear", "lowrank"])
def test_the_optimum_is_the_mean_prediction_of_what_looks_alike(kind: str) -> None:
    decoder, state_N, logp_NV = table("soft", kind)
    with torch.no_grad():
        q_SV = decoder.predict(torch.eye(4), PlantedEnd()).exp()
    mean_SV = torch.stack([logp_NV[state_N == s].exp().mean(0) for s in range(4)])
    torch.testing.assert_close(q_SV, mean_SV, atol=4e-3, rtol=0)
    least = float(divergence(logp_NV, mean_SV.log()[state_N]).mean())
    assert decoder.summary()["val_kl"] == pytest.approx(least, rel=2e-3)
    assert least > 0.1


@pytest.mark.parametrize(("target", "spoilt"), [("soft", True), ("soft", False), ("hard", True)])
def test_the_pass_is_kept_that_is_best_on_validation(target: Any, spoilt: bool, monkeypatch: Any) -> None:
    """Predictions that the validation split does not share are learned at first and undone; others are kept."""
    draw = torch.Generator().manual_seed(1)
    state_N = torch.arange(256) % 4
    true_SV = torch.log_softmax(2 * torch.randn(4, 6, generator=draw), 1)
    false_SV = torch.log_softmax(6 * torch.randn(4, 6, generator=draw), 1)
    told = Targets(state_N, state_N, lambda index_N: (false_SV if spoilt else true_SV)[state_N[index_N]])
    truth = Targets(state_N, state_N, lambda index_N: true_SV[state_N[index_N]])
    x = ArrayActivations(torch.eye(4)[state_N])
    extra = {"unembedding": PlantedEnd(), "targets": told, "val_targets": truth}

    def fit() -> dict[str, float]:
        setting = Setting(4, 4, 1, 0, {"dictionary": OneHot(4)}, vocabulary=6)
        decoder = Decoder(setting, STEADY, target, Map("linear", 8, 100))
        decoder.fit(Train(x, x, 6, CPU, extra=extra))
        return decoder.summary()

    kept = fit()
    assert (kept["best_pass"] < 6) == spoilt
    monkeypatch.setattr("harness.training.distil.BestPass.restore", lambda self: None)
    last = fit()
    assert (kept["val_kl"] < last["val_kl"] - 0.01) == spoilt


def test_hard_labels_agree_as_often_and_diverge_more() -> None:
    soft, state_N, logp_NV = table("soft", "linear")
    hard, _, _ = table("hard", "linear")
    with torch.no_grad():
        q = {name: d.predict(torch.eye(4), PlantedEnd())[state_N] for name, d in (("soft", soft), ("hard", hard))}
    agree = {name: float((one.argmax(1) == logp_NV.argmax(1)).double().mean()) for name, one in q.items()}
    assert agree["hard"] >= agree["soft"] - 0.02
    assert float(divergence(logp_NV, q["hard"]).mean()) > 1.2 * float(divergence(logp_NV, q["soft"]).mean())
    entropy = {name: float(-(one.exp() * one).sum(1).mean()) for name, one in q.items()}
    assert entropy["hard"] < entropy["soft"]


def test_a_tied_decoder_starts_as_the_lens_of_the_reconstruction() -> None:
    dictionary = fitted("batchtopk", {}, ())
    setting = replace(SETTING, uses={"dictionary": dictionary}, vocabulary=CLASSES)
    decoder = Decoder(setting, STEADY, "soft", Map("tied", 1, 100))
    with torch.no_grad():
        decoder.begin(Train(planted(SETTING, 256, 1), planted(SETTING, 64, 2), 1, CPU))
        read = planted_read(SETTING, 64, 3)
        z_NF = dictionary.encode(read.x_ND, read.doc_N)
        torch.testing.assert_close(decoder.logp(read), PlantedEnd().logp(dictionary.decode(z_NF)))


def fitted(name: str, uses: dict[str, Any], needs: tuple[str, ...], **params: Any) -> Any:
    found = LIBRARY.method(name)
    setting = replace(SETTING, uses=uses, vocabulary=CLASSES)
    method = build_method(found, {**found.spec.params, **params}, setting)
    known = {
        "unembedding": PlantedEnd(),
        "targets": planted_targets(SETTING, 512, 1),
        "val_targets": planted_targets(SETTING, 128, 2),
    }
    extra = {need: known[need] for need in needs}
    method.fit(Train(planted(SETTING, 512, 1), planted(SETTING, 128, 2), 20, CPU, extra=extra))
    return method


def test_the_tuned_lens_is_nearer_to_the_model_than_the_lens_on_what_it_was_fitted_on() -> None:
    tuned = fitted("tuned_lens", {}, ("unembedding", "targets", "val_targets"))
    read, model_NV = planted_read(SETTING, 512, 1), planted_targets(SETTING, 512, 1).logp(torch.arange(512))
    with torch.no_grad():
        lens = float(divergence(model_NV, PlantedEnd().logp(read.x_ND)).mean())
        assert float(divergence(model_NV, tuned.logp(read)).mean()) < 0.8 * lens


def test_a_unigram_is_its_counts() -> None:
    method = fitted("unigram", {}, ("targets",), added=2.0)
    gold = [g for g in planted_targets(SETTING, 512, 1).gold_N.tolist() if g >= 0]
    expected = [(gold.count(v) + 2.0) / (len(gold) + 2.0 * CLASSES) for v in range(CLASSES)]
    assert method.logp(planted_read(SETTING, 8, 3)).exp()[5].tolist() == pytest.approx(expected, rel=1e-5)


def test_a_bigram_is_its_counts_and_a_token_it_does_not_know_has_the_frequencies() -> None:
    method = fitted("bigram", {}, ("targets", "val_targets"), contexts=3, added=[1.5])
    targets = planted_targets(SETTING, 512, 1)
    pairs = [(u, v) for u, v in zip(targets.id_N.tolist(), targets.gold_N.tolist(), strict=True) if v >= 0]
    golds = [v for _, v in pairs]
    all_V = [(golds.count(v) + 0.5) / (len(golds) + 0.5 * CLASSES) for v in range(CLASSES)]
    ids = targets.id_N.tolist()
    known = sorted(sorted(set(ids), key=lambda u: (-ids.count(u), u))[:3])
    read = Read(torch.zeros(5, 1), torch.tensor([*known, 10**6, 1]), torch.zeros(5), PlantedEnd())
    got = method.logp(read).exp()
    for row, u in enumerate(known):
        after = [v for w, v in pairs if w == u]
        expected = [(after.count(v) + 1.5 * all_V[v]) / (len(after) + 1.5) for v in range(CLASSES)]
        assert got[row].tolist() == pytest.approx(expected, rel=1e-5)
    assert got[3].tolist() == got[4].tolist() == pytest.approx(all_V, rel=1e-5)


def test_stored_codes_are_the_codes() -> None:
    dictionary, x = fitted("batchtopk", {}, ()), planted(SETTING, 300, 4)
    z_NF = dictionary.encode(x.take(torch.arange(300)), x.doc_N)
    stored = StoredCodes.of(dictionary, x, CPU)
    index_N = torch.tensor([299, 0, 7, 7, 150])
    assert len(stored) == 300
    assert torch.equal(stored.take(index_N), z_NF[index_N])
    assert torch.equal(stored.take(index_N[:0]), z_NF[:0])


def test_a_linear_map_to_a_whole_vocabulary_is_refused_and_the_smaller_kinds_are_named() -> None:
    found = LIBRARY.method("sparse_decoder_linear")
    cls = method_class(found)
    params = check_params(found, cls, found.spec.params)
    cls.check(params, Setting(576, 2304, 64, 0, vocabulary=1001))
    with pytest.raises(UserError) as refused:
        cls.check(params, Setting(576, 2304, 64, 0, vocabulary=49152))
    # (2304 x 49152 + 49152) weights, 16 bytes each; lowrank (2304 x 256 + 256 x 49152 + 49152); tied 2305 x 576
    assert "takes 1813 MB to fit, more than params.map.memory_mb=1024" in str(refused.value)
    assert "params.map.kind=lowrank (212 MB) or params.map.kind=tied (21 MB)" in str(refused.value)
