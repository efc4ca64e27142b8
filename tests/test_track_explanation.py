"""Track ``explanation`` and the runs below it, against the plain model run again from every changed activation."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import call
from running import record_of, values
from torch import Tensor

import harness
from harness.api import Predictions, Setting
from harness.data.tokens import TokenBatch
from harness.run.engine import Outcome
from harness.run.evaluate import evaluate, prepare
from harness.run.fitting import Fitter
from harness.run.tracks import make_track
from harness.store.records import load_record
from harness.testing.explainers import PositiveParts
from harness.tracks.explanation import Explanation
from harness.tracks.importance import Chosen, Importance, choose

TASK = """\
task: explain_sums
version: 1
title: Predictions in small sums
track: explanation
model: tiny-random
data: {source: reasoning_gym, name: chain_sum, size: 60, seed: 1, group: question,
  splits: {train: 0.5, val: 0.2, test: 0.3}}
text: "{{ question[-28:] }} {{ answer }}"
site: {layer: 0}
budget: {train_tokens: 600, val_tokens: 200, passes: 2, latents: 64, l0: 8, context: 48, test_tokens: 500}
explanation: {predictions: 24, train_predictions: 30}
metrics: [faithfulness, comp, comp_random, comp_ceiling, suff, cpr, cmd, importance_agreement, named_effect, named_hit,
  sentence_length, topk_mass10, topk_mass10_uniform, importance_gini, importance_n_eff]
controls: {ceiling: [rank_ablation], floor: [rank_random]}
seeds: [0]
"""
BAD = '''\
"""Breaks the contract at one prediction."""

from dataclasses import dataclass

from harness.api import Named
from harness.training.ranking import Ranking


class Silent(Ranking):
    """Names a latent that is silent."""

    @dataclass(frozen=True)
    class Params:
        """None."""

    def importance(self, asked):
        return asked.code_nF

    def sentences(self, asked):
        return [(Named(int((code_F == 0).nonzero()[0]), True),) for code_F in asked.code_nF]
'''
BAD_YAML = """\
method: silent
title: Names what is silent
kind: explainer
code: silent.py:Silent
source: test
uses: {dictionary: batchtopk}
seeded: false
"""


@pytest.fixture(scope="module")
def include(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("content")
    for name, text in {
        "tasks/explain_sums.yaml": TASK,
        "methods/silent.py": BAD,
        "methods/silent.yaml": BAD_YAML,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def kept_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def shared_cache(kept_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the file: its fits are the same."""
    monkeypatch.setenv("HARNESS_CACHE", str(kept_cache))


def run(folder: Path, include: Path, **options: Any) -> Outcome:
    methods = options.pop("method", "rank_attribution,rank_ig,rank_activation")
    return evaluate(methods, "explain_sums", folder, include_path=[include], **options)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, include: Path, kept_cache: Path) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(kept_cache))
        return folder, run(folder, include)


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory, include: Path, kept_cache: Path) -> Explanation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(kept_cache))
        given: Any = {"include_path": [include], "controls": False}
        call = prepare(["rank_attribution"], "explain_sums", tmp_path_factory.mktemp("plan"), given)
        made = make_track(call.groups[-1], call.resources(harness.api.silent))
    assert isinstance(made, Explanation)
    return made


@pytest.fixture(scope="module")
def asked(track: Explanation) -> tuple[Importance, Chosen, Predictions]:
    """Some predictions over a dictionary whose codes are positive parts of the activations."""
    number, at = track.places[0]
    chosen = track.importance.read(track.site.test.batches[number], at)
    dictionary = PositiveParts(Setting(track.width, track.width, 4, 0))
    dictionary.encode = lambda x_ND, doc_N: (x_ND - x_ND.mean()).relu()  # type: ignore[method-assign]
    return track.importance, chosen, track.importance.predictions(chosen, dictionary)


@torch.no_grad()
def naive(importance: Importance, chosen: Chosen, n: int, last_D: Tensor) -> Tensor:
    """Return all log-probabilities after the whole sequence is run on, its padding too, from one changed activation."""
    row, t = chosen.at[n]
    batch, model = chosen.batch, importance.model
    changed_1TD = chosen.x_BTD[row : row + 1].clone()
    changed_1TD[0, t] = last_D
    layer = importance.site.task.layer
    final_1TD = model.resume(batch.ids_BT[row : row + 1], batch.mask_BT[row : row + 1], layer, changed_1TD)
    return model.logits(final_1TD[0, t : t + 1]).log_softmax(1)[0]


def test_what_is_explained_is_what_the_model_predicts(asked: tuple[Importance, Chosen, Predictions]) -> None:
    importance, chosen, predictions = asked
    for n, (row, t) in enumerate(chosen.at):
        logp_V = naive(importance, chosen, n, chosen.x_BTD[row, t])
        assert int(predictions.id_n[n]) == int(logp_V.argmax())
        assert float(predictions.value_n[n]) == pytest.approx(float(logp_V.max()), abs=1e-5)


def test_ablations_equal_a_run_of_the_whole_sequence_for_each_latent(
    asked: tuple[Importance, Chosen, Predictions],
) -> None:
    importance, chosen, predictions = asked
    found_nF = predictions.ablated()
    assert bool((found_nF[predictions.code_nF == 0] == 0).all())
    for n, (row, t) in enumerate(chosen.at[:3]):
        for latent in torch.nonzero(predictions.code_nF[n]).flatten().tolist()[:6]:
            changed_D = chosen.x_BTD[row, t] - predictions.code_nF[n, latent] * predictions.direction_FD[latent]
            after = float(naive(importance, chosen, n, changed_D)[predictions.id_n[n]])
            assert float(found_nF[n, latent]) == pytest.approx(float(predictions.value_n[n]) - after, abs=2e-5)


def test_slopes_equal_differences(asked: tuple[Importance, Chosen, Predictions]) -> None:
    importance, chosen, predictions = asked
    slope_nF, step = predictions.slope(0), 1e-2
    for n, (row, t) in enumerate(chosen.at[:3]):
        for latent in range(0, slope_nF.shape[1], 7):
            more_D = step * predictions.direction_FD[latent]
            up, down = (
                float(naive(importance, chosen, n, chosen.x_BTD[row, t] + sign * more_D)[predictions.id_n[n]])
                for sign in (1, -1)
            )
            assert float(slope_nF[n, latent]) == pytest.approx((up - down) / (2 * step), abs=2e-3)


def test_integrated_gradients_add_up_to_what_all_latents_do(asked: tuple[Importance, Chosen, Predictions]) -> None:
    importance, chosen, predictions = asked
    worth_n = (predictions.code_nF * predictions.slope(200)).sum(1)
    first_n = (predictions.code_nF * predictions.slope(0)).sum(1)
    lost_n = torch.zeros(len(predictions))
    for n, (row, t) in enumerate(chosen.at):
        none_D = chosen.x_BTD[row, t] - predictions.code_nF[n] @ predictions.direction_FD
        lost_n[n] = predictions.value_n[n] - naive(importance, chosen, n, none_D)[predictions.id_n[n]]
    torch.testing.assert_close(worth_n, lost_n, rtol=0, atol=1e-3)
    assert float((first_n - lost_n).abs().mean()) > 10 * float((worth_n - lost_n).abs().mean())


def test_slopes_of_all_predictions_take_one_backward_pass_for_each_point_of_the_path(
    asked: tuple[Importance, Chosen, Predictions], monkeypatch: pytest.MonkeyPatch
) -> None:
    importance, chosen, predictions = asked
    passes = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *given: (passes.append(1), grad(*given))[1])
    again = replace(chosen)
    dictionary = PositiveParts(Setting(predictions.code_nF.shape[1], 1, 1, 0))
    fresh = importance.predictions(again, dictionary)
    fresh.slope(0)
    fresh.slope(0)
    assert len(passes) == 1
    fresh.slope(10)
    assert len(passes) == 1 + 10


def test_predictions_are_the_same_however_sequences_are_batched(track: Explanation) -> None:
    batches = track.site.test.batches
    alone = [_row(batch, row) for batch in batches for row in range(len(batch.ids_BT))]
    for wanted in (5, 30, 10**6):
        one = [(_ids(batches[i], row), t) for i, at in enumerate(choose(batches, wanted, 0)) for row, t in at]
        other = [(_ids(alone[i], row), t) for i, at in enumerate(choose(alone, wanted, 0)) for row, t in at]
        assert sorted(one) == sorted(other)
        kept = sum(int(batch.keep_BT.sum()) for batch in batches)
        assert len(set(one)) == len(one) == min(wanted, kept)
        counts = [sum(ids == _ids(b, 0) for ids, _ in other) for b in alone]
        assert wanted > 30 or max(counts) - min(counts) <= 1
    assert choose(batches, 5, 0) != choose(batches, 5, 1)


def _row(batch: TokenBatch, row: int) -> TokenBatch:
    length = int(batch.mask_BT[row].sum())
    return replace(batch, ids_BT=batch.ids_BT[row : row + 1, :length], keep_BT=batch.keep_BT[row : row + 1, :length])


def _ids(batch: TokenBatch, row: int) -> tuple[int, ...]:
    kept = batch.keep_BT[row]
    return tuple(batch.ids_BT[row][: int(torch.nonzero(kept).max()) + 1].tolist())


def test_the_order_by_exact_ablation_is_the_ceiling_itself(outcome: tuple[Path, Outcome]) -> None:
    found = values(record_of(outcome[1], "rank_ablation"))
    assert found["faithfulness"] == 1
    assert found["comp"] == found["comp_ceiling"]
    assert found["importance_agreement"] == found["named_effect"] == found["named_hit"] == pytest.approx(1)


def test_methods_over_one_dictionary_share_what_does_not_depend_on_them(outcome: tuple[Path, Outcome]) -> None:
    records = [stored.record for stored in outcome[1].records]
    assert len(records) == 5
    for name in ("comp_random", "comp_ceiling", "topk_mass10_uniform"):
        assert len({record.metrics[name].value for record in records}) == 1
    assert {record.details["predictions"] for record in records} == {24}
    attribution = values(record_of(outcome[1], "rank_attribution"))
    random = values(record_of(outcome[1], "rank_random"))
    assert attribution["faithfulness"] is not None
    assert random["faithfulness"] is not None
    assert attribution["faithfulness"] > 0.5 > random["faithfulness"]


def test_a_value_of_the_record_is_what_the_plain_model_gives(
    outcome: tuple[Path, Outcome], include: Path, track: Explanation, tmp_path: Path
) -> None:
    """``comp`` of the ranking by activation, over every prediction, from runs of whole sequences."""
    given: Any = {"include_path": [include], "controls": False}
    (group,) = prepare(["rank_activation"], "explain_sums", tmp_path, given).groups
    method = Fitter(track, track.resources.cache / "fits").fit(group.cells[0]).method
    dictionary = method.dictionary  # type: ignore[attr-defined]
    total, count = 0.0, 0
    for number, at in track.places:
        chosen = track.importance.read(track.site.test.batches[number], at)
        code_nF = chosen.codes(dictionary)
        for n, (row, t) in enumerate(chosen.at):
            folded = (code_nF[n].abs() * dictionary.directions().norm(dim=1)).tolist()
            ranked = sorted((latent for latent, size in enumerate(folded) if size), key=lambda i: -folded[i])
            lost = []
            for percent in (1, 5, 10, 20, 50):
                first = ranked[: max(1, int(np.ceil(percent * len(ranked) / 100 - 1e-9)))]
                changed_D = chosen.x_BTD[row, t] - code_nF[n, first] @ dictionary.directions()[first]
                id = chosen.points[n].id
                lost.append(chosen.points[n].value - float(naive(track.importance, chosen, n, changed_D)[id]))
            total, count = total + float(np.mean(lost)), count + 1
    assert values(record_of(outcome[1], "rank_activation"))["comp"] == pytest.approx(total / count, abs=1e-5)


def test_what_breaks_the_contract_fails_alone(tmp_path: Path, include: Path) -> None:
    found = run(tmp_path, include, method="silent,rank_activation", controls=False)
    (failed,) = found.failed
    assert failed.record.method.name.startswith("silent")
    assert "is not active in the prediction" in str(failed.record.reason)
    assert values(record_of(found, "rank_activation"))["comp"] is not None


def test_a_method_may_learn_from_predictions_of_the_train_split(track: Explanation) -> None:
    dictionary = PositiveParts(Setting(track.width, track.width, 4, 0))
    learned = track.train().extra["predictions"](dictionary)
    assert len(learned) == 30
    assert learned.slope(0).shape == learned.ablated().shape == learned.code_nF.shape
    assert learned.value_n.shape == learned.id_n.shape == (30,)


def test_other_commands_read_its_records(
    outcome: tuple[Path, Outcome], include: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = outcome[0]
    harness.write_pages(harness.load_board(folder), tmp_path / "board", folder)
    (table,) = json.loads((tmp_path / "board" / "board.json").read_text())["tables"]
    assert {row["method"] for row in table["rows"]} >= {"rank_attribution", "rank_ig", "rank_activation"}
    (compared,) = harness.compare("rank_attribution", "rank_activation", folder).tables
    assert "faithfulness" in {one.metric for one in compared.metrics}
    shutil.copytree(folder, tmp_path / "again")
    assert harness.gate(tmp_path / "again", folder).verdict == "pass"
    record = next(path for path in sorted((folder / "results").rglob("*.json")) if "rank_attribution" in str(path))
    assert load_record(record).record.metrics["faithfulness"].lo is not None
    words = ("--include-path", str(include), "--records-only", "--output-path", str(tmp_path / "audit"))
    done = call(capsys, "audit", "explain_sums", "--run", str(folder), *words)
    assert (done.code, "faithfulness" in done.out) == (0, True), done.err


@pytest.mark.parametrize(
    ("method", "task", "sets", "said"),
    [
        ("topk", "explain_gsm_symbolic", "", "takes explainer. Methods that fit: explanation_decoder"),
        ("rank_ig", "gsm_symbolic", "", "'rank_ig' is an explainer; task 'gsm_symbolic'"),
        ("rank_ig", "explain_gsm_symbolic", "explanation=null", "track 'explanation' needs 'explanation': how many"),
        (
            "topk",
            "gsm_symbolic",
            "explanation.predictions=5",
            "'explanation' is not used by track 'recon",
        ),
        ("rank_ig", "explain_gsm_symbolic", "explanation.predictions=0", "'explanation.predictions': input should be"),
        ("rank_ig", "explain_gsm_symbolic", "metrics=[fvu]", "unknown metric of track 'explanation'"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_runs(
    method: str, task: str, sets: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", sets] if sets else []
    answer = call(capsys, "eval", "--method", method, "--task", task, *words, "--plan")
    assert answer.code == 2
    assert said in answer.err
