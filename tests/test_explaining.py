"""``harness explain`` on the tiny model: what it says against plain re-runs of the model and of the decoder."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import call
from feature_files import file as feature_file
from feature_files import label, layer
from torch import Tensor

from harness.api import Dictionary, OverCodes, Read
from harness.content import cache_dir
from harness.errors import UserError
from harness.explaining.choosing import features_task, fitting_task
from harness.explaining.collect import Explaining
from harness.explaining.making import PreparedExplanation, Text, prepare_explanation
from harness.specs.explained import Explained, ExplainedFile, NamedLatent
from harness.specs.library import Library
from harness.store.features import save_features
from harness.tracks.next_tokens import Predictions

SETS = {
    "budget.latents": "64", "budget.l0": "8", "budget.passes": "1", "budget.context": "48",
    "budget.train_tokens": "1000", "budget.val_tokens": "300",
}  # fmt: skip
TINY = {"model": "tiny-random", "seeds": [0], "limit": 100}
WORDS = ["--model", "tiny-random", "--seeds", "0", "--limit", "100"]
WORDS += [word for key, value in SETS.items() for word in ("--set", f"{key}={value}")]
TEXT = "What is 17 + 3?"
CLOSE = {"rel": 2e-3, "abs": 2e-5}


@dataclass
class Made:
    """A call, its file, and what it was made of."""

    call: PreparedExplanation
    file: ExplainedFile
    work: Explaining

    @property
    def one(self) -> Explained:
        return self.file.explained[0]

    @property
    def ids(self) -> list[int]:
        found: list[int] = self.work.model.tokenizer(TEXT)["input_ids"]
        return found

    def state(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Return the activations of a text, and the codes at its last token, of the text as the task masks it."""
        ids_1T = torch.tensor([ids])
        block = self.work.group.task.layer
        x_TD = self.work.model.read(ids_1T, torch.ones_like(ids_1T), [block])[block][0]
        return x_TD, self.work.dictionary.encode(x_TD[1:], torch.zeros(len(ids) - 1, dtype=torch.int64))[-1]

    def run_on(self, ids: list[int], x_TD: Tensor) -> Tensor:
        """Run the whole text on from the block, and return log-probabilities after its last token."""
        ids_1T = torch.tensor([ids])
        final = self.work.model.resume(ids_1T, torch.ones_like(ids_1T), self.work.group.task.layer, x_TD[None])
        return self.work.model.logits(final[0, -1:]).log_softmax(1)[0]

    def without(self, ids: list[int], latents: list[int], target: int) -> float:
        """Return ``M`` where the parts of some latents are taken out of the last activation."""
        x_TD, code_F = self.state(ids)
        changed_TD = x_TD.clone()
        for latent in latents:
            changed_TD[-1] -= code_F[latent] * self.work.dictionary.directions()[latent]
        return float(self.run_on(ids, changed_TD)[target])


def silent(label: str, done: int, total: int) -> None:
    """Say nothing."""


def make(method: str, folder: Path, text: Text, sets: dict[str, str]) -> Made:
    options: Any = {**TINY, "set": sets}
    prepared = prepare_explanation(method, text, None, folder / "runs", options, None)
    file = prepared.explain(silent, "test")
    work = Explaining(prepared.prepared.groups[0], prepared.prepared.resources(silent))
    return Made(prepared, file, work)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = tmp_path_factory.mktemp("explain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(found / "cache"))
        yield found


@pytest.fixture(scope="module")
def made(folder: Path) -> Made:
    return make("topk", folder, Text(TEXT, tokens=3), SETS)


@pytest.fixture(scope="module")
def decoded(folder: Path) -> Made:
    return make("sparse_decoder", folder, Text(TEXT), {**SETS, "vocab.top": "40"})


@pytest.fixture(scope="module")
def ranked(folder: Path) -> Made:
    return make("rank_activation", folder, Text(TEXT), SETS)


@torch.no_grad()
def test_effects_are_those_of_running_the_whole_text_again(made: Made) -> None:
    ids = list(made.ids)
    for one in made.file.explained:
        (best, *_), active = one.prediction.top, {latent.index for latent in one.latents}
        assert best.id is not None
        _, code_F = made.state(ids)
        assert active == set(torch.nonzero(code_F).flatten().tolist())
        full = made.without(ids, [], best.id)
        assert one.full == pytest.approx(full, **CLOSE)
        assert one.none == pytest.approx(made.without(ids, list(active), best.id), **CLOSE)
        for latent in one.latents:
            assert latent.effect == pytest.approx(full - made.without(ids, [latent.index], best.id), **CLOSE)
            norm = float(made.work.dictionary.directions()[latent.index].norm())
            assert latent.activation == pytest.approx(float(code_F[latent.index]) * norm, rel=1e-4)
        sizes = [abs(latent.effect) for latent in one.latents]
        assert sizes == sorted(sizes, reverse=True)
        assert sum(latent.share or 0 for latent in one.latents) == pytest.approx(1, abs=1e-4)
        ids.append(best.id)


@torch.no_grad()
def test_curves_are_those_of_removing_and_of_keeping_the_first(made: Made) -> None:
    one = made.one
    found, target = one.faithfulness, one.prediction.top[0].id
    assert found is not None
    assert target is not None
    order = [latent.index for latent in sorted(one.latents, key=lambda latent: -latent.effect)]
    for step in found.steps:
        assert step.latents == max(1, -(-step.percent * len(order) // 100))
        lost = one.full - made.without(made.ids, order[: step.latents], target)
        kept = one.full - made.without(made.ids, order[step.latents :], target)
        assert (step.comp.own, step.suff.own) == (pytest.approx(lost, **CLOSE), pytest.approx(kept, **CLOSE))
        assert step.comp.least <= step.comp.random <= step.comp.most
    assert found.comp.own == pytest.approx(sum(step.comp.own for step in found.steps) / len(found.steps))
    # The order is that of the exact effects itself.
    assert found.comp.own == pytest.approx(found.comp.ceiling, **CLOSE)
    assert found.suff.own == pytest.approx(found.suff.ceiling, **CLOSE)
    assert found.score == pytest.approx(1)
    assert found.agreement == pytest.approx(1)
    assert (found.named, found.named_effect, found.right) == (pytest.approx(found.best), pytest.approx(1), 5)


@torch.no_grad()
def test_probabilities_are_the_models_own_and_it_goes_on_with_the_likeliest(made: Made) -> None:
    ids, tokenizer = torch.tensor([made.ids]), made.work.model.tokenizer
    assert made.file.given == ids.shape[1] == len(TEXT)
    for number, one in enumerate(made.file.explained):
        p_V = made.work.model.network(ids).logits[0, -1].double().softmax(0)
        top = p_V.topk(5)
        assert [guess.p for guess in one.prediction.top] == pytest.approx(top.values.tolist(), rel=1e-4)
        assert [guess.id for guess in one.prediction.top] == top.indices.tolist()
        assert one.prediction.entropy == pytest.approx(float(-(p_V * p_V.log()).sum()), rel=1e-4)
        assert one.full == pytest.approx(float(top.values[0].log()), rel=1e-4)
        assert one.position == ids.shape[1] - 1
        ids = torch.cat([ids, top.indices[None, :1]], 1)
        assert made.file.tokens[made.file.given + number] == tokenizer.decode(top.indices[:1])
    assert len(made.file.tokens) == made.file.given + 3
    assert made.one.model is None


@torch.no_grad()
def test_attribution_is_the_first_order_of_the_effect(made: Made) -> None:
    x_TD, code_F = made.state(made.ids)
    target = made.one.prediction.top[0].id
    for latent in made.one.latents:
        step = 1e-2
        moved_TD = x_TD.clone()
        moved_TD[-1] += step * made.work.dictionary.directions()[latent.index]
        back_TD = 2 * x_TD - moved_TD
        slope = (made.run_on(made.ids, moved_TD)[target] - made.run_on(made.ids, back_TD)[target]) / (2 * step)
        assert latent.attribution == pytest.approx(float(slope * code_F[latent.index]), rel=2e-2, abs=2e-3)


@torch.no_grad()
def test_a_decoders_prediction_is_its_own_and_stands_beside_the_models(decoded: Made) -> None:
    file, one, decoder = decoded.file, decoded.one, decoded.work.method
    assert isinstance(decoder, OverCodes)
    assert (file.whose, file.task["name"], file.dictionary["name"]) == ("decoder", "decode_gsm_symbolic", "batchtopk")
    x_TD, code_F = decoded.state(decoded.ids)
    said = Predictions(decoded.work.site)
    read = Read(x_TD[1:], torch.tensor(decoded.ids[1:]), torch.zeros(len(x_TD) - 1).long(), said.unembedding)
    logp_V = decoder.logp(read)[-1]
    assert len(logp_V) == 41
    assert one.full == pytest.approx(float(logp_V.max()), **CLOSE)
    assert [guess.p for guess in one.prediction.top] == pytest.approx(logp_V.exp().topk(5).values.tolist(), rel=1e-4)
    target = int(logp_V.argmax())
    for latent in one.latents:
        other_F = code_F.clone()
        other_F[latent.index] = 0
        lost = logp_V[target] - decoder.predict(other_F[None], said.unembedding)[0, target]
        assert latent.effect == pytest.approx(float(lost), **CLOSE)
        other_F[latent.index] = code_F[latent.index] * 1.01
        more = decoder.predict(other_F[None], said.unembedding)[0, target] - logp_V[target]
        assert latent.attribution == pytest.approx(float(more) * 100, rel=5e-2, abs=5e-4)
    nothing = decoder.predict(torch.zeros_like(code_F)[None], said.unembedding)[0, target]
    assert one.none == pytest.approx(float(nothing), **CLOSE)
    p_V = decoded.run_on(decoded.ids, x_TD).exp()
    assert one.model is not None
    assert [guess.p for guess in one.model.top] == pytest.approx(p_V.topk(5).values.tolist(), rel=1e-4)
    kept_K = said.classes.kept_K
    assert kept_K is not None
    for guess in one.prediction.top:
        beside = p_V[guess.id] if guess.id is not None else 1 - p_V[kept_K].sum()
        assert guess.beside == pytest.approx(float(beside), rel=1e-3)
        assert (guess.text is None) == (guess.id is None)


def test_an_explainer_is_held_against_the_effects(ranked: Made) -> None:
    file, one = ranked.file, ranked.one
    assert (file.whose, file.task_by_default, file.method["kind"]) == ("model", True, "explainer")
    # By activation alone every latent speaks for the prediction: those that speak against it are said wrongly.
    named = [part for part in one.sentence if isinstance(part, NamedLatent)]
    largest = sorted(one.latents, key=lambda latent: -abs(latent.activation))[:5]
    assert [part.latent for part in named] == [latent.index for latent in largest]
    assert all(latent.importance == pytest.approx(abs(latent.activation), rel=1e-4) for latent in one.latents)
    found = one.faithfulness
    assert found is not None
    assert found.right == sum((latent.effect > 0) for latent in largest)
    assert found.named == pytest.approx(sum(latent.share or 0 for latent in largest), abs=1e-4)
    total = sum(abs(latent.effect) for latent in one.latents[:5])
    assert found.named_effect == pytest.approx(sum(latent.effect for latent in largest) / total, abs=1e-4)
    assert found.score is not None
    assert found.score == pytest.approx((found.comp.own - found.comp.random) / (found.comp.ceiling - found.comp.random))


def labelled(made: Made, fit: str, folder: Path) -> Path:
    cell = made.work.dictionary_cell
    held = layer(made.work.group.task.layer, latents=64, fit=fit)
    features = [feature.model_copy(update={"label": label()}) for feature in held.features]
    file = feature_file(
        held.model_copy(update={"features": features}), method={"name": "batchtopk", "identity": cell.identity}
    )
    path = folder / "features" / "gsm_symbolic" / "batchtopk" / "seed0-x.json"
    save_features(path, file)
    return path


@torch.no_grad()
def test_labels_are_those_of_the_same_weights(ranked: Made, folder: Path) -> None:
    fit = ranked.work.dictionary_cell.fit
    path = labelled(ranked, fit, folder / "runs")
    path.with_suffix(".html").write_text("a page")
    shutil.copytree(cache_dir() / "fits" / fit, cache_dir() / "fits" / "elsewhere")
    for name, there in ((fit, True), ("elsewhere", True), ("unheard-of", False)):
        labelled(ranked, name, folder / "runs")
        file = ranked.call.explain(silent, "test")
        assert (file.explained[0].latents[0].label is not None) == there
        assert (file.labels.source is not None) == there
        assert (file.labels.command is None) == there
        if there:
            assert file.labels.page == "../../../features/gsm_symbolic/batchtopk/seed0-x.html"
            assert (ranked.call.data_path.parent / file.labels.page).resolve().read_text() == "a page"
    words = str(file.labels.command).split()
    assert words[:5] == ["harness", "features", "batchtopk", "--task", "gsm_symbolic"]
    shutil.rmtree(folder / "runs" / "features")


def test_the_command_prints_and_writes_the_same(
    folder: Path, ranked: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", "--method", "rank_activation", "--text", TEXT, *WORDS, "--output-path", str(folder / "runs")]
    answer = call(capsys, *words, "--json")
    assert answer.code == 0, answer.err
    page, text, data = (Path(path) for path in answer.json["files"])
    assert data == ranked.call.data_path
    held = json.loads(data.read_text())
    assert {key: value for key, value in answer.json.items() if key != "files"} == held
    assert held["explained"] == ranked.file.model_dump(mode="json")["explained"]
    assert ExplainedFile.model_validate(held).explained == ranked.file.explained
    assert page.read_text().startswith("<!doctype html>")
    printed = call(capsys, *words).out
    one = ranked.one
    for said in (
        "After “?”, the language model predicts “",
        "It predicts this mainly because of latent ",
        "by default",
    ):
        assert said in printed
        assert said in text.read_text() or said == "by default"
    rows = [line.split("\t") for line in printed.splitlines() if line.count("\t") == 6]
    assert [row[0] for row in rows[1:]] == [str(latent.index) for latent in one.latents]


ALONE = ["explain", "--text", TEXT, "--method"]
WRONG = {
    "no text": (["explain", "--method", "topk"], "missing option '--text'"),
    "empty": (["explain", "--method", "topk", "--text", " \n"], "--text: it is empty"),
    "bytes": (["explain", "--method", "topk", "--text", "17 \udcff 3"], "--text: character 4 is none: these bytes"),
    "method": ([*ALONE, "topkk"], "unknown method 'topkk'. Did you mean 'topk'?"),
    "methods": ([*ALONE, "topk,pca"], "--method: one method explains at a time, got 'topk,pca'"),
    "probe": ([*ALONE, "raw_lr"], "--method: 'raw_lr' is an error_probe, which explains no prediction"),
    "derived": ([*ALONE, "permuted_decoder"], "is a control of other methods, which explains no prediction"),
    "task": ([*ALONE, "topk", "--task", "gsm_symbolc"], "unknown task 'gsm_symbolc'. Did you mean 'gsm_symbolic'?"),
    "other track": ([*ALONE, "rank_random", "--task", "gsm_symbolic"], "takes dictionary"),
    "no model": ([*ALONE, "topk", "--task", "world_small"], "'world_small' runs no language model, so it reads no"),
    "steps": ([*ALONE, "topk", "--task", "reasoning_gym_cot_steps"], "meet the means of steps and not tokens"),
    "tokens": ([*ALONE, "topk", "--tokens", "0"], "--tokens: 1 to 64 tokens can be explained, got 0"),
    "seeds": ([*ALONE, "topk", "--seeds", "0,1"], "--seeds: an explanation has one, got 0, 1"),
    "run": ([*ALONE, "topk", "--run", "nowhere"], "--run: 'nowhere' holds no results"),
    "lens": ([*ALONE, "logit_lens", *WORDS, "--set", "vocab.top=40"], "predicts from more than the codes of a dict"),
    "long": (["explain", "--method", "topk", "--text", "x" * 49, *WORDS], "--text: more than 48 tokens; methods of"),
    "room": (["explain", "--method", "topk", "--text", "x" * 47, "--tokens=3", *WORDS], "leave room for 46"),
    "one token": (["explain", "--method", "topk", "--text", "x", *WORDS], "1 token(s), of which the last has no code"),
    "chat": (["explain", "--method", "topk", "--text", "x", "--chat", *WORDS], "'tiny-random' has no chat template"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_mistakes_are_one_line_and_exit_2(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, said = WRONG[case]
    answer = call(capsys, *words)
    assert answer.code == 2, answer.err
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_a_decoder_that_a_reward_trained_is_explained_by_its_own_codes(folder: Path) -> None:
    sets = {**SETS, "vocab.top": "40", "params.ppo.updates": "1"}
    found = make("sparse_decoder_rl", folder, Text(TEXT), sets)
    assert found.file.whose == "decoder"
    (one,) = found.file.explained
    assert one.latents
    assert any(latent.effect for latent in one.latents)


def test_a_fitting_task_needs_no_download() -> None:
    library = Library()
    for method, wanted in (("topk", "gsm_symbolic"), ("rank_random", "explain_gsm_symbolic"),
                           ("sparse_decoder", "decode_gsm_symbolic")):  # fmt: skip
        assert fitting_task(library, library.method(method)) == wanted
        # All three fit their dictionary on the same tokens.
        assert features_task(library, library.task(wanted)) == "gsm_symbolic"
    assert features_task(library, library.task("squad")) == "squad"


@torch.no_grad()
def test_a_silent_dictionary_explains_nothing_and_says_so(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_self: Any, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        return torch.zeros(len(x_ND), 64)

    assert isinstance(made.work.dictionary, Dictionary)
    monkeypatch.setattr(type(made.work.dictionary), "encode", nothing)
    one, _ = made.work.explain(made.ids, {})
    assert (one.latents, one.faithfulness) == ([], None)
    assert one.full == pytest.approx(one.none, rel=1e-5)
    assert one.sentence == ["No latent speaks for it or against it."]
    monkeypatch.setattr(type(made.work.dictionary), "encode", lambda _self, x_ND, doc_N: torch.zeros(len(x_ND), 63))
    with pytest.raises(UserError, match="method 'topk': encode"):
        made.work.explain_all(made.ids, 1, {})
