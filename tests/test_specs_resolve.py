"""A task as it will be run: overrides, layers, controls, bars and corpora."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from spec_files import DERIVED, METHOD, PROMPTS, TASK, edit, library_of, line_of

from harness.errors import UserError
from harness.run.evaluate import split_sets
from harness.specs.library import Library
from harness.specs.resolve import Overrides, ResolvedTask, resolve

TASKS = {"made": TASK, "asked": PROMPTS}
METHODS = {"nought": METHOD, "shadow": DERIVED}


def resolved(
    folder: Path,
    sets: Mapping[str, str] | None = None,
    *,
    name: str = "made",
    layer: int | None = None,
    blocks: int = 4,
) -> ResolvedTask:
    library = library_of(folder, TASKS, METHODS)
    return resolve(library, name, Overrides(sets=sets or {}), layer, lambda model: blocks)


def refused(folder: Path, text: str, *, name: str = "made") -> str:
    library = library_of(folder, {**TASKS, name: text}, METHODS)
    with pytest.raises(UserError) as caught:
        resolve(library, name, Overrides(), None, lambda model: 4)
    return str(caught.value)


@pytest.mark.parametrize(
    ("depth", "blocks", "block"),
    [("0.5", 2, 0), ("0.5", 30, 14), ("1", 2, 1), ("1", 30, 29), ("0.01", 2, 0), ("0.01", 30, 0), ("0.9", 30, 26)],
)
def test_a_depth_is_the_share_of_blocks_that_have_run(tmp_path: Path, depth: str, blocks: int, block: int) -> None:
    assert resolved(tmp_path, {"site.depth": depth}, blocks=blocks).layer == block


def test_every_depth_gives_a_block_the_model_has(tmp_path: Path) -> None:
    library = library_of(tmp_path)
    for blocks in (1, 2, 3, 16, 30):
        for depth in ("0.001", "0.25", "0.5", "0.75", "0.999", "1"):
            overrides = Overrides(sets={"site.depth": depth})
            assert 0 <= resolve(library, "made", overrides, None, lambda _, b=blocks: b).layer < blocks


def test_an_exact_layer_and_the_command_line_s_layer_win(tmp_path: Path) -> None:
    exact = {"site": "{layer: 3}"}
    assert resolved(tmp_path, exact).layer == 3
    assert resolved(tmp_path, exact, layer=0).layer == 0
    assert resolved(tmp_path, layer=2).layer == 2


def test_a_layer_out_of_range_is_named_with_the_blocks_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--layers: layer 4 is out of range; model 'tiny-random' has blocks 0\.\.3"):
        resolved(tmp_path, layer=4)
    with pytest.raises(UserError, match=r"^--layers: layer -1 is out of range"):
        resolved(tmp_path, layer=-1)
    with pytest.raises(UserError, match=r"^--set site=\{layer: 4\}: layer 4 is out of range"):
        resolved(tmp_path, {"site": "{layer: 4}"})
    message = refused(tmp_path / "file", edit(TASK, ("depth: 0.5", "layer: 4")))
    assert f"made.yaml:{line_of(TASK, 'site:')}: layer 4 is out of range" in message


def test_the_command_line_changes_keys_of_the_task(tmp_path: Path) -> None:
    sets = {"budget.l0": "8", "data.splits.train": "0.4", "metrics": "[fvu]", "seeds": "[5]", "mask": "{first: keep}"}
    spec = resolved(tmp_path, sets).spec
    assert (spec.budget.l0, spec.metrics, spec.seeds, spec.mask.first) == (8, ("fvu",), (5,), "keep")
    assert spec.budget.latents == 32
    assert spec.data.splits.train == 0.4  # type: ignore[union-attr]


def test_bars_of_metrics_that_are_left_out_go_with_them(tmp_path: Path) -> None:
    assert resolved(tmp_path, {"metrics": "[l0]"}).spec.bars == {}
    assert set(resolved(tmp_path, {"metrics": "[fvu]"}).spec.bars) == {"fvu"}
    with pytest.raises(UserError, match=r"--set bars=\S+ \S+ 1}}: unknown metric of this task 'fvu'\. Allowed: l0"):
        resolved(tmp_path, {"metrics": "[l0]", "bars": "{fvu: {max: 1}}"})


def test_the_model_of_the_command_line_is_asked_for_its_blocks(tmp_path: Path) -> None:
    asked: list[str] = []

    def blocks(model: str) -> int:
        asked.append(model)
        return 12

    task = resolve(library_of(tmp_path), "made", Overrides(model="other"), None, blocks)
    assert (task.spec.model, task.layer, asked) == ("other", 5, ["other"])


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("bugdet.l0", "3", "--set bugdet.l0=3: unknown key 'bugdet' in a task. Did you mean 'budget'?"),
        ("budget.lo", "3", "--set budget.lo=3: unknown key 'lo' in 'budget'."),
        ("budget.l0", "many", "--set budget.l0=many: 'budget.l0': input should be a valid integer, got 'many'."),
        ("budget.l0.deep", "3", "--set budget.l0.deep: 'l0' holds a value, not keys"),
        ("budget.splice_tokens", "101", "--set budget.splice_tokens=101: 'budget': splice_tokens (101) must be"),
        ("budget.test_tokens", "null", "--set budget.test_tokens=null: budget lacks 'test_tokens', which track"),
        ("budget", "{context: 16}", "--set budget={context: 16}: budget lacks"),
        ("metrics", "[fvuu]", "--set metrics=[fvuu]: unknown metric of track 'reconstruction' 'fvuu'. Did you mean"),
        ("metrics.0", "fvu", "--set metrics.0: 'metrics' holds a value, not keys"),
        ("bars", "{dead_frac: {max: 1}}", "--set bars={dead_frac: {max: 1}}: unknown metric of this task"),
        ("controls.floor", "[noughty]", "--set controls.floor=[noughty]: unknown method 'noughty'. Did you mean"),
        ("track", "recon", "--set track=recon: unknown track 'recon'."),
        ("site.layer", "1", "--set site.layer=1: 'site': give exactly one of"),
        ("seeds", "3", "--set seeds=3: 'seeds': input should be a list, got 3."),
        ("title", "[1", "--set title: not valid YAML"),
        ("title", "a: b", "--set title: not valid YAML"),
        ("title", "1\nseeds: 2", "--set title: give one value, got several keys"),
        ("task", "other", "--set task: it names the task and cannot be changed"),
        ("version", "2", "--set version: it names the task and cannot be changed"),
    ],
    ids=lambda word: word[:30],
)
def test_a_wrong_change_is_one_sentence_that_names_the_change(
    tmp_path: Path, key: str, text: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        resolved(tmp_path, {key: text})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_changes_of_the_fit_side_go_to_the_corpus(tmp_path: Path) -> None:
    task = resolved(tmp_path, {"budget.l0": "8", "budget.test_tokens": "50"}, name="asked")
    assert task.corpus is not None
    assert task.fit is task.corpus
    assert (task.corpus.spec.budget.l0, task.corpus.spec.budget.test_tokens) == (8, 100)
    assert (task.spec.budget.l0, task.spec.budget.test_tokens) == (None, 50)
    assert (task.budget.l0, task.budget.test_tokens, task.budget.train_tokens) == (8, 50, 100)
    with pytest.raises(UserError, match=r"--set budget\.l0=many: 'budget.l0': input should be a valid integer"):
        resolved(tmp_path, {"budget.l0": "many"}, name="asked")


def test_a_corpus_is_read_at_the_same_block_of_the_same_model(tmp_path: Path) -> None:
    library = library_of(tmp_path, TASKS, METHODS)
    task = resolve(library, "asked", Overrides(model="other", limit=3), 2, lambda model: 4)
    assert task.corpus is not None
    assert (task.corpus.layer, task.corpus.spec.model, task.corpus.limit) == (2, "other", 3)


def test_test_tiers_of_the_corpus_are_not_those_of_the_task(tmp_path: Path) -> None:
    corpus = edit(TASK, ("test_tokens: 100", "test_tokens: 100, splice_tokens: 90, density_tokens: 500"))
    library = library_of(tmp_path, {"made": corpus, "asked": PROMPTS})
    budget = resolve(library, "asked", Overrides(), None, lambda model: 4).budget
    assert (budget.splice_tokens, budget.density_tokens) == (None, None)


def test_a_corpus_that_is_unknown_or_has_one_itself_is_refused(tmp_path: Path) -> None:
    unknown = edit(PROMPTS, ("corpus: made", "corpus: maade"))
    assert "asked.yaml:6: unknown task 'maade'. Did you mean 'made'?" in refused(tmp_path / "a", unknown, name="asked")
    itself = edit(PROMPTS, ("corpus: made", "corpus: asked"))
    message = refused(tmp_path / "b", itself, name="asked")
    assert "asked.yaml:6: corpus 'asked' has the corpus 'asked' itself; name that one." in message
    further = edit(PROMPTS, ("task: asked", "task: further"), ("corpus: made", "corpus: asked"))
    message = refused(tmp_path / "c", further, name="further")
    assert "further.yaml:6: corpus 'asked' has the corpus 'made' itself; name that one." in message


def test_a_control_in_the_wrong_place_is_refused_with_its_line(tmp_path: Path) -> None:
    where = f"made.yaml:{line_of(TASK, 'floor:')}"
    message = refused(tmp_path / "a", edit(TASK, ("[nought]", "[shadow]")))
    assert f"{where}: 'shadow' belongs under controls.derived, not controls.floor." in message
    message = refused(tmp_path / "b", edit(TASK, ("floor: [nought]", "derived: [nought]")))
    assert f"{where}: 'nought' belongs under controls.ceiling or floor, not controls.derived." in message
    message = refused(tmp_path / "c", edit(TASK, ("[nought]", "[nougt]")))
    assert f"{where}: unknown method 'nougt'. Did you mean 'nought'?" in message


def test_a_control_of_a_kind_the_track_does_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = library_of(tmp_path, TASKS, METHODS)
    card = library.track("reconstruction").model_copy(update={"kinds": ("probe",)})
    monkeypatch.setattr(Library, "track", lambda *_: card)
    with pytest.raises(UserError, match=r"control 'nought' is a dictionary; track 'reconstruction' takes probe\."):
        resolve(library, "made", Overrides(), None, lambda model: 4)


@pytest.mark.parametrize("task", ["planted_traces", "boolq_probe"])
def test_a_control_that_keeps_all_a_track_reads_is_refused(task: str) -> None:
    """Permuting decoder rows leaves codes as they are: beside a metric of codes it would be the method itself."""
    sets = {"controls.derived": "[permuted_decoder]"}
    with pytest.raises(UserError, match="control 'permuted_decoder' keeps the codes of a method, and track"):
        resolve(Library(), task, Overrides(sets=sets), None, lambda _: 2)
    assert resolve(Library(), "gsm_symbolic", Overrides(sets=sets), None, lambda _: 2).spec.controls.derived


def test_what_is_wrong_between_several_keys_names_none() -> None:
    sets = {"site.step": '"."'}
    with pytest.raises(UserError, match=r'site\.step=".": means of steps cannot be put back into the model'):
        resolve(Library(), "gsm_symbolic", Overrides(sets=sets), None, lambda _: 2)


def test_unknown_metrics_and_bars_on_metrics_not_listed_are_refused_with_their_line(tmp_path: Path) -> None:
    message = refused(tmp_path / "a", edit(TASK, ("[fvu, l0]", "[fvu, l0, kl_splic]")))
    assert f"made.yaml:{line_of(TASK, 'metrics:')}: unknown metric of track 'reconstruction' 'kl_splic'." in message
    assert "Did you mean 'kl_splice'?" in message
    message = refused(tmp_path / "b", edit(TASK, ("{fvu: {max", "{mse_elem: {max")))
    assert f"made.yaml:{line_of(TASK, 'bars:')}: unknown metric of this task 'mse_elem'. Allowed: fvu, l0." in message


def test_parameters_of_methods_are_separated_from_keys_of_the_task() -> None:
    sets = {"params.size": "2", "params.optim.lr": "1e-4", "params.optim.steps": "[1]", "budget.l0": "8"}
    assert split_sets(sets) == ({"budget.l0": "8"}, {"size": 2, "optim": {"lr": 1e-4, "steps": [1]}})


@pytest.mark.parametrize("sets", [{"params": "1"}, {"params.a": "1", "params.a.b": "2"}, {"params.a": "1\nb: 2"}])
def test_parameters_that_contradict_each_other_are_refused(sets: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"^--set params"):
        split_sets(sets)
