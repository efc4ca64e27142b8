"""Track ``reward_control``: the pattern of its arms where the best policy is known, and the way from YAML to page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bandits import Lesson
from commands import call
from torch import Tensor

import harness
from harness.api import ARMS
from harness.run.evaluate import evaluate
from harness.specs.library import Library
from harness.specs.worlds import BanditData
from harness.store.records import load_record

WORLD = BanditData(source="bandit", states=16, actions=32, seed=0)
SMALL = {"params.ppo.updates": "4", "params.ppo.batch": "64", "data.states": "5"}
TEXT = {
    "vocab.top": 50,
    "budget.latents": 64,
    "budget.l0": 8,
    "budget.train_tokens": 600,
    "budget.val_tokens": 300,
    "budget.test_tokens": 300,
    "params.ppo.updates": 3,
    "params.ppo.batch": 64,
}


def ratios(beta: float, anchor_SA: Tensor | None = None) -> dict[str, float]:
    """Return the divergence each arm ends at over that of the start."""
    lesson = Lesson(WORLD)
    before = lesson.distance(lesson.truth()[1])
    arms = ("true", "random", "shuffled", "zero")
    return {arm: lesson.distance(lesson.learn(arm, beta, anchor_SA=anchor_SA)[0]) / before for arm in arms}


def test_without_a_penalty_random_rewards_lead_away() -> None:
    found = ratios(0.0)
    assert found["true"] < 0.1
    assert min(found["random"], found["shuffled"]) > 1
    assert found["zero"] == 1


def test_a_penalty_on_leaving_the_start_does_not_change_that() -> None:
    found = ratios(0.3)
    assert found["true"] < 0.1
    assert min(found["random"], found["shuffled"]) > 1
    assert found["zero"] == 1


def test_a_penalty_that_pulls_to_the_model_makes_random_rewards_look_good() -> None:
    """Why the track does not offer it: no reward at all does as well as the reward."""
    found = ratios(0.3, Lesson(WORLD).truth()[0])
    assert found["true"] < 0.1
    assert max(found["random"], found["shuffled"]) < 0.2
    assert found["zero"] == pytest.approx(found["true"], rel=0.2)


def test_every_arm_starts_alike_and_the_same_seed_gives_the_same_weights() -> None:
    lesson = Lesson(BanditData(source="bandit", states=5, actions=6, seed=0))
    assert torch.equal(lesson.learn("zero")[0], lesson.truth()[1].log_softmax(1))
    assert torch.equal(lesson.learn("random", seed=1)[0], lesson.learn("random", seed=1)[0])
    assert not torch.equal(lesson.learn("random", seed=1)[0], lesson.learn("random", seed=2)[0])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bandit")
    outcome = evaluate("lens_rl", "bandit_world", folder, set=SMALL)
    assert not outcome.failed
    harness.write_pages(harness.load_board(folder), folder, folder)
    return folder


def test_the_page_states_the_verdict_with_its_interval(measured: Path) -> None:
    (table,) = json.loads((measured / "board.json").read_text())["tables"]
    (row,) = table["rows"]
    found = {verdict["name"]: verdict for verdict in row["verdicts"]}
    assert set(found) == {
        f"{what}, by {divergence}"
        for what in ("reward", "reward, kept near the start")
        for divergence in ("KL(p‖π)", "KL(π‖p)")
    }
    words = {verdict["word"] for verdict in found.values()}
    assert words <= {"SIGNAL", "NO_SIGNAL", "HARMFUL", "INCONCLUSIVE", "CONTROL_IMPROVES"}
    score = row["scores"]["d_true"]
    said = f"{score['value']:.3g} ({score['lo']:.3g} to {score['hi']:.3g})"
    assert said in found["reward, by KL(p‖π)"]["reason"]
    pages = [
        next((measured / "tasks").glob("*.html")),
        next((measured / "cells").rglob("*.html")),
        measured / "board.md",
    ]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert found["reward, by KL(p‖π)"]["word"].replace("_", r"\_" if page.suffix == ".md" else "_") in text
        assert said.replace("-", "-") in text


def test_a_record_holds_every_arm(measured: Path) -> None:
    stored = load_record(sorted((measured / "results").rglob("*.json"))[0])
    parts = stored.parts()
    for regime in ("", "_anchored"):
        for arm in ARMS:
            assert parts[f"kl_{arm}{regime}"].shape == parts["n"].shape == (5,)
        assert np.array_equal(parts[f"kl_zero{regime}"], parts["kl_start"])
        assert float(parts[f"moved_random{regime}"]) > 0
    assert stored.record.details["KL(p‖π) of start"] == pytest.approx(float(parts["kl_start"].mean()))


def test_other_commands_read_its_records(measured: Path, tmp_path: Path) -> None:
    shutil.copytree(measured, tmp_path / "again")
    assert harness.gate(tmp_path / "again", measured).verdict == "pass"
    record = sorted((measured / "results").rglob("*.json"))[0]
    (found,) = harness.verify(record, cached_fit=True)
    assert found.verdict == "agree", found


def test_what_is_no_distribution_is_not_measured(tmp_path: Path) -> None:
    """Its divergences are as much lower as its logarithms are higher, so that any training seems to bring it nearer."""
    (tmp_path / "methods").mkdir()
    found = Library().method("lens_rl")
    assert found.code_path is not None
    end = ", dim=1)\n"
    code = found.code_path.read_text(encoding="utf-8")
    assert code.count(f"read.unembedding)){end}") == 1
    code = code.replace(f"read.unembedding)){end}", f"read.unembedding)){end[:-1]} + 1\n")
    text = (found.folder / "lens_rl.yaml").read_text(encoding="utf-8").replace("lens_rl", "loud")
    (tmp_path / "methods" / "loud.py").write_text(code, encoding="utf-8")
    (tmp_path / "methods" / "loud.yaml").write_text(text, encoding="utf-8")
    (failed,) = evaluate("loud", "bandit_world", tmp_path / "run", include_path=[tmp_path], seeds=[0], set=SMALL).failed
    assert "logp returned probabilities whose sum is off 1 by 1 (logarithm)" in str(failed.record.reason)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lens_rl", "gsm_symbolic"], "method 'lens_rl' is a next_token trained by a reward; task 'gsm_symbolic'"),
        (
            ["logit_lens", "bandit_world"],
            "takes next_token trained by a reward ('reward: true'). Methods that fit: lens_rl",
        ),
        (
            ["lens_rl", "bandit_world", "--set", "reward=null"],
            "track 'reward_control' needs 'reward': the control",
        ),
        (["lens_rl", "bandit_world", "--set", "reward.beta=0"], "'reward.beta': input should be greater than 0"),
        (
            ["lens_rl", "bandit_world", "--set", "data.states=1"],
            "'data.states': input should be greater than or",
        ),
        (["lens_rl", "bandit_world", "--set", "metrics=[kl_splice]"], "unknown metric of track 'reward_control'"),
        (["lens_rl", "bandit_world", "--model", "tiny-random"], "no language model runs for bandit_world"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_runs(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    method, task, *more = words
    answer = call(capsys, "eval", "--method", method, "--task", task, *more, "--plan")
    assert answer.code == 2
    assert said in answer.err


def test_sparse_decoders_are_controlled_on_a_language_model(tmp_path: Path) -> None:
    sets = {key: str(value) for key, value in TEXT.items()}
    outcome = evaluate(
        "sparse_decoder_rl", "random_reward", tmp_path, model="tiny-random", limit=40, seeds=[0], set=sets
    )
    assert not outcome.failed, outcome.failed[0].record.reason
    (stored,) = outcome.records
    parts = stored.parts()
    # Without a reward nothing moves, so the sampled arms begin at the distilled decoder itself.
    assert np.array_equal(parts["kl_zero_subvocab"], parts["kl_start_subvocab"])
    assert parts["kl_sup_cont_subvocab"].sum() < parts["kl_start_subvocab"].sum()
    assert stored.record.metrics["d_true_subvocab"].value is not None
    assert stored.record.fit["moved"] > 0
