"""The control that is a method itself, fitted and measured on the language model with its weights drawn anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from running import run
from spec_files import DERIVED, METHOD, edit, library_of

from harness.board.table import load_board
from harness.errors import UserError
from harness.lm.catalog import resolve
from harness.lm.facts import facts
from harness.lm.fingerprints import fingerprint
from harness.lm.loading import LoadOptions, load_model
from harness.run.engine import Outcome
from harness.specs.record import Record

pytestmark = pytest.mark.usefixtures("cache")
CONTROLS = {"controls": "{floor: [mean_only], derived: [random_model]}"}


class TestNames:
    def test_a_prefix_draws_weights_anew(self) -> None:
        plain, anew = resolve("tiny-random"), resolve("random:tiny-random")
        assert anew.reinit
        assert not plain.reinit
        assert anew.label == "re-initialised"
        assert facts(anew) == facts(plain)
        assert fingerprint(anew) == f"random1:{fingerprint(plain)}"

    def test_it_goes_before_any_name(self) -> None:
        assert resolve("random:owner/name@main").revision == "main"
        assert resolve("random:smollm2-135m-instruct").wheel == resolve("smollm2-135m-instruct").wheel

    def test_twice_is_refused(self) -> None:
        with pytest.raises(UserError, match="write 'random:' once"):
            resolve("random:random:tiny-random")

    def test_a_wrong_name_behind_it_is_said(self) -> None:
        with pytest.raises(UserError, match=r"'tiny-randm'.*Did you mean 'tiny-random'"):
            resolve("random:tiny-randm")

    def test_a_device_map_is_refused(self) -> None:
        with pytest.raises(UserError, match="weights drawn anew and a device map cannot be combined"):
            load_model("random:tiny-random", LoadOptions(device_map="auto"))


def weights(name: str, **options: Any) -> dict[str, torch.Tensor]:
    return dict(load_model(name, LoadOptions(device="cpu", **options)).network.state_dict())


def test_weights_are_the_same_on_every_call_and_not_the_models_own() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, own = weights("random:tiny-random"), weights("tiny-random")
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(9)
    two = weights("random:tiny-random")
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert {n: t.shape for n, t in one.items()} == {n: t.shape for n, t in own.items()}
    differ = [name for name in one if not torch.equal(one[name], own[name])]
    assert len(differ) == sum(t.ndim > 1 for t in one.values()), "every matrix; norms start from 1 in both"


def test_precision_is_that_asked_for() -> None:
    model = load_model("random:tiny-random", LoadOptions(device="cpu", dtype="bfloat16"))
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.bfloat16}
    assert (model.info.name, model.info.label) == ("random:tiny-random", "re-initialised")


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    return run("topk", "toy_task", tmp_path / "out", set=CONTROLS)


def of(outcome: Outcome, name: str) -> Record:
    found = [stored.record for stored in outcome.records if stored.record.method.name == name]
    assert len(found) == 1
    return found[0]


def test_it_is_the_method_on_the_other_model(outcome: Outcome, tmp_path: Path) -> None:
    control, method = of(outcome, "random_model"), of(outcome, "topk")
    assert control.model.name == "random:tiny-random"
    assert (control.method.of, control.method.role) == ("topk", "derived")
    assert control.task.table == method.task.table
    assert control.model.fingerprint != method.model.fingerprint
    direct = of(run("topk", "toy_task", tmp_path / "direct", model="random:tiny-random", controls=False), "topk")
    for name in ("fvu", "l0", "cosine", "dead_frac"):
        assert control.metrics[name].value == direct.metrics[name].value, name
    assert control.metrics["fvu"].value != method.metrics["fvu"].value
    assert direct.task.table != control.task.table, "by itself it shares no table with the trained model"
    assert direct.stages["fit"] == control.stages["fit"], "one fit serves both"


def test_the_margin_is_over_it_where_models_can_be_compared(outcome: Outcome) -> None:
    control, method = of(outcome, "random_model"), of(outcome, "topk")
    gap = (control.metrics["fvu"].value or 0) - (method.metrics["fvu"].value or 0)
    assert method.margins["fvu"].control == "random_model"
    assert method.margins["fvu"].value == pytest.approx(gap)
    for name in ("kl_splice", "delta_ce", "agree1", "mse_elem", "se_token", "l1"):
        assert control.metrics[name].value is None, name
        assert control.metrics[name].reason == "measured on another language model, with which it cannot be compared"
        assert method.margins[name].control != "random_model", name


def test_the_board_says_the_same_and_describes_the_methods_model(outcome: Outcome, tmp_path: Path) -> None:
    (table,) = load_board(tmp_path / "out").tables
    (row,) = table.methods
    margin = row.scores["fvu"].margin
    assert margin is not None
    assert margin.control == "random_model of topk"
    assert margin.value == pytest.approx(of(outcome, "topk").margins["fvu"].value)
    (control,) = (row for row in table.controls if row.name == "random_model")
    assert control.scores["kl_splice"].value is None
    assert not table.notes or not any("random_model" in note for note in table.notes)


def test_a_second_call_finds_everything(outcome: Outcome, tmp_path: Path) -> None:
    assert run("topk", "toy_task", tmp_path / "out", set=CONTROLS).skipped == len(outcome.records) == 3


def test_a_contestant_that_comes_later_still_has_its_null(outcome: Outcome, tmp_path: Path) -> None:
    (stored,) = (s for s in outcome.records if s.record.method.name == "topk")
    stored.path.unlink()
    again = run("topk", "toy_task", tmp_path / "out", set=CONTROLS)
    assert again.skipped == 2
    assert of(again, "topk").margins["fvu"].control == "random_model"


def test_on_the_random_model_itself_there_is_no_such_control(tmp_path: Path) -> None:
    outcome = run("topk", "toy_task", tmp_path, model="random:tiny-random", set=CONTROLS)
    assert {stored.record.method.name for stored in outcome.records} == {"topk", "mean_only"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (edit(DERIVED, ("uses:", "model: reinitialised\nuses:")), "give exactly one of 'code'"),
        (edit(DERIVED, ("code: nought.py:Nought\n", "")), "give exactly one of 'code'"),
        (edit(METHOD, ("code: nought.py:Nought", "model: reinitialised")), "needs 'uses: {of: any}'"),
        (edit(DERIVED, ("code: nought.py:Nought", "model: quantised")), "should be 'reinitialised'"),
    ],
)
def test_a_card_names_code_or_a_model(tmp_path: Path, text: str, sentence: str) -> None:
    name = "shadow" if "shadow" in text else "nought"
    with pytest.raises(UserError, match=sentence):
        library_of(tmp_path, methods={name: text}).method(name)


def test_a_method_built_on_another_is_fitted_again_with_it(tmp_path: Path) -> None:
    outcome = run("toy_used", "toy_task", tmp_path, set=CONTROLS)
    direct = run("toy_used", "toy_task", tmp_path / "direct", model="random:tiny-random", controls=False)
    assert of(outcome, "random_model").metrics["fvu"].value == direct.records[0].record.metrics["fvu"].value
