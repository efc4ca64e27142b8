"""Texts that a policy goes on with: what the model reads of them, where they begin and end, and the way from YAML."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import call
from torch import Tensor

from harness.api import Courses
from harness.data.rows import load_corpus
from harness.data.tokens import Sequences, TokenBudget, tokenize
from harness.errors import UserError
from harness.lm.generation import end_ids
from harness.lm.loading import load_model
from harness.lm.model import LanguageModel
from harness.lm.unembedding import Classes, ModelEnd
from harness.run.evaluate import evaluate
from harness.specs.library import Library
from harness.store.records import StoredRecord
from harness.tracks.environment import Places, TextEnvironment

BLOCK, STEPS, TOP = 0, 4, 40
TEXT = {
    "vocab.top": 50,
    "budget.latents": 64,
    "budget.l0": 8,
    "budget.train_tokens": 600,
    "budget.val_tokens": 300,
    "budget.test_tokens": 300,
    "params.ppo.updates": 3,
    "params.ppo.batch": 4,
    "params.walk.steps": 3,
    "params.walk.prompts": 8,
}
SETS = {key: str(value) for key, value in TEXT.items()}


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("tiny-random")


@pytest.fixture(scope="module")
def sequences(model: LanguageModel) -> Sequences:
    spec = Library().task("decode_gsm_symbolic")
    return tokenize(model, load_corpus(spec, limit=20).splits["train"], TokenBudget((None, 700, None), 48), 96)


def environment(model: LanguageModel, sequences: Sequences, top: int | None = TOP) -> TextEnvironment:
    next_N = Places.of(sequences, None).next_N
    vocabulary = model.info.vocab
    classes = Classes(vocabulary, None) if top is None else Classes.most_frequent(vocabulary, top, next_N[next_N >= 0])
    return TextEnvironment(ModelEnd(model, classes), BLOCK, lambda: Places.of(sequences, None))


def reread(world: TextEnvironment, row: int, written: list[int]) -> tuple[Tensor, Tensor]:
    """Return what is seen after a text and some tokens, read from the beginning by the plain model, without a cache."""
    ids_BT = torch.tensor([[*world._places.before(row), *written]])
    found = world.model.read(ids_BT, torch.ones_like(ids_BT), {BLOCK, world.last})
    return found[BLOCK][0, -1], world.end.logp(found[world.last][0, -1:])[0]


def test_what_is_kept_of_the_text_changes_nothing(model: LanguageModel, sequences: Sequences) -> None:
    """Texts of several lengths go on beside each other, twice from the same beginning."""
    world = environment(model, sequences)
    row_B = world.places(STEPS)[torch.tensor([0, 30, 7, 90])]
    for seed in (0, 1):
        courses, draw = world.begin(row_B, seed), torch.Generator().manual_seed(seed)
        mirror = torch.Generator().manual_seed(seed)
        written: list[list[int]] = [[] for _ in row_B]
        for _ in range(STEPS):
            for b, row in enumerate(row_B.tolist()):
                x_D, logp_V = reread(world, row, written[b])
                torch.testing.assert_close(courses.x_BD[b], x_D, atol=2e-5, rtol=1e-4)
                torch.testing.assert_close(courses.logp()[b], logp_V, atol=1e-4, rtol=1e-4)
            class_B = torch.randint(TOP + 1, (4,), generator=draw)
            ended_B = courses.write(class_B)
            id_B = world.tokens(class_B, mirror)
            assert ended_B.tolist() == [one in end_ids(model) for one in id_B.tolist()]
            for b, one in enumerate(id_B.tolist()):
                written[b].append(one)


def test_a_course_starts_where_its_text_goes_on(model: LanguageModel, sequences: Sequences) -> None:
    """Every place against a walk through the batches."""
    expected, row = [], 0
    for batch in sequences.batches:
        for b in range(len(batch.ids_BT)):
            kept = batch.keep_BT[b].nonzero().flatten().tolist()
            for i, t in enumerate(kept):
                ahead = kept[i : i + STEPS]
                if ahead == list(range(t, t + STEPS)) and all(batch.target_BT[b, u] for u in ahead):
                    expected.append(row + i)
            row += len(kept)
    assert environment(model, sequences).places(STEPS).tolist() == expected
    assert 0 < len(expected) < row
    with pytest.raises(UserError, match="no text of the train split goes on for 500 tokens"):
        environment(model, sequences).places(500)


def test_other_becomes_one_of_its_tokens_by_how_often_it_follows(model: LanguageModel, sequences: Sequences) -> None:
    world = environment(model, sequences, 10)
    kept = world.end.vocabulary.kept_K
    assert kept is not None
    drawn_N = world.tokens(torch.full((20_000,), 10), torch.Generator().manual_seed(0))
    assert not set(drawn_N.tolist()) & set(kept.tolist())
    next_N = world._places.next_N
    others = [id for id in next_N[next_N >= 0].tolist() if id not in kept.tolist()]
    share = torch.bincount(drawn_N, minlength=model.info.vocab) / 20_000
    truth = torch.bincount(torch.tensor(others), minlength=model.info.vocab) / len(others)
    assert float((share - truth).abs().max()) < 0.02
    assert world.tokens(torch.tensor([0, 9]), torch.Generator()).tolist() == [int(kept[0]), int(kept[9])]


def test_a_text_ends_with_the_token_that_ends_the_models_own(model: LanguageModel, sequences: Sequences) -> None:
    world = environment(model, sequences, None)
    (end, *_) = end_ids(model)
    courses = world.begin(world.places(1)[:2], 0)
    assert courses.write(torch.tensor([end, 5])).tolist() == [True, False]


class _Rereading(Courses):
    """Reads everything anew at every step: the plain way, without a cache."""

    def __init__(self, world: TextEnvironment, row_B: Tensor, seed: int) -> None:
        self._world, self._rows = world, row_B.tolist()
        self._written: list[list[int]] = [[] for _ in self._rows]
        self._draw = torch.Generator().manual_seed(seed)

    def _seen(self) -> Iterator[tuple[Tensor, Tensor]]:
        for row, written in zip(self._rows, self._written, strict=True):
            yield reread(self._world, row, written)

    @property
    def x_BD(self) -> Tensor:
        """Return activations."""
        return torch.stack([x_D for x_D, _ in self._seen()])

    def logp(self) -> Tensor:
        """Return predictions."""
        return torch.stack([logp_V for _, logp_V in self._seen()])

    def write(self, class_B: Tensor) -> Tensor:
        """Append."""
        id_B = self._world.tokens(class_B, self._draw).tolist()
        for written, one in zip(self._written, id_B, strict=True):
            written.append(one)
        return torch.tensor([one in end_ids(self._world.model) for one in id_B])


def measured(method: str, task: str, folder: Path, **options: Any) -> StoredRecord:
    outcome = evaluate(
        method, task, folder, model="tiny-random", limit=40, seeds=[0], set=SETS, controls=False, **options
    )
    assert not outcome.failed, outcome.failed[0].record.reason
    (stored,) = outcome.records
    return stored


def test_on_policy_training_is_the_same_without_a_cache_of_keys_and_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = "sparse_decoder_rl_onpolicy"
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "one"))
    fast = measured(method, "decode_gsm_symbolic", tmp_path / "fast")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(TextEnvironment, "begin", lambda self, row_B, seed: _Rereading(self, row_B, seed))
    plain = measured(method, "decode_gsm_symbolic", tmp_path / "plain")
    assert fast.record.fit["moved"] > 0.01
    for name, value in fast.record.fit.items():
        assert plain.record.fit[name] == pytest.approx(value, rel=1e-3), name
    for name, metric in fast.record.metrics.items():
        assert plain.record.metrics[name].value == pytest.approx(metric.value, rel=1e-4, abs=1e-6), name


def test_the_control_of_a_reward_runs_along_courses(tmp_path: Path) -> None:
    stored = measured("sparse_decoder_rl_onpolicy", "random_reward", tmp_path)
    parts = stored.parts()
    assert np.array_equal(parts["kl_zero_subvocab"], parts["kl_start_subvocab"])
    for arm in ("true", "random", "shuffled", "sup_cont", "exact_pg"):
        assert float(parts[f"moved_{arm}"]) > 0, arm
    assert float(parts["spread_random"]) > 0


@pytest.mark.parametrize(
    ("task", "more", "said"),
    [
        ("bandit_world", [], "needs environment, which task 'bandit_world' cannot give"),
        ("random_reward", ["--set", "params.ppo.baseline=leave_one_out"], "a value head; give 'value'"),
    ],
)
def test_what_cannot_be_walked_is_refused(
    task: str, more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more += [] if task == "bandit_world" else ["--model", "tiny-random", "--limit", "20", "--set", "vocab.top=50"]
    words = ["eval", "--method", "sparse_decoder_rl_onpolicy", "--task", task, "--output-path", str(tmp_path), *more]
    answer = call(capsys, *words)
    assert answer.code == 2
    assert said in answer.err
