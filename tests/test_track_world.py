"""Track world: the oracle comes first, damage shows where it was done, nulls sit where they must, no model runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from board_cases import only_table, row
from commands import call
from running import PLUGINS, run
from worlds import build

from harness.api import Setting, Train
from harness.board import load_board, write_pages
from harness.data.worlds import draw, make_world
from harness.errors import UserError
from harness.specs.library import Library
from harness.specs.record import Record
from harness.specs.resolve import Overrides, resolve
from harness.specs.worlds import WorldData
from harness.testing import planted, planted_truth

RANKED = ("mcc_over_g", "mcc", "mmcs", "recall_90", "uniqueness", "firing_f1")
TRUTH = (*RANKED, "fvu", "l0")
WORLD = Library([PLUGINS]).task("toy_world").data
assert isinstance(WORLD, WorldData)
DAMAGED = ("noise", "noise_more", "drop", "drop_more", "merge", "split", "shuffle")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of two trained methods, the oracle and all its damaged forms, on three seeds."""
    base = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(base / "cache"))
        names = ["topk", "relu_l1", "oracle", "oracle_pursuit", *(f"oracle_{damage}" for damage in DAMAGED)]
        outcome = run(",".join(names), "toy_world", base / "run", derived_seeds=[0])
        assert not outcome.failed
        yield base / "run"


@pytest.fixture(scope="module")
def records(folder: Path) -> dict[tuple[str, str | None, int], Record]:
    found = [record for row in only_table(folder).rows for record in row.records]
    return {(r.method.name, r.method.of, r.seed): r for r in found}


def score(records: dict[tuple[str, str | None, int], Record], name: str, metric: str, of: str | None = None) -> float:
    value = records[name, of, 0].metrics[metric].value
    assert value is not None
    return value


def test_the_oracle_is_perfect(records: dict[tuple[str, str | None, int], Record]) -> None:
    found = {metric: score(records, "oracle", metric) for metric in TRUTH}
    assert {found[metric] for metric in RANKED} == {1.0}
    assert found["l0"] == 2
    # What is left is the noise.
    world = make_world(WORLD)
    x_ND = np.concatenate([draw(world, f"test/{i}", 16)[0] for i in range(100)])
    assert found["fvu"] == pytest.approx(16 * 0.02**2 / np.square(x_ND - x_ND.mean(0)).sum(1).mean(), rel=0.03)


def test_no_method_is_ranked_before_the_oracle(folder: Path) -> None:
    table = only_table(folder)
    oracle = row(table, "oracle")
    doubted = {column.name for column in table.columns if column.diagnostic}
    assert not doubted >= set(RANKED)
    for metric in RANKED:
        assert oracle.scores[metric].rank == (None if metric in doubted else 1), metric
        assert oracle.scores[metric].value == max(r.scores[metric].value or 0 for r in table.methods)
    behind = row(table, "relu_l1").scores
    assert {metric: (behind[metric].rank or 0) > 1 for metric in ("mcc_over_g", "mmcs", "firing_f1")} == {
        "mcc_over_g": True, "mmcs": True, "firing_f1": True
    }  # fmt: skip


def test_pursuit_alone_explains_more_for_it_fits_the_noise_in_its_span(
    records: dict[tuple[str, str | None, int], Record],
) -> None:
    # Least squares on the true support takes k of the D dimensions of the noise.
    ratio = score(records, "oracle_pursuit", "fvu") / score(records, "oracle", "fvu")
    assert ratio == pytest.approx(1 - 2 / 16, abs=0.03)
    rest = [m for m in records if m[1] is None and m[0] not in ("oracle", "oracle_pursuit", "identity")]
    best = min(score(records, name, "fvu") for name, _, seed in rest if seed == 0)
    assert best >= score(records, "oracle", "fvu") * (1 - 1e-6)


@pytest.mark.parametrize(
    ("forms", "metrics"),
    [
        (("oracle", "oracle_noise", "oracle_noise_more"), ("mcc", "mcc_over_g", "mmcs", "recall_90")),
        (("oracle", "oracle_drop", "oracle_drop_more"), ("mcc_over_g", "mmcs", "recall_90", "firing_f1")),
        (("oracle", "oracle_merge"), ("mcc", "mcc_over_g", "mmcs", "recall_90", "firing_f1")),
        (("oracle", "oracle_split"), ("uniqueness", "firing_f1")),
        (("oracle", "oracle_shuffle"), ("firing_f1",)),
    ],
)
def test_damage_lowers_what_it_damages_in_order(
    records: dict[tuple[str, str | None, int], Record], forms: tuple[str, ...], metrics: tuple[str, ...]
) -> None:
    for metric in RANKED:
        found = [score(records, form, metric) for form in forms]
        assert all(a > b if metric in metrics else a >= b - 1e-9 for a, b in pairwise(found)), metric


def test_damage_has_its_closed_forms(records: dict[tuple[str, str | None, int], Record]) -> None:
    assert score(records, "oracle_drop", "mcc_over_g") == pytest.approx(0.75)
    assert score(records, "oracle_drop_more", "firing_f1") == pytest.approx(0.5)
    assert score(records, "oracle_noise", "mcc") == pytest.approx((1 + 0.5**2) ** -0.5, abs=0.03)
    assert score(records, "oracle_noise_more", "mcc") == pytest.approx(2**-0.5, abs=0.06)
    assert score(records, "oracle_split", "uniqueness") == pytest.approx(6 / 18)
    # Half of the latents see half of their tokens: F1 2/3.
    assert score(records, "oracle_split", "firing_f1") == pytest.approx((1 + 2 / 3) / 2, abs=0.05)
    assert score(records, "oracle_split", "fvu") == pytest.approx(score(records, "oracle", "fvu"))
    assert score(records, "oracle_shuffle", "mcc") == 1


def test_a_permuted_decoder_collapses_where_codes_are_read_and_only_there(
    records: dict[tuple[str, str | None, int], Record],
) -> None:
    for of in ("topk", "oracle"):
        for metric in ("mcc", "mcc_over_g", "mmcs", "recall_90", "uniqueness"):
            assert score(records, "permuted_decoder", metric, of) == pytest.approx(score(records, of, metric), abs=1e-6)
        assert score(records, "permuted_decoder", "firing_f1", of) < 0.3 * score(records, of, "firing_f1")
        assert score(records, "permuted_decoder", "fvu", of) > 1


def test_margins_of_directions_are_over_floors_and_of_firing_over_all(folder: Path) -> None:
    table = only_table(folder)
    scores = row(table, "oracle").scores
    for metric in ("mcc_over_g", "mcc", "mmcs", "recall_90"):
        margin = scores[metric].margin
        assert margin is not None
        assert margin.control in ("random_dictionary", "mean_only")
        assert (margin.value or 0) > 0.2
    assert scores["uniqueness"].margin is None  # one latent alone is unique
    recorded = next(r for r in row(table, "oracle").records).margins
    assert recorded["mcc"].control == "random_dictionary"
    assert recorded["mcc"].value == pytest.approx(scores["mcc"].margin.value if scores["mcc"].margin else None)


def test_the_record_says_that_no_model_ran(records: dict[tuple[str, str | None, int], Record], folder: Path) -> None:
    record = records["oracle", None, 0]
    assert record.model is None
    assert (record.data.source, record.data.name) == ("world", "12 directions in 16 dimensions")
    assert {name: split.tokens for name, split in record.data.splits.items()} == {
        "train": 4000, "val": 1008, "test": 1600
    }  # fmt: skip
    assert record.data.clusters == 100
    assert record.details["true_l0"] == 2
    assert record.details["empty_tokens"] == 0
    facts = dict(only_table(folder).facts)
    assert facts["Model"] == "none: the activations are drawn"
    assert "Site" not in facts
    write_pages(load_board(folder), folder)
    (path,) = (folder / "tasks").iterdir()
    page = path.read_text(encoding="utf-8")
    assert "none: the activations are drawn" in page
    assert "random unit directions" in page


@pytest.mark.usefixtures("cache")
def test_another_world_is_another_table_and_another_fit(tmp_path: Path) -> None:
    def cell(**sets: str) -> Record:
        change = {"budget.train_tokens": "320", **sets}
        return run("oracle", "toy_world", tmp_path, seeds=[0], controls=False, set=change).records[0].record

    cells = [cell(), cell(**{"data.seed": "4"}), cell(**{"data.noise": "0.1"}), cell(**{"budget.test_tokens": "800"})]
    assert len({c.task.table for c in cells}) == len({c.cell for c in cells}) == 4
    assert len(list((tmp_path.parent / tmp_path.name / "cache" / "fits").iterdir())) == 4
    assert cell().cell == cells[0].cell


@pytest.mark.usefixtures("cache")
def test_a_fit_that_is_found_again_measures_alike(tmp_path: Path) -> None:
    values = []
    for name in ("one", "two"):
        (stored,) = run("oracle", "toy_world", tmp_path / name, seeds=[0], controls=False).records
        values.append({metric: part.value for metric, part in stored.record.metrics.items()})
    assert values[0] == values[1]


@pytest.mark.usefixtures("cache")
def test_the_oracle_refuses_what_its_world_never_drew() -> None:
    setting = Setting(width=16, latents=32, l0=4, seed=0)
    oracle = build("oracle", setting)
    train = planted(setting, 64, seed=1)
    extra = {"truth": planted_truth(setting, [(64, 1)])}
    oracle.fit(Train(train, train, 1, torch.device("cpu"), extra=extra))
    strange = torch.zeros(3, 16)
    with pytest.raises(ValueError, match="3 of 3 activations were not drawn by the world"):
        oracle.encode(strange, torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--method", "oracle", "--task", "toy_task"],
            "method 'oracle' needs truth, which task 'toy_task' cannot give.",
        ),
        (["--model", "tiny-random"], "--model: no language model runs for toy_world, whose activations are drawn."),
        (["--layers", "1"], "--layers: no language model runs for toy_world, whose activations are drawn."),
        (["--set", "data.active=40"], "active (40) would have the commonest direction fire 6.58 times a token"),
        (["--set", "data.widht=40"], "unknown key 'widht' in 'data'. Did you mean 'width'?"),
        (["--set", "model=tiny-random"], "a world is drawn and no language model runs, so 'model' has no use"),
        (["--set", "site.depth=0.5"], "a world is drawn and no language model runs, so 'site' has no use"),
        (
            ["--set", "track=reconstruction"],
            "track 'reconstruction' takes data from hub, folder, reasoning_gym, prompts, planted, riddles;",
        ),
        (["--set", "metrics=[kl_splice]"], "unknown metric of track 'world' 'kl_splice'."),
        (
            ["--set", "controls.derived=[random_model]"],
            "control 'random_model' draws a language model's weights anew; task 'toy_world' runs none.",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path
) -> None:
    right = ["--method", "topk", "--task", "toy_world", "--include-path", str(PLUGINS), "--output-path", str(tmp_path)]
    answer = call(capsys, "eval", *right, *words)
    assert answer.code == 2
    assert sentence in answer.err


def test_a_method_built_on_one_that_needs_the_truth_is_refused_too(
    capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "more" / "methods"
    folder.mkdir(parents=True)
    text = (PLUGINS / "methods" / "toy_used.yaml").read_text()
    (folder / "built.yaml").write_text(text.replace("toy_used\n", "built\n").replace("toys}", "oracle}"))
    (folder / "toy_used.py").write_text((PLUGINS / "methods" / "toy_used.py").read_text())
    words = ["--include-path", str(tmp_path / "more"), "--include-path", str(PLUGINS), "--output-path", str(tmp_path)]
    answer = call(capsys, "eval", "--method", "built", "--task", "toy_task", *words)
    assert answer.code == 2
    assert "method 'built' needs truth, which task 'toy_task' cannot give." in answer.err


def test_a_control_that_needs_the_truth_is_refused_where_there_is_none() -> None:
    library = Library([PLUGINS])
    with pytest.raises(UserError, match="control 'oracle' needs truth, which track 'reconstruction' cannot give"):
        resolve(library, "toy_task", Overrides(sets={"controls.ceiling": "[oracle]"}), None, lambda _: 2)


@pytest.mark.parametrize(("key", "value"), [("model", None), ("text", None), ("site", None)])
def test_a_task_that_reads_a_model_has_to_name_it(key: str, value: None, tmp_path: Path) -> None:
    lines = (PLUGINS / "tasks" / "toy_task.yaml").read_text().splitlines()
    path = tmp_path / "toy_task.yaml"
    path.write_text("\n".join(line for line in lines if not line.startswith(f"{key}:")))
    with pytest.raises(UserError, match=f"task lacks the key '{key}'"):
        Library().task(str(path))


@pytest.mark.usefixtures("cache")
def test_a_model_is_for_the_tasks_that_run_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [
        "--method",
        "topk",
        "--task",
        "toy_world,toy_task",
        "--include-path",
        str(PLUGINS),
        "--model",
        "tiny-random",
    ]
    answer = call(capsys, "eval", *words, "--plan", "--layers", "0,1", "--json", "--output-path", str(tmp_path))
    groups = json.loads(answer.out)["groups"]
    assert [(g["task"], g["model"], g["layer"]) for g in groups] == [
        ("toy_world", None, None), ("toy_task", "tiny-random", 0), ("toy_task", "tiny-random", 1)
    ]  # fmt: skip
    assert (groups[0]["train tokens"], groups[0]["new disk, MB"]) == (4000, 0)


def test_the_listing_says_that_no_model_runs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = call(capsys, "list", "tasks").out.splitlines()
    assert [line.split("\t")[:3] for line in lines if line.startswith("world_")] == [
        [name, "world", "none"] for name in ("world_hierarchy", "world_shared_unique", "world_small")
    ]


@pytest.mark.usefixtures("cache")
def test_methods_see_no_more_than_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    import harness.methods.topk as module

    original = module.TopK.begin
    monkeypatch.setattr(
        module.TopK, "begin", lambda self, train: (seen.append(dict(train.extra)), original(self, train))[1]
    )
    run("topk", "toy_world", tmp_path, seeds=[0], controls=False, set={"budget.train_tokens": "320"})
    assert seen == [{}]


@pytest.mark.usefixtures("cache")
def test_limit_takes_documents_from_the_beginning(tmp_path: Path) -> None:
    outcome = run("oracle", "toy_world", tmp_path, seeds=[0], controls=False, limit=7)
    assert {name: split.documents for name, split in outcome.records[0].record.data.splits.items()} == {
        "train": 7, "val": 7, "test": 7
    }  # fmt: skip
    assert np.isfinite([part.value for part in outcome.records[0].record.metrics.values()]).all()


@pytest.mark.usefixtures("cache")
def test_shared_directions_do_not_count_in_the_oracles_l0(tmp_path: Path) -> None:
    sets = {"data.shared": "{directions: 3, active: 1}", "budget.train_tokens": "320"}
    for name in ("one", "two"):  # fitted, then found
        outcome = run("oracle,oracle_drop", "toy_world", tmp_path / name, seeds=[0], controls=False, set=sets)
        whole, dropped = (stored.record for stored in outcome.records)
        assert whole.metrics["l0"].value == 2
        assert whole.details["true_l0"] == 3
        assert whole.metrics["firing_f1"].value == 1
        assert dropped.metrics["fvu"].value is not None
        assert whole.data.name == "15 directions in 16 dimensions"


@pytest.mark.usefixtures("cache")
def test_many_units_add_up_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for tokens in (8192, 160):
        monkeypatch.setattr("harness.tracks.world.UNIT_TOKENS", tokens)
        sets = {"budget.train_tokens": "320"}
        (stored,) = run("topk", "toy_world", tmp_path / str(tokens), seeds=[0], controls=False, set=sets).records
        found.append({name: part.value for name, part in stored.record.metrics.items()})
    assert found[1] == {name: pytest.approx(value, rel=1e-9) for name, value in found[0].items()}
