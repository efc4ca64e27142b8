"""Track ``domains`` on texts whose class is written all over them, and on such where it is not."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.board import write_pages
from harness.board.table import load_board
from harness.data.rows import load_corpus
from harness.errors import UserError
from harness.run.engine import Outcome
from harness.run.evaluate import evaluate
from harness.specs.library import Library
from harness.specs.record import Record
from harness.tracks.coding import numbers_sent

WORDS = {"birds": "wren owl kite", "metals": "ZINC LEAD IRON", "numbers": "12 345 6789"}
TASK = """
task: planted_domains
version: 1
title: Classes by their words
track: domains
model: tiny-random
data:
  source: folder
  path: FOLDER
  group: source
  splits: {train: {split: rows, share: 0.3}, val: {split: rows, share: 0.1}, test: {split: rows, share: 0.6}}
text: "{{ text }}"
label: "{{ '' if kind == 'noise' else kind }}"
site: {depth: 1.0}
budget: {train_tokens: 2000, val_tokens: 600, passes: 2, latents: 128, l0: 8, context: 64, test_tokens: 9000}
controls: {ceiling: [identity], floor: [mean_only], derived: [shuffled_shared]}
seeds: [0]
metrics:
  - domain_bal_acc
  - domain_auroc
  - domain_bal_acc_unique
  - domain_auroc_unique
  - domain_gain
  - domain_bal_acc_permuted
  - leak_r2
  - fvu
  - l0
  - bits_per_token
"""


def rows() -> list[dict[str, str]]:
    draw = random.Random(0)
    found = []
    for number in range(140):
        kind = (*WORDS, "noise")[number % 4] if number < 136 else "rare"
        words = WORDS.get(kind, "wren ZINC 12").split()
        text = " ".join(draw.choice(words) for _ in range(10))
        found.append({"text": f"{text} {number}", "kind": kind, "source": f"s{number // 2 if kind != 'rare' else 'r'}"})
    return found


@pytest.fixture(scope="module")
def include(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the task and its data; the cache lies in it too."""
    folder = tmp_path_factory.mktemp("domains")
    for name in ("data", "tasks"):
        (folder / name).mkdir()
    (folder / "data" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")
    text = TASK.replace("FOLDER", str(folder / "data"))
    (folder / "tasks" / "planted_domains.yaml").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        yield folder


def run(include: Path, methods: str, folder: str = "out", **options: Any) -> Outcome:
    return evaluate(methods, "planted_domains", include / folder, include_path=[include], **options)


def record(outcome: Outcome, name: str) -> Record:
    found = [stored.record for stored in outcome.records if stored.record.method.name == name]
    assert len(found) == 1
    return found[0]


def value(outcome: Outcome, name: str, metric: str) -> float:
    found = record(outcome, name).metrics[metric].value
    assert found is not None
    return found


@pytest.fixture(scope="module")
def outcome(include: Path) -> Outcome:
    return run(include, "mean_subtracted,topk")


def test_a_planted_domain_is_told_by_every_code_but_the_nulls(outcome: Outcome) -> None:
    for name in ("mean_subtracted", "topk", "identity"):
        assert value(outcome, name, "domain_bal_acc") > 0.9
        assert value(outcome, name, "domain_auroc") > 0.95
        assert value(outcome, name, "domain_bal_acc_permuted") == pytest.approx(1 / 3, abs=0.2)
    assert value(outcome, "mean_only", "domain_bal_acc") == pytest.approx(1 / 3)
    assert value(outcome, "mean_only", "domain_auroc") == pytest.approx(0.5)
    assert value(outcome, "shuffled_shared", "domain_bal_acc") < 0.6
    assert record(outcome, "mean_subtracted").margins["domain_bal_acc"].value == pytest.approx(
        value(outcome, "mean_subtracted", "domain_bal_acc")
        - max(value(outcome, name, "domain_bal_acc") for name in ("mean_only", "shuffled_shared"))
    )


def test_the_shared_code_of_a_subtracted_mean_is_the_raw_mean(outcome: Outcome) -> None:
    """Two ways to one number: the mean of identity's codes, and the code that is the mean."""
    for metric in ("domain_bal_acc", "domain_auroc"):
        shared, raw = value(outcome, "mean_subtracted", metric), value(outcome, "identity", f"{metric}_unique")
        assert shared == pytest.approx(raw, abs=1e-9)
    assert value(outcome, "identity", "leak_r2") > 0.99
    assert value(outcome, "mean_subtracted", "leak_r2") < value(outcome, "topk", "leak_r2")


def test_intervals_are_over_groups(outcome: Outcome) -> None:
    found = record(outcome, "topk")
    chance = found.metrics["domain_bal_acc_permuted"]
    assert chance.lo is not None
    assert chance.hi is not None
    assert chance.lo < 1 / 3 < chance.hi
    groups = {row["source"] for row in rows()}
    assert 0.4 * len(groups) < found.data.clusters < 0.7 * len(groups)


def test_classes_are_counted_and_small_ones_left_out(outcome: Outcome) -> None:
    found = record(outcome, "topk")
    counts = {name: count for name, count in found.details.items() if name.startswith("documents of")}
    assert set(counts) == {"documents of birds", "documents of metals", "documents of numbers"}
    stored = next(s for s in outcome.records if s.record.method.name == "topk")
    parts = stored.parts()
    assert len(parts["doc_label"]) == sum(counts.values()) == len(parts["doc_map"])
    spec = Library([stored.path.parents[4]]).task("planted_domains")
    test = load_corpus(spec).splits["test"]
    assert sum(counts.values()) == sum(d.label in WORDS for d in test), "documents without a label are left out"
    assert (sum(d.label == "rare" for d in test) > 0) == any("rare" in text for text in found.warnings)


def test_the_page_shows_where_the_documents_lie(outcome: Outcome, include: Path, tmp_path: Path) -> None:
    board = load_board(include / "out")
    (table,) = board.tables
    rows = {row.name: row for row in table.rows}
    stored = next(s for s in outcome.records if s.record.method.name == "topk")
    own = rows["topk"].map
    assert own is not None
    assert [*zip(own.x, own.y, strict=True)] == [tuple(row) for row in stored.parts()["doc_map"].tolist()]
    classes = sorted(WORDS)
    assert list(own.label) == [classes[int(i)] for i in stored.parts()["doc_label"]]
    write_pages(board, tmp_path, include / "out")
    (path,) = (tmp_path / "tasks").iterdir()
    page = path.read_text()
    for name in ("topk", "mean_subtracted", "identity"):
        assert f"documents as coded by {name}" in page
    assert "documents as coded by mean_only" not in page


def test_a_method_without_a_shared_code_has_no_gain(outcome: Outcome) -> None:
    assert record(outcome, "topk").metrics["domain_gain"].value is None
    gain = value(outcome, "mean_subtracted", "domain_gain")
    own = value(outcome, "mean_subtracted", "domain_bal_acc")
    assert gain == pytest.approx(own - value(outcome, "mean_subtracted", "domain_bal_acc_unique"))


def test_numbers_do_not_depend_on_the_batch_size(include: Path, outcome: Outcome) -> None:
    other = run(include, "mean_subtracted", "other", batch_size=3, controls=False)
    for name, metric in record(other, "mean_subtracted").metrics.items():
        assert metric.value == pytest.approx(value(outcome, "mean_subtracted", name), rel=1e-4, abs=1e-4), name


def test_the_shared_code_is_priced_and_not_counted_in_l0(outcome: Outcome) -> None:
    found = record(outcome, "mean_subtracted")
    assert value(outcome, "mean_subtracted", "l0") == pytest.approx(8, rel=0.2)
    documents, tokens = found.data.splits["test"].documents, found.details["tokens"]
    latents = 128 + 64  # the unique code's, and the axes that hold the mean
    own = value(outcome, "mean_subtracted", "l0") * (torch.tensor(float(latents)).log2().item() + 8)
    assert value(outcome, "mean_subtracted", "bits_per_token") == pytest.approx(own + 8 * 64 * documents / tokens)


def test_numbers_are_sent_where_the_shared_code_changes() -> None:
    z_NR = torch.tensor([[1.0, 2], [1, 2], [1, 3], [1, 3], [1, 3]])
    doc_N = torch.tensor([4, 4, 4, 4, 9])
    assert numbers_sent(z_NR, doc_N).tolist() == [2, 0, 2, 0, 2]
    assert numbers_sent(z_NR[:, :0], doc_N).tolist() == [0] * 5


@pytest.mark.parametrize("label", ["''", "'all'"])
def test_too_few_classes_are_refused(include: Path, label: str) -> None:
    with pytest.raises(UserError, match="needs a 'label' with two classes of at least 3 groups"):
        run(include, "topk", set={"label": f'"{{{{ {label} }}}}"'})


def test_labels_are_part_of_the_data(include: Path) -> None:
    library = Library([include])
    spec = library.task("planted_domains")
    plain = spec.model_copy(update={"label": None})
    other = spec.model_copy(update={"label": "{{ kind | upper }}"})
    prints = [load_corpus(each).fingerprint for each in (spec, plain, other)]
    assert len(set(prints)) == 3
    labels = {d.label for d in load_corpus(spec).splits["test"]}
    assert labels - {"rare"} == {None, *WORDS}
    with pytest.raises(UserError, match=r"'label' names the column 'knd'.*Did you mean 'kind'"):
        load_corpus(spec.model_copy(update={"label": "{{ knd }}"}))


def test_a_folder_is_found_among_the_mirrors(include: Path) -> None:
    spec = Library([include]).task("planted_domains")
    there = spec.model_copy(update={"data": spec.data.model_copy(update={"path": "data"})})
    assert load_corpus(there, data_dir=include).fingerprint == load_corpus(spec).fingerprint
    with pytest.raises(UserError, match="is not a folder"):
        load_corpus(there)
