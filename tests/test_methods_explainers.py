"""Every explainer keeps the contract, which refuses what breaks it; what each says is what closed forms give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.api import Explainer, Named, Predictions, Sentence, Setting
from harness.registry import build_method, check_params, method_class
from harness.specs.library import Library
from harness.testing import SETTING, check_explainer, planted_predictions
from harness.testing.explainers import PositiveParts
from harness.training.ranking import Ranking, in_words, strongest

LIBRARY = Library()
EXPLAINERS = [name for name in LIBRARY.names("methods") if LIBRARY.method(name).spec.kind == "explainer"]
WEIGHT = torch.tensor([4.0, 3.0, 2.0, 1.0])
CODE = torch.tensor([[1.0, 2.0, 0.0, 3.0], [0.5, 0.0, 0.0, 1.0]])


def built(name: str, **params: Any) -> Explainer:
    found = LIBRARY.method(name)
    method: Explainer = build_method(
        found, {**found.spec.params, **params}, Setting(4, 4, 2, 0, {"dictionary": PositiveParts(SETTING)})
    )
    return method


def linear(code_nF: Tensor = CODE) -> Predictions:
    return planted_predictions(code_nF, torch.eye(4), lambda z: z @ WEIGHT)


def quadratic(code_nF: Tensor = CODE) -> Predictions:
    return planted_predictions(code_nF, torch.eye(4), lambda z: (z @ WEIGHT) ** 2)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_an_explainer_keeps_the_contract(name: str) -> None:
    found = LIBRARY.method(name)
    cls = method_class(found)
    # Little is learned: the contract holds from the first step on.
    short = {"passes": 2} if "passes" in found.spec.params else {}
    params = check_params(found, cls, {**found.spec.params, **short})
    check_explainer(cls, params, needs=found.spec.needs, seeded=found.spec.seeded)


def test_of_a_linear_readout_all_importances_are_weight_times_code() -> None:
    for name, params in (("rank_ablation", {}), ("rank_attribution", {}), ("rank_ig", {})):
        torch.testing.assert_close(built(name, **params).importance(linear()), CODE * WEIGHT, rtol=0, atol=1e-5)


def test_of_a_quadratic_readout_each_is_its_closed_form() -> None:
    total_n1 = (CODE @ WEIGHT)[:, None]
    ablation = total_n1**2 - (total_n1 - WEIGHT * CODE) ** 2
    torch.testing.assert_close(built("rank_ablation").importance(quadratic()), ablation)
    torch.testing.assert_close(built("rank_attribution").importance(quadratic()), 2 * WEIGHT * CODE * total_n1)


def test_integrated_gradients_of_one_active_latent_equal_ablation() -> None:
    alone = quadratic(torch.diag(torch.tensor([1.0, 2.0, 0.5, 3.0])))
    ig = built("rank_attribution", points=1000).importance(alone)
    torch.testing.assert_close(ig, built("rank_ablation").importance(alone), rtol=0, atol=1e-3)
    first = built("rank_attribution").importance(alone)
    assert float((first - ig).abs().max()) > 1


def test_integrated_gradients_add_up_to_what_all_latents_do() -> None:
    """Completeness over the joint path; first order and single ablations do not add up on the same readout."""
    whole_n = (CODE @ WEIGHT) ** 2
    torch.testing.assert_close(built("rank_attribution", points=1000).importance(quadratic()).sum(1), whole_n)
    for name in ("rank_attribution", "rank_ablation"):
        assert float((built(name).importance(quadratic()).sum(1) - whole_n).abs().min()) > 1


def test_activations_count_in_folded_units() -> None:
    row_FD = torch.diag(torch.tensor([1.0, 1.0, 1.0, 5.0]))
    asked = planted_predictions(torch.tensor([[2.0, -1.0, 0.0, 1.0]]), row_FD, lambda z: z.sum(-1))
    assert built("rank_activation").importance(asked).tolist() == [[2.0, 1.0, 0.0, 5.0]]


def test_a_sentence_names_the_largest_and_their_sides() -> None:
    named = strongest(torch.tensor([0.0, 0.5, -2.0, 0.1, 3.0, 0.2, -0.05]), 5)
    assert [(one.latent, one.supports) for one in named] == [(4, True), (2, False), (1, True), (5, True), (3, True)]
    words = ["".join(part if isinstance(part, str) else str(part.latent) for part in in_words(some)) for some in
             (named, named[:1], [named[1]], [])]  # fmt: skip
    assert words == [
        "It predicts this mainly because of 4, 1, 5 and 3; 2 speaks against it.",
        "It predicts this mainly because of 4.",
        "2 speaks against it, and none of the strongest for it.",
        "No latent speaks for it or against it.",
    ]


class Broken(Ranking):
    """Breaks the contract in the way its parameter names."""

    @dataclass(frozen=True)
    class Params:
        """One parameter."""

        way: str
        """what is wrong"""

    def importance(self, asked: Predictions) -> Tensor:
        """Return codes, or something wrong."""
        code_nF = asked.code_nF
        wrong = {
            "shape": code_nF[:, 1:],
            "infinite": code_nF / 0.0,
            "silent": code_nF + 1,
            "others": code_nF - code_nF.mean(0) * (code_nF != 0),
        }
        return wrong.get(self.params.way, code_nF)

    def sentences(self, asked: Predictions) -> list[Sentence]:
        """Return sentences, or something wrong."""
        silent = [int((code_F == 0).nonzero()[0]) for code_F in asked.code_nF]
        named = {"inactive": [(Named(latent, True),) for latent in silent], "few": []}
        twice = [(*sentence, *sentence) for sentence in super().sentences(asked)]
        return named.get(self.params.way, twice if self.params.way == "twice" else super().sentences(asked))


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("shape", "importance returns"),
        ("infinite", "finite numbers"),
        ("silent", "0 where a latent is silent"),
        ("others", "does not depend on others"),
        ("inactive", "names active latents alone"),
        ("few", "a sentence for each prediction"),
        ("twice", "names each latent once"),
        ("seed", "another seed says something else"),
    ],
)
def test_the_contract_refuses_what_breaks_it(way: str, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_explainer(Broken, Broken.Params(way), seeded=way == "seed")


def test_the_contract_takes_the_same_class_unbroken() -> None:
    assert check_explainer(Broken, Broken.Params("none"), seeded=False).summary() == {}
