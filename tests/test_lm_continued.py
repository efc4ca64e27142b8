"""Written texts read again: the plain model's own numbers, what generation chose, and doses that are met."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from harness.api import ArrayActivations
from harness.errors import CellError
from harness.lm.continued import Followed, continued
from harness.lm.edits import edited
from harness.lm.generation import Prompt, Sampling, generate
from harness.lm.loading import LoadOptions, load_model
from harness.lm.model import LanguageModel
from harness.lm.spliced import Splice
from harness.lm.under import biased, closed_form_kl, spliced
from harness.tracks.doses import edit_norm, matched

TEXTS = [
    Followed(tuple(range(65, 85)), (1, 2, 3)),
    Followed((97, 98), tuple(range(40, 52))),
    Followed((120,), (5,)),
    Followed(tuple(range(30, 39)), tuple(range(50, 55))),
]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("tiny-random", LoadOptions(device="cpu"))


def shift(x_ND: Tensor, doc_N: Tensor) -> Tensor:
    return x_ND + 2 * torch.sin(torch.arange(x_ND.shape[-1]))


@pytest.mark.parametrize("batch_tokens", [1, 64, 10000])
def test_texts_are_read_as_the_plain_model_reads_them(batch_tokens: int, model: LanguageModel) -> None:
    found = dict(continued(model, TEXTS, batch_tokens))
    assert sorted(found) == [0, 1, 2, 3]
    for row, text in enumerate(TEXTS):
        ids_1S = torch.tensor([text.prompt + text.after])
        with torch.no_grad():
            logp_SV = model.network(ids_1S, use_cache=False).logits[0].log_softmax(-1)
        expected_TV = logp_SV[len(text.prompt) - 1 : -1]
        torch.testing.assert_close(found[row], expected_TV, atol=1e-4, rtol=0)


@pytest.mark.parametrize("tail", [False, True])
def test_what_was_generated_under_an_intervention_is_what_reading_it_finds_likeliest(
    tail: bool, model: LanguageModel
) -> None:
    prompts = [Prompt(str(i), text.prompt) for i, text in enumerate(TEXTS)]
    with spliced(model, {0: Splice(shift, tail=tail)}), biased(model, {(7,): 1.0, (8, 9): -3.0}):
        written = [one for (one,) in generate(model, prompts, Sampling(max_tokens=9), 1000)]
        texts = [Followed(p.ids, one.ids) for p, one in zip(prompts, written, strict=True)]
        found = dict(continued(model, texts, 1000))
    for row, text in enumerate(texts):
        assert tuple(found[row].argmax(1).tolist()) == text.after


@pytest.mark.parametrize("tail", [False, True])
def test_a_change_reaches_every_token_of_a_continuation_longer_than_its_prompt(
    tail: bool, model: LanguageModel
) -> None:
    text = Followed((5, 6), (7, 8, 9, 10, 11, 12))
    with spliced(model, {0: Splice(shift, tail=tail)}):
        ((_, found_TV),) = continued(model, [text], 1000)
    with edited(model, {0: lambda x_BTD: torch.cat([x_BTD[:, :1], shift(x_BTD[:, 1:], x_BTD)], 1)}), torch.no_grad():
        ids_1S = torch.tensor([text.prompt + text.after])
        expected_SV = model.network(ids_1S, use_cache=False).logits[0].log_softmax(-1)
    # The last token of the prompt is the second: all but the first are changed either way.
    torch.testing.assert_close(found_TV, expected_SV[1:-1], atol=1e-4, rtol=0)


def test_a_divergence_is_met_by_the_bias_that_has_it(model: LanguageModel) -> None:
    """The dose of a bias by its closed form, and by reading the texts again under it."""
    first, clean = (40, 50, 60), dict(continued(model, TEXTS, 1000))
    clean_NV = torch.cat([clean[row] for row in sorted(clean)])
    strength = matched(lambda value: float(closed_form_kl(clean_NV, first, value).mean()), 0.02)
    with biased(model, {(id_,): strength for id_ in first}):
        other = dict(continued(model, TEXTS, 1000))
    other_NV = torch.cat([other[row] for row in sorted(other)])
    kl = float((clean_NV.exp() * (clean_NV - other_NV)).sum(1).mean())
    assert kl == pytest.approx(0.02, rel=1e-3)


def test_a_step_along_a_direction_has_its_own_length_as_norm() -> None:
    x_ND = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    x, unit_D = ArrayActivations(x_ND), torch.eye(8)[2]
    mean = float(x_ND.norm(dim=1).mean())
    strength = matched(lambda size: edit_norm(lambda x_ND, doc_N: x_ND + size * unit_D, x), 0.1)
    assert strength == pytest.approx(0.1 * mean, rel=1e-4)


def test_a_dose_out_of_reach_is_said() -> None:
    with pytest.raises(CellError, match=r"no strength up to .* gives a dose of 2"):
        matched(lambda strength: math.tanh(strength), 2.0)
    with pytest.raises(CellError, match="at any strength"):
        matched(lambda strength: 1.0, 0.5)
    assert matched(lambda strength: strength**2, 9.0) == pytest.approx(3.0, rel=1e-4)


def test_a_text_without_a_prompt_is_refused(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match="a prompt and a continuation"):
        list(continued(model, [Followed((), (1,))], 10))
