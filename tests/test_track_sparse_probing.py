"""Probes against scikit-learn and planted truths, and the track on labelled documents of our own."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from running import record_of, values
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.errors import UserError
from harness.metrics.contract import NotComputableError
from harness.metrics.probing import full_probe, probe_null, sparse_probe_1, sparse_probe_5
from harness.run.evaluate import evaluate
from harness.tracks.sparse_probes import Labelled, best_features, counts, folds, permuted, probe

Floats = NDArray[np.float64]


def labelled(classes: int, clusters: int = 60, each: int = 3, seed: int = 0) -> Labelled:
    """Return documents in clusters of several, labels at random."""
    y_n = np.random.default_rng(seed).integers(classes, size=clusters * each)
    return Labelled(y_n, np.repeat(np.arange(clusters), each), classes, clusters)


def features(data: Labelled, width: int, planted: int | None = None, seed: int = 1) -> Floats:
    """Return noise; feature ``planted`` tells class 0 from the rest without error."""
    x_nF = np.random.default_rng(seed).normal(size=(len(data.y_n), width))
    if planted is not None:
        x_nF[:, planted] = 3.0 * (data.y_n == 0) + 0.1 * x_nF[:, planted]
    return x_nF


def score(hits: Floats, data: Labelled, metric: Any = sparse_probe_1, part: str = "probe_1") -> float:
    parts = {"n": np.ones(data.clusters), part: hits, "probe_n": counts(data)}
    return float(metric(parts, np.ones(data.clusters)))


class TestProbe:
    def test_the_planted_feature_is_found_and_is_enough(self) -> None:
        data = labelled(2)
        x_nF = features(data, 50, planted=17)
        assert best_features(x_nF, data.y_n == 1, 1).tolist() == [17]
        assert score(probe(x_nF, data, (1,))[1], data) == 1.0

    def test_features_are_chosen_by_mean_difference_the_first_of_equals_first(self) -> None:
        x_nF = np.array([[0.0, 5.0, 1.0, 0.0], [0.0, 5.0, 2.0, 0.0], [1.0, 5.0, 4.5, -3.0], [1.0, 5.0, 4.5, -3.0]])
        positive_n = np.array([False, False, True, True])
        # Differences 1, 0, 3, 3.
        assert best_features(x_nF, positive_n, 3).tolist() == [2, 3, 0]

    @pytest.mark.parametrize("k", [1, 5, None])
    @pytest.mark.parametrize("classes", [2, 3])
    def test_it_equals_a_pipeline_of_scikit_learn(self, k: int | None, classes: int) -> None:
        data = labelled(classes)
        x_nF = features(data, 30, planted=4)
        x_nF[:, 9] += 0.5 * data.y_n
        ours = score(probe(x_nF, data, (k,))[k], data)
        steps = [StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced")]
        pipeline = make_pipeline(*([_MeanDifference(k)] if k else []), *steps)
        theirs = []
        for label in data.problems():
            said_n = cross_val_predict(pipeline, x_nF, data.y_n == label, cv=folds(data))
            theirs.append(balanced_accuracy_score(data.y_n == label, said_n))
        assert ours == pytest.approx(np.mean(theirs), abs=1e-12)

    def test_choosing_inside_the_folds_leaves_noise_at_chance(self) -> None:
        """Of 3 000 features of noise, those chosen on all documents would look like knowledge."""
        data = labelled(2, clusters=60, each=1)
        x_nF = features(data, 3000)
        honest = score(probe(x_nF, data, (5,))[5], data)
        leaked_nF = x_nF[:, best_features(x_nF, data.y_n == 1, 5)]
        leaked = score(probe(leaked_nF, data, (5,))[5], data)
        assert abs(honest - 0.5) < 0.15
        assert leaked > 0.75

    def test_no_cluster_is_on_both_sides_and_every_document_is_predicted_once(self) -> None:
        data = labelled(3)
        split = folds(data)
        assert all(not set(data.cluster_n[a]) & set(data.cluster_n[b]) for a, b in split)
        assert sorted(np.concatenate([b for _, b in split])) == list(range(len(data.y_n)))

    def test_exchanged_labels_are_at_chance_even_where_a_feature_tells_everything(self) -> None:
        data = labelled(2, clusters=200)
        x_nF = features(data, 50, planted=3)
        scores = []
        for seed in range(10):
            other = permuted(data, seed)
            assert np.bincount(other.y_n).tolist() == np.bincount(data.y_n).tolist()
            scores.append(score(probe(x_nF, other, (5,))[5], other))
        # Ten means over 600 documents: the standard error is about .0065.
        assert abs(float(np.mean(scores)) - 0.5) < 0.03

    def test_clusters_exchange_their_labels_whole_so_a_cluster_on_both_sides_is_noticed(self) -> None:
        """Features that name the cluster tell exchanged labels wherever folds part a cluster; ours never do."""
        cluster_n = np.repeat(np.arange(60), 3)
        data = Labelled(np.arange(60)[cluster_n] % 2, cluster_n, 2, 60)
        x_nF = np.random.default_rng(0).normal(size=(60, 200))[cluster_n]
        other = permuted(data, 0)
        assert all(len(set(other.y_n[cluster_n == c])) == 1 for c in range(60))
        parted = Labelled(other.y_n, np.arange(180), 2, 180)
        assert score(probe(x_nF, parted, (None,))[None], parted) > 0.95
        assert abs(score(probe(x_nF, other, (None,))[None], other) - 0.5) < 0.2

    def test_a_feature_that_never_varies_is_no_error(self) -> None:
        data = labelled(2)
        x_nF = np.full((len(data.y_n), 4), 7.0)
        assert score(probe(x_nF, data, (1,))[1], data) == pytest.approx(0.5, abs=0.01)

    def test_scaling_a_feature_changes_what_is_chosen_and_not_what_is_read_off_it(self) -> None:
        data = labelled(2)
        x_nF = features(data, 1, planted=0)
        assert score(probe(x_nF * 1e6, data, (1,))[1], data) == score(probe(x_nF, data, (1,))[1], data)


class _MeanDifference(TransformerMixin, BaseEstimator):
    """Keeps the k features whose class means differ most, written without our code."""

    def __init__(self, k: int) -> None:
        self.k = k

    def fit(self, x: Floats, y: NDArray[np.bool_]) -> _MeanDifference:
        gaps = [abs(np.mean(column[y]) - np.mean(column[np.logical_not(y)])) for column in x.T]
        self.chosen_ = sorted(range(len(gaps)), key=lambda i: (-gaps[i], i))[: self.k]
        return self

    def transform(self, x: Floats) -> Floats:
        return x[:, self.chosen_]


class TestMetrics:
    def test_the_value_is_the_mean_over_sides_and_problems(self) -> None:
        hits = np.array([[[1.0, 2.0]], [[3.0, 0.0]]])
        total = np.array([[[2.0, 2.0]], [[4.0, 2.0]]])
        parts = {"n": np.ones(2), "probe_5": hits, "probe_n": total}
        assert float(sparse_probe_5(parts, np.ones(2))) == pytest.approx((4 / 6 + 2 / 4) / 2)
        assert sparse_probe_5(parts, np.array([[1.0, 1.0], [2.0, 0.0]])).tolist() == pytest.approx([7 / 12, 0.75])

    def test_a_side_without_documents_has_no_value(self) -> None:
        parts = {"n": np.ones(1), "raw_all": np.zeros((1, 1, 2)), "probe_n": np.array([[[3.0, 0.0]]])}
        with pytest.raises(NotComputableError, match="a side of a problem has no document"):
            full_probe(parts, np.ones(1))

    def test_a_resample_without_a_side_is_lost_alone(self) -> None:
        total = np.array([[[3.0, 0.0]], [[3.0, 3.0]]])
        parts = {"n": np.ones(2), "null_hits": total, "null_n": total}
        got = probe_null(parts, np.array([[1.0, 1.0], [1.0, 0.0]]))
        assert (got[0], bool(np.isnan(got[1]))) == (1.0, True)


TASK = """task: letters
version: 1
title: Digits or letters
track: sparse_probing
model: tiny-random
data:
  {{source: folder, path: {folder}, id: name, group: place, splits: {{train: 0.3, val: 0.1, test: 0.6}}}}
text: "{{{{ words }}}}"
label: "{{{{ kind }}}}"
site: {{depth: 0.5, at: resid_post}}
budget: {{train_tokens: 2000, val_tokens: 600, passes: 1, latents: 96, l0: 8, context: 64, test_tokens: 9000}}
metrics: [sparse_probe_1, sparse_probe_2, sparse_probe_5, raw_probe_1, raw_probe_5, full_probe, probe_null, l0]
controls: {{ceiling: [identity], floor: [random_dictionary]}}
seeds: [0]
"""


def make_task(folder: Path, kinds: tuple[str, ...] = ("0123456789", "abcdefghij")) -> Path:
    """Write documents whose label is the alphabet they are written in, three to a group; a rare kind is left over."""
    draw = random.Random(0)
    rows = [
        {"name": f"d{i}", "place": f"p{i // 3}", "kind": kinds[k], "words": "".join(draw.choices(kinds[k], k=40))}
        for i in range(240)
        for k in [draw.randrange(len(kinds))]
    ]
    rows += [{"name": f"r{i}", "place": f"r{i % 4}", "kind": "rare", "words": f"?!{i}" * 9} for i in range(12)]
    (folder / "tasks").mkdir(parents=True)
    (folder / "rows").mkdir()
    (folder / "rows" / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "tasks" / "letters.yaml"
    path.write_text(TASK.format(folder=folder / "rows"))
    return path


@pytest.mark.usefixtures("cache")
class TestTrack:
    def test_a_label_the_activations_show_is_read_off_and_an_exchanged_one_is_not(self, tmp_path: Path) -> None:
        task = str(make_task(tmp_path / "data"))
        outcome = evaluate("topk,identity", task, tmp_path / "runs")
        ours, identity = (values(record_of(outcome, name)) for name in ("topk", "identity"))
        assert ours["full_probe"] == pytest.approx(1.0, abs=0.01)
        assert (ours["sparse_probe_5"] or 0) > 0.9
        # Ten permutations of some 140 documents: the standard error is about .017.
        assert ours["probe_null"] == pytest.approx(0.5, abs=0.06)
        # A raw dimension is a latent of the identity: the two ways to measure it agree.
        for k in (1, 5):
            assert identity[f"sparse_probe_{k}"] == identity[f"raw_probe_{k}"] == ours[f"raw_probe_{k}"]
        record = record_of(outcome, "topk")
        assert record.margins["sparse_probe_5"].value is not None
        assert record.details["labels"] == 2
        assert ours["l0"] == pytest.approx(8)

    def test_latents_that_code_the_document_do_not_count_in_l0(self, tmp_path: Path) -> None:
        task = str(make_task(tmp_path / "data"))
        record = record_of(evaluate("shared_unique", task, tmp_path / "runs", controls=False), "shared_unique")
        # 64 of 96 latents are shared and always active; 8 of the others are wanted.
        assert 0 < (values(record)["l0"] or 0) < 20

    def test_numbers_do_not_depend_on_the_batch_size(self, tmp_path: Path) -> None:
        task = str(make_task(tmp_path / "data"))
        one, other = (
            values(record_of(evaluate("identity", task, tmp_path / str(n), controls=False, batch_size=n), "identity"))
            for n in (1, 16)
        )
        assert one == other

    def test_other_labels_on_the_same_texts_are_another_table(self, tmp_path: Path) -> None:
        task = str(make_task(tmp_path / "data"))
        first = evaluate("identity", task, tmp_path / "runs", controls=False).records[0].record
        rows = tmp_path / "data" / "rows" / "all.jsonl"
        rows.write_text(rows.read_text().replace('"kind": "0123456789"', '"kind": "abcdefghij"', 20))
        again = evaluate("identity", task, tmp_path / "runs", controls=False)
        assert again.skipped == 0
        assert again.records[0].record.task.table != first.task.table

    def test_rare_labels_are_left_out_and_said(self, tmp_path: Path) -> None:
        task = str(make_task(tmp_path / "data"))
        Path(task).write_text(Path(task).read_text().replace("test_tokens: 9000", "test_tokens: 20000"))
        record = evaluate("identity", task, tmp_path / "runs", controls=False).records[0].record
        said = [note for note in record.warnings if "left out" in note]
        assert said == ["labels in fewer than 5 groups are left out: rare"]

    def test_a_task_without_a_label_or_with_one_alone_is_refused(self, tmp_path: Path) -> None:
        task = make_task(tmp_path / "data")
        good = task.read_text()
        task.write_text(good.replace('label: "{{ kind }}"\n', ""))
        with pytest.raises(UserError, match=r"letters.yaml:\d+: track 'sparse_probing' predicts a label"):
            evaluate("identity", str(task), tmp_path / "runs")
        task.write_text(good)
        lone = make_task(tmp_path / "lone", ("0123456789",))
        with pytest.raises(UserError, match=r"two values of its label must occur in 5 groups"):
            evaluate("identity", str(lone), tmp_path / "runs", controls=False)
