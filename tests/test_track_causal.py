"""Causal entry of error probes: an effect that was planted is found at its size, and one that is not there is not."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_tasks import write_rows
from numpy.typing import NDArray
from running import PLUGINS, values
from sklearn.metrics import roc_auc_score
from test_track_errors import TASK, content, record

from harness.api import Answers, Features, Setting, silent
from harness.data.rows import load_corpus
from harness.lm.blocks import hidden_of, hooked, with_hidden
from harness.lm.info import Identity
from harness.lm.loading import LoadOptions
from harness.lm.model import LanguageModel
from harness.lm.tiny import tiny_model, tiny_tokenizer
from harness.metrics.causal import WHY
from harness.metrics.contract import Array, get_metric
from harness.registry import build_method
from harness.run.evaluate import evaluate
from harness.specs.identity import Origin
from harness.specs.library import Library
from harness.specs.resolve import Overrides, resolve
from harness.tracks.ablation import Edits, changes
from harness.tracks.answer_reader import AnswerReader
from harness.tracks.causal import Bounds, Refused, causal_details, causal_parts, choose, deltas
from harness.tracks.contract import Group, Resources
from harness.tracks.folds import Judged, fold_parts, judged
from harness.training.logistic import OUTER

RIGHT, WRONG = "ijkl", "nopq"
SIZE = 2.0
BOUNDS = Bounds(top=1, draws=4, answers=6)


def planted(readout: float) -> LanguageModel:
    """Return a model whose blocks hand on what they get: the embedding, of which dimension 0 tells a wrong letter.

    The letter ``X`` is predicted from that dimension, as strongly as ``readout`` says, and no other one is.
    """
    network = tiny_model()
    with torch.no_grad():
        for block in network.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
        network.model.embed_tokens.weight[:, 0] = 0.0
        for sign, letters in ((1, WRONG), (-1, RIGHT)):
            for i, letter in enumerate(letters):
                network.model.embed_tokens.weight[ord(letter), 0] = sign * (SIZE + 0.01 * i)
        network.lm_head.weight[:, 0] = 0.0
        network.lm_head.weight[ord("X"), 0] = readout
    return LanguageModel(network, tiny_tokenizer(), Identity("tiny-random", "planted", "none", "float32"))


def reader(folder: Path, model: LanguageModel | None, positions: str = "{prompt: true, first: 2}") -> AnswerReader:
    """Return 60 answers to 30 problems: a letter of its class, then ``X`` and a digit."""
    draw = random.Random(4)
    rows: list[dict[str, Any]] = []
    for number in range(30):
        row: dict[str, Any] = {"problem": str(number)}
        for author in ("ann", "bob"):
            right = draw.random() < 0.5
            row[author] = {"right": right, "said": f"{draw.choice(RIGHT if right else WRONG)}X{draw.randint(0, 9)}"}
        rows.append(row)
    (folder / "tasks").mkdir(exist_ok=True, parents=True)
    text = TASK.format(path=write_rows(folder / "data" / "test.jsonl", rows), tokens=9999, more="", metrics="auroc")
    text = text.replace("{prompt: true, first: 2, even: 0}", positions)
    (folder / "tasks" / "sums.yaml").write_text(text, encoding="utf-8")
    task = resolve(Library([folder]), "sums", Overrides(), None, lambda _: 2)
    corpus = load_corpus(task.spec)
    held = {} if model is None else {"tiny-random": model}
    resources = Resources(folder / "cache", LoadOptions(), 64, silent, held)
    return AnswerReader(Group(task, corpus, corpus, Origin("m", "float32", "d"), frozenset()), resources)


def items_of(one: AnswerReader) -> Judged:
    documents = [one.documents[taken.document] for taken in one.taken.sequences]
    y_n = np.array([d.label != "right" for d in documents], dtype=np.int64)
    return judged(y_n, np.unique([d.group for d in documents], return_inverse=True)[1].astype(np.int64))


def ablated(one: AnswerReader, features: Features, items: Judged, bounds: Bounds = BOUNDS) -> dict[str, Array]:
    """Return the parts of all folds, as the track puts them together."""
    folds = [causal_parts(one, features, items, fold, bounds) for fold in range(OUTER)]
    return {"n": np.bincount(items.group_n).astype(float)} | {
        name: np.concatenate([fold[name] for fold in folds]) for name in folds[0]
    }


def measured(parts: Mapping[str, Array]) -> tuple[float, float]:
    (shift, why), (times, why_not) = (get_metric(name).point(parts) for name in ("causal_shift", "causal_over_random"))
    assert shift is not None, why
    assert times is not None, why_not
    return shift, times


def closed_form(model: LanguageModel, letter: int, a: float) -> float:
    """Return what setting dimension 0 to ``a`` does to log p(X) after a letter: logits are ``W x / rms(x)``."""
    x_D = model.network.get_input_embeddings().weight[letter].double().numpy()
    head_VD = model.network.get_output_embeddings().weight.double().numpy()

    def logp(x_D: NDArray[np.float64]) -> float:
        logits_V = head_VD @ (x_D / np.sqrt((x_D**2).mean() + model.network.config.rms_norm_eps))
        return float(logits_V[ord("X")] - np.log(np.exp(logits_V).sum()))

    return logp(np.concatenate([[a], x_D[1:]])) - logp(x_D)


def test_a_planted_effect_has_its_closed_form_and_random_features_have_little(tmp_path: Path) -> None:
    model = planted(readout=2.0)
    one = reader(tmp_path, model)
    items, features = items_of(one), one.answers.raw()
    parts = ablated(one, features, items)
    for row, found in zip(parts["causal_index"].astype(int), parts["causal_top"], strict=True):
        others = (items.fold_n != items.fold_n[row]) & (items.y_n == 0)
        a = one.answers.activation_nLPD[others, 0, 2, 0].astype(np.float64).mean()
        # Of the two tokens that follow the letter, the second does not see it.
        expected = closed_form(model, one.taken.sequences[row].ids[-3], a) / 2
        # 1e-5: the model computes logits in float32
        assert found == pytest.approx(expected, abs=1e-5)
        assert expected < -0.3 or items.y_n[row] == 0
    shift, times = measured(parts)
    wrong = parts["causal_y"] > 0
    spared = parts["causal_top"][~wrong].mean() - parts["causal_top"][wrong].mean()
    assert shift == pytest.approx(spared, abs=0.15)
    assert shift > 0.3
    assert times > 3


def test_a_feature_that_predicts_and_is_not_used_has_no_effect(tmp_path: Path) -> None:
    one = reader(tmp_path, planted(readout=0.0))
    items, features = items_of(one), one.answers.raw()
    parts = ablated(one, features, items)
    assert np.abs(parts["causal_top"]).max() < 5e-3
    found = Library().method("raw_lr")
    probe = build_method(found, found.spec.params, Setting(64, 0, 0, 0))
    fold = fold_parts(probe, features, items, 0)
    assert roc_auc_score(items.y_n[items.fold_n == 0], fold["item_p"]) == 1.0


def test_labels_that_mean_nothing_have_no_causal_features(tmp_path: Path) -> None:
    one = reader(tmp_path, planted(readout=2.0))
    true = items_of(one)
    found = []
    for seed in range(3):
        y_n = np.random.default_rng(seed).permutation(true.y_n)
        found.append(measured(ablated(one, one.answers.raw(), judged(y_n, true.group_n)))[0])
    planted_shift, _ = measured(ablated(one, one.answers.raw(), true))
    assert abs(np.mean(found)) < planted_shift / 3


def test_changes_are_those_of_one_answer_at_a_time_under_a_naive_hook(tmp_path: Path) -> None:
    one = reader(tmp_path, None)
    rows = np.array([3, 11, 40])
    delta_SmPD = np.random.default_rng(0).normal(size=(2, 3, 3, 64)).astype(np.float32)
    delta_SmPD[:, :, 0] = 0
    found_mS = changes(one, rows, Edits(0, (1, 2), delta_SmPD))
    network = one.model.network

    def own(row: int, delta_TD: torch.Tensor) -> float:
        taken = one.taken.sequences[row]
        ids = torch.tensor([taken.ids])

        def hook(_module: Any, _args: Any, output: Any) -> Any:
            return with_hidden(output, hidden_of(output) + delta_TD)

        with torch.no_grad(), hooked([(one.model.blocks[0], hook)]):
            logp_TV = network(input_ids=ids, use_cache=False).logits[0].double().log_softmax(-1)
        later = range(taken.at[1] + 1, len(taken.ids))
        return float(np.mean([float(logp_TV[t - 1, taken.ids[t]]) for t in later]))

    for i, row in enumerate(rows):
        taken = one.taken.sequences[row]
        clean = own(row, torch.zeros(len(taken.ids), 64))
        for s in range(2):
            delta_TD = torch.zeros(len(taken.ids), 64)
            delta_TD[list(taken.at)] = torch.from_numpy(delta_SmPD[s, i])
            assert found_mS[i, s] == pytest.approx(own(row, delta_TD) - clean, abs=1e-5)
    assert (changes(one, rows, Edits(0, (0, 2), np.zeros_like(delta_SmPD))) == 0).all()


def toy(features: int, blocks: int = 2, positions: int = 2, answers: int = 80) -> tuple[Features, NDArray[np.int64]]:
    """Return features with a direction of their own each, of which number 3 (block 0, position 1) tells the class."""
    draw = np.random.default_rng(1)
    y_n = np.arange(answers) % 2
    value_nF = draw.normal(size=(answers, features))
    value_nF[:, 3] += 2 * y_n
    direction_FD = draw.normal(size=(features, 5)).astype(np.float32)
    block_F = np.arange(features, dtype=np.int64) % (blocks * positions)
    block_F[3] = 1
    return Features(value_nF, block_F, lambda index_k: direction_FD[index_k]), y_n


def test_the_features_that_tell_most_are_chosen_and_others_of_their_positions_drawn() -> None:
    features, y_n = toy(40)
    later_nP = np.ones((80, 2), dtype=bool)
    train_n = np.arange(80) < 60
    chosen = choose(features, y_n, train_n, later_nP, Bounds(top=3, draws=4), 0)
    assert chosen.block == 0
    assert chosen.index_Sk[0, 0] == 3
    for index_k in chosen.index_Sk:
        assert (features.block_F[index_k] == chosen.at_k).all()
        assert len(set(index_k)) == 3
    assert not set(chosen.index_Sk[0]) & set(chosen.index_Sk[1:].ravel())
    # Answers of this fold have no say.
    changed = features.value_nF.copy()
    changed[60:] = 99.0
    again = choose(Features(changed, features.block_F, features.direction), y_n, train_n, later_nP, Bounds(3, 4), 0)
    assert (again.index_Sk == chosen.index_Sk).all()


def test_features_after_which_nothing_follows_are_left_out() -> None:
    features, y_n = toy(40)
    later_nP = np.tile([True, False], (80, 1))
    chosen = choose(features, y_n, np.ones(80, dtype=bool), later_nP, Bounds(top=3, draws=2), 0)
    assert (chosen.at_k == 0).all()


def test_edits_take_the_excess_over_right_answers_away_and_random_ones_are_as_large() -> None:
    features, y_n = toy(40)
    later_nP = np.ones((80, 2), dtype=bool)
    chosen = choose(features, y_n, np.ones(80, dtype=bool), later_nP, Bounds(top=4, draws=3), 0)
    a_F, rows = features.value_nF[y_n == 0].mean(0), np.array([2, 5, 7])
    delta_SmPD = deltas(features, chosen, rows, a_F, 2)
    assert features.direction is not None
    for m, row in enumerate(rows):
        for position in (0, 1):
            expected_D = np.zeros(5)
            for index in chosen.index_Sk[0]:
                if features.block_F[index] % 2 == position:
                    over = features.value_nF[row, index] - a_F[index]
                    expected_D -= over * features.direction(np.array([index]))[0]
            assert delta_SmPD[0, m, position] == pytest.approx(expected_D, abs=1e-5)
            norms = np.linalg.norm(delta_SmPD[:, m, position], axis=-1)
            assert norms == pytest.approx(norms[0], rel=1e-5)


@pytest.mark.parametrize(
    ("features", "later", "why"),
    [
        (Features(np.ones((80, 4)), np.full(4, -1)), True, 1),
        (Features(toy(40)[0].value_nF, toy(40)[0].block_F), True, 1),
        (toy(40)[0], False, 2),
        (toy(12)[0], True, 3),
        (Features(np.ones((80, 40)), toy(40)[0].block_F, toy(40)[0].direction), True, 3),
    ],
)
def test_what_cannot_be_ablated_says_why(features: Features, later: bool, why: int) -> None:
    later_nP = np.full((80, 2), later)
    with pytest.raises(Refused) as refused:
        choose(features, toy(40)[1], np.ones(80, dtype=bool), later_nP, Bounds(top=4, draws=2), 0)
    assert refused.value.why == why


def test_positions_that_end_the_answer_give_a_reason_instead_of_a_number(tmp_path: Path) -> None:
    one = reader(tmp_path, None, "{prompt: false, first: 0, even: 1}")
    folds = [causal_parts(one, one.answers.raw(), items_of(one), fold) for fold in range(OUTER)]
    parts = {name: np.concatenate([fold[name] for fold in folds]) for name in folds[0]} | {"n": np.ones(30)}
    for name in ("causal_shift", "causal_over_random"):
        assert get_metric(name).point(parts) == (None, WHY[2])
    assert causal_details(folds) == {}


def test_metrics_by_hand_and_under_weights() -> None:
    parts = {
        "n": np.ones(3),
        "causal_y": np.array([1, 0, 1, 0.0]),
        "causal_cluster": np.array([0, 0, 1, 2.0]),
        "causal_top": np.array([-4.0, -1.0, -2.0, 0.0]),
        "causal_random": np.array([[-1.0, 0.0], [0.0, 0.0], [0.0, -1.0], [-1.0, 0.0]]),
        "causal_why": np.zeros(5),
    }
    # D(top) = -0.5 + 3; D of the draws: -0.5 + 0.5 and 0 + 0.5.
    shift, times = measured(parts)
    assert shift == pytest.approx(2.5 - 0.25)
    assert times == pytest.approx(2.5 / 0.5)
    w_RC = np.array([[1.0, 1.0, 1.0], [2.0, 1.0, 0.0]])
    # Cluster 0 twice: right -1, wrong (-4 - 4 - 2) / 3; draws: wrong (-2 / 3, -1 / 3), right 0.
    found = get_metric("causal_shift").value(parts, w_RC)
    assert found == pytest.approx([2.25, -1 + 10 / 3 - 0.5])
    alone = get_metric("causal_shift").value(parts, np.array([[0.0, 1.0, 0.0]]))
    assert np.isnan(alone).all()
    assert get_metric("causal_shift").point(parts | {"causal_y": np.ones(4)}) == (None, WHY[4])


def test_records_hold_both_scores_apart_and_a_reason_where_there_is_no_direction(tmp_path: Path, cache: Path) -> None:
    predictive = "auroc, brier"
    asked = content(tmp_path, 30, metrics=f"{predictive}, causal_shift, causal_over_random")
    both = evaluate("toy_means,majority", "sums", tmp_path / "both", include_path=[asked, PLUGINS], controls=False)
    fewer = content(tmp_path, 30, metrics=predictive)
    plain = evaluate("toy_means", "sums", tmp_path / "plain", include_path=[fewer, PLUGINS], controls=False)
    found, without = record(both, "toy_means"), record(plain, "toy_means")
    assert {name: values(found)[name] for name in ("auroc", "brier")} == values(without)
    assert values(found)["causal_shift"] is not None
    assert found.metrics["causal_shift"].interval is not None
    assert found.details["ablated answers"] > 0
    cell = record(both, "majority").metrics["causal_shift"]
    assert (cell.value, cell.reason) == (None, WHY[1])


def test_directions_of_raw_features_put_an_activation_together_again() -> None:
    x_nLPD = np.random.default_rng(2).normal(size=(3, 2, 2, 7)).astype(np.float32)
    answers = Answers(("",) * 3, ("",) * 3, (None,) * 3, x_nLPD, np.zeros((3, 4)), (0, 1), ("a", "b"))
    features = answers.raw()
    assert features.direction is not None
    for block in range(4):
        index = np.flatnonzero(features.block_F == block)
        made_nD = features.value_nF[:, index] @ features.direction(index)
        assert np.array_equal(made_nD, x_nLPD.reshape(3, 4, 7)[:, block])
