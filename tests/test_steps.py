"""Steps of reasoning traces: spans that tile the text, and the means that methods meet in place of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from running import PLUGINS, record_of, run

from harness.api import ArrayActivations
from harness.data.rows import load_corpus
from harness.data.steps import step_spans, thought
from harness.data.tokens import TokenBudget, tokenize
from harness.errors import UserError
from harness.lm.loading import LoadOptions, load_model
from harness.specs.library import Library
from harness.tracks.steps import Stepper, Steps

IN_STEPS = {"site": '{depth: 0.5, step: "\\n"}', "budget.splice_tokens": "null", "metrics": "[fvu, l0, cosine]"}


def texts(tokens: list[str], spans: list[tuple[int, int]]) -> list[str]:
    return ["".join(tokens[start:end]) for start, end in spans]


class TestSpans:
    def test_the_written_example(self) -> None:
        tokens = ["a", " b", " c", "\n\n", "d", "\n", "e", " f", " g"]
        spans = step_spans(tokens, "\n")
        assert spans == [(0, 6), (6, 9)], "the step 'd' has two tokens and goes to the one before it"
        assert texts(tokens, spans) == ["a b c\n\nd\n", "e f g"]
        assert step_spans(tokens, "\n\n") == [(0, 4), (4, 9)]

    def test_a_short_first_step_goes_to_the_next(self) -> None:
        assert step_spans(["a", "\n", "b", "c", "d", "\n", "e", "f", "g"], "\n") == [(0, 6), (6, 9)]

    def test_one_short_text_is_one_step(self) -> None:
        assert step_spans(["a", "b"], "\n") == [(0, 2)]
        assert step_spans([], "\n") == []

    @given(tokens=st.lists(st.sampled_from(["a", " b", "\n", "c\n", "\n\n"]), max_size=40))
    @settings(max_examples=200, deadline=None)
    def test_spans_tile_the_text(self, tokens: list[str]) -> None:
        spans = step_spans(tokens, "\n")
        assert "".join(texts(tokens, spans)) == "".join(tokens)
        assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
        assert all(end > start for start, end in spans)
        assert all(end - start >= 3 for start, end in spans) or len(spans) == 1
        for _, end in spans[:-1]:
            assert "\n" in tokens[end - 1], "a step ends with the token that holds the break"

    def test_only_what_is_thought_counts(self) -> None:
        tokens = ["q", "<", "think", ">", "a", "b", "c\n", "d", "e", "f", "</think", ">", "g"]
        assert thought(tokens) == (4, 10)
        assert texts(tokens, step_spans(tokens, "\n")) == ["abc\n", "def"]
        assert thought(tokens[:9]) == (4, 9), "a thought that was cut off goes to the end"
        assert thought(["a</think>", "b"]) == (0, 2), "without an opening mark all of it counts"
        assert step_spans(["<think>", "</think>"], "\n") == []


def batches() -> Any:
    spec = Library([PLUGINS]).task("toy_task")
    model = load_model("tiny-random", LoadOptions(device="cpu"))
    documents = load_corpus(spec).splits["train"]
    return model, tokenize(model, documents, TokenBudget((None, 1500, None), spec.budget.context), 400)


def naive(model: Any, batch: Any, x_BTD: torch.Tensor) -> list[torch.Tensor]:
    """Return the means by a loop over rows and spans; a byte is a token, so texts are the bytes themselves."""
    found = []
    for b in range(len(batch.ids_BT)):
        length = int(batch.mask_BT[b].sum())
        tokens = [model.tokenizer.decode([i]) for i in batch.ids_BT[b, :length].tolist()]
        for start, end in step_spans(tokens, "\n"):
            rows = [t for t in range(start, end) if batch.keep_BT[b, t]]
            found.append(x_BTD[b, rows].mean(0))
    return found


@pytest.mark.usefixtures("cache")
def test_both_ways_to_a_step_equal_a_loop() -> None:
    """A batch pooled as it is measured, and stored token activations read as steps."""
    model, sequences = batches()
    stepper = Stepper(model, "\n")
    expected, stored = [], []
    generator = torch.Generator().manual_seed(0)
    for batch in sequences.batches:
        x_BTD = torch.randn(*batch.ids_BT.shape, 3, generator=generator)
        own = naive(model, batch, x_BTD)
        pooled, mean_BSD = stepper.pool(batch, x_BTD)
        torch.testing.assert_close(mean_BSD[pooled.keep_BT], torch.stack(own))
        assert bool((pooled.doc_BT[pooled.keep_BT] >= 0).all())
        expected += own
        stored.append((x_BTD[batch.keep_BT], batch.doc_BT[batch.keep_BT]))
    tokens = ArrayActivations(torch.cat([x for x, _ in stored]), torch.cat([d for _, d in stored]))
    steps = stepper.activations(tokens, sequences.batches)
    order = torch.randperm(len(steps), generator=generator)
    torch.testing.assert_close(steps.take(order), torch.stack(expected)[order])
    assert len(steps) == len(expected) < len(tokens) / 3
    assert steps.doc_N.unique_consecutive().tolist() == tokens.doc_N.unique_consecutive().tolist()


def test_no_step_at_all_is_said() -> None:
    with pytest.raises(UserError, match="there is no step in the documents"):
        Steps(ArrayActivations(torch.ones(3, 2)), torch.full((3,), -1))


@pytest.mark.usefixtures("cache")
def test_methods_meet_steps(tmp_path: Path) -> None:
    steps = record_of(run("identity", "toy_task", tmp_path, controls=False, set=IN_STEPS, limit=30), "identity")
    tokens = record_of(run("identity", "toy_task", tmp_path, controls=False, limit=30), "identity")
    assert steps.task.table != tokens.task.table
    assert 0 < steps.details["tokens"] < tokens.details["tokens"] / 3
    assert steps.fit["train_tokens"] < tokens.fit["train_tokens"] / 3
    assert steps.metrics["fvu"].value == pytest.approx(0, abs=1e-9)
    mean = record_of(run("mean_only", "toy_task", tmp_path, controls=False, set=IN_STEPS, limit=30), "mean_only")
    assert 1 <= (mean.metrics["fvu"].value or 0) < 1.3, "the train mean, over some dozens of other steps"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"budget.splice_tokens": "900"}, "means of steps cannot be put back into the model"),
        ({"mask": "{outliers: drop}"}, "single tokens are not dropped"),
        ({"site": '{depth: 0.5, step: ""}'}, "step"),
    ],
)
def test_what_steps_cannot_do_is_refused(tmp_path: Path, change: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        run("identity", "toy_task", tmp_path, controls=False, set=IN_STEPS | change)
