"""The track on planted traces, where it is known which latent passes, which survives, and which does neither."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import PLUGINS, record_of, run, values

from harness.board.publish import publish
from harness.board.table import load_board
from harness.errors import UserError
from harness.run.engine import Outcome
from harness.specs.library import Library
from harness.specs.resolve import Overrides, resolve
from harness.store.records import BrokenRecordError, StoredRecord, load_record
from harness.tracks import reasoning
from harness.tracks.injection import inject

pytestmark = pytest.mark.usefixtures("cache")
THINKS, DECOY, MARKER, ALWAYS = range(4)
SMALL = {
    "budget.context": "700",
    "budget.train_tokens": "2000",
    "budget.val_tokens": "16000",
    "budget.test_tokens": "24000",
    "data.size": "160",
    "reasoning.shifts": "300",
    "reasoning.min_occurrences": "10",
    "reasoning.lengths": "[200]",
    "reasoning.top_ks": "[2]",
    "reasoning.top_n": "3",
    "controls": "{}",
}


def planted(folder: Path, method: str = "planted_latents", **sets: str) -> Outcome:
    return run(method, "planted_traces", folder, model="tiny-random", seeds=[0], set={**SMALL, **sets})


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredRecord:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        outcome = planted(tmp_path_factory.mktemp("run"))
    return outcome.records[0]


class TestPlantedTruth:
    """The latent that thinks passes and survives; detectors pass and fail injection; random ones fail the null."""

    def test_who_passes_the_null(self, stored: StoredRecord) -> None:
        table = stored.latents()
        assert table["passed"].nonzero()[0].tolist() == [THINKS, DECOY, MARKER]
        # One value on every token: no shift changes its score, so there is nothing to test.
        assert np.isnan(table["p_max"][ALWAYS])
        assert np.isfinite(table["p_max"][ALWAYS + 1 :]).all()
        assert (table["p"][: MARKER + 1] < 0.01).all()
        assert values(stored.record)["rs_pass"] == 3

    def test_who_survives_injection(self, stored: StoredRecord) -> None:
        table = stored.latents()
        assert table["injection_class"][THINKS] == "context_dependent"
        assert table["injection_class"][[DECOY, MARKER]].tolist() == ["token_driven"] * 2
        assert values(stored.record)["rs_survive"] == pytest.approx(1 / 3)

    def test_the_selected_stand_out_from_random_vocabularies(self, stored: StoredRecord) -> None:
        table, gap = stored.latents(), stored.record.metrics["reasonscore_gap"]
        assert table["selected"].nonzero()[0].tolist() == [THINKS, DECOY, MARKER]
        assert gap.lo is not None
        assert gap.lo > 0

    def test_every_number_that_ranks_has_a_value_and_documents_give_intervals(self, stored: StoredRecord) -> None:
        assert all(value is not None for value in values(stored.record).values())
        for name in ("reasonscore", "reasonscore_gap", "rs_ratio", "rs_topk"):
            metric = stored.record.metrics[name]
            assert metric.lo is not None, name
            assert metric.hi is not None, name
            assert metric.lo < metric.hi, name

    def test_the_table_has_one_row_per_latent(self, stored: StoredRecord) -> None:
        table = stored.latents()
        words = table.pop("words")
        assert {len(column) for column in table.values()} == {16}
        assert table["word_means"].shape == (16, len(words))
        assert table["top_tokens"][DECOY][0] == "Q"
        assert set(table["top_tokens"][THINKS]) <= {*"WHMPLB6", ""}
        assert stored.record.details["injected"] == 16
        assert table["density"][ALWAYS] == 1

    def test_its_columns_are_the_ones_described(self, stored: StoredRecord) -> None:
        import harness.tracks.outcome as module

        described = re.findall(r"``(\w+)``", " ".join(re.findall(r"^``.{22}", module.__doc__ or "", re.M)))
        assert set(described) == set(stored.latents())

    def test_sweeps_are_recorded(self, stored: StoredRecord) -> None:
        assert "reasonscore at length 200" in stored.record.details
        assert "rs_topk at k 2" in stored.record.details

    def test_the_mean_score_is_that_of_the_selected_latents(self, stored: StoredRecord) -> None:
        table = stored.latents()
        mean = table["reasonscore"][table["selected"]].mean()
        assert values(stored.record)["reasonscore"] == pytest.approx(mean, abs=1e-6)

    def test_an_altered_table_is_broken(self, stored: StoredRecord, tmp_path: Path) -> None:
        for file in (stored.path, *stored.files):
            (tmp_path / file.name).write_bytes(file.read_bytes())
        copy = load_record(tmp_path / stored.path.name)
        assert copy.latents().keys() == stored.latents().keys()
        (tmp_path / str(stored.record.latents)).write_bytes(b"another")
        with pytest.raises(BrokenRecordError, match="latents"):
            copy.latents()

    def test_the_board_shows_it_and_publishing_takes_the_table_along(
        self, stored: StoredRecord, tmp_path: Path
    ) -> None:
        run_folder = stored.path.parents[3]
        (copy,) = publish(run_folder, tmp_path)
        assert load_record(copy).latents()["passed"].sum() == 3
        (table,) = load_board(tmp_path).tables
        (row,) = table.methods
        assert row.scores["rs_pass"].value == 3
        assert row.scores["rs_survive"].value == pytest.approx(1 / 3)


QUICK = {"data.size": "60", "budget.val_tokens": "6000", "budget.test_tokens": "9000", "reasoning.shifts": "100"}


class TestRunning:
    def test_a_cell_without_frequent_words_says_so(self, tmp_path: Path) -> None:
        outcome = planted(tmp_path, "toys", **{**QUICK, "reasoning.min_occurrences": "100000"})
        record = record_of(outcome, "toys")
        assert values(record)["reasonscore"] is None
        assert values(record)["l0"] == pytest.approx(64)
        assert "parts not measured" in str(record.metrics["rs_pass"].reason)
        assert any("words left out" in warning for warning in record.warnings)

    def test_outliers_may_be_dropped_and_batches_may_be_of_any_size(self, tmp_path: Path) -> None:
        sets = {**SMALL, **QUICK, "mask.outliers": "drop"}
        found = [
            values(
                record_of(
                    run(
                        "planted_latents",
                        "planted_traces",
                        tmp_path / str(size),
                        model="tiny-random",
                        seeds=[0],
                        set=sets,
                        batch_size=size,
                    ),
                    "planted_latents",
                )
            )
            for size in (1, 8)
        ]
        assert found[0] == pytest.approx(found[1], rel=1e-5)

    def test_a_run_that_was_interrupted_while_injecting_ends_with_the_same_numbers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []

        def interrupted(*given: Any) -> Any:
            calls.append(given)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return inject(*given)

        with monkeypatch.context() as patch:
            patch.setattr(reasoning, "inject", interrupted)
            with pytest.raises(KeyboardInterrupt):
                planted(tmp_path / "torn", **QUICK)
        torn = planted(tmp_path / "torn", **QUICK).records[0]
        whole = planted(tmp_path / "whole", **QUICK).records[0]
        assert values(torn.record) == values(whole.record)
        for name, column in whole.latents().items():
            np.testing.assert_array_equal(torn.latents()[name], column, err_msg=name)

    def test_methods_that_go_wrong_fail_their_own_cell(self, tmp_path: Path) -> None:
        outcome = planted(tmp_path, "toy_nan,toy_shape,toy_raise,planted_latents", **QUICK)
        status = {stored.record.method.name.split("-")[0]: stored.record.status for stored in outcome.records}
        assert status == {"toy_nan": "failed", "toy_shape": "failed", "toy_raise": "failed", "planted_latents": "ok"}


class TestTask:
    def test_another_track_refuses_the_key(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="take it out"):
            run("toys", "toy_task", tmp_path, set={"reasoning.alpha": "1.0"})

    @pytest.mark.parametrize(
        ("key", "value", "says"),
        [
            ("reasoning.vocabulary.file", "nowhere.txt", "does not exist"),
            ("reasoning.windov", "[1, 2]", "window"),
            ("reasoning.shifts", "5", "100"),
            ("reasoning.injection.tokens", "64", "below length"),
        ],
    )
    def test_what_does_not_fit_is_said_before_anything_runs(
        self, tmp_path: Path, key: str, value: str, says: str
    ) -> None:
        with pytest.raises(UserError, match=says):
            planted(tmp_path, "toys", **{key: value})

    def test_a_file_of_token_ids_that_does_not_fit_is_said_before_anything_is_fitted(self, tmp_path: Path) -> None:
        file = tmp_path / "ids.json"
        file.write_text('{"wait": [[400]]}', encoding="utf-8")
        with pytest.raises(UserError, match="token ids of this model"):
            planted(tmp_path, "toys", **{"reasoning.vocabulary.token_ids": str(file)})

    def test_another_vocabulary_file_is_another_table(self, tmp_path: Path) -> None:
        file = tmp_path / "words.txt"
        tables = []
        for text in ("wait\n", "hmm\n"):
            file.write_text(text, encoding="utf-8")
            task = resolve(
                Library([PLUGINS]),
                "planted_traces",
                Overrides(sets={"reasoning.vocabulary.file": str(file)}),
                None,
                lambda _: 2,
            )
            tables.append(task.measured())
        assert tables[0] != tables[1]
