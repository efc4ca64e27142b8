"""The hub, its mirrors and its absence; problems from reasoning-gym."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import pytest
from data_tasks import make_task, write_rows
from datasets.arrow_writer import ArrowWriter
from huggingface_hub import errors

from harness.data.rows import load_corpus
from harness.errors import UserError
from harness.specs.library import Library
from harness.specs.task import TaskSpec

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = [{"text": f"row {i}", "who": i // 2, "unused": "x" * 50} for i in range(40)]


def hub_task(**data: Any) -> TaskSpec:
    splits = {"train": {"split": "train", "share": 0.5}, "val": {"split": "train", "share": 0.2}}
    splits["test"] = {"split": "train", "share": 0.3}
    return make_task({"source": "hub", "name": "some/rows", "group": "who", "splits": splits, **data})


class Hub:
    """Stands in for the hub: remembers what was asked, answers with ``ROWS`` or raises."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.info_error: Exception | None = None
        self.load_error: Exception | None = None
        self.breaks_at: int | None = None
        self.cached: Path | None = None

    def dataset_info(self, _api: Any, name: str, revision: str | None = None, timeout: float = 0) -> Any:
        if self.info_error:
            raise self.info_error
        return SimpleNamespace(sha=COMMIT)

    def load_dataset(self, name: str, config: str | None, **options: Any) -> Any:
        self.asked.append({"name": name, "config": config, **options})
        if self.load_error:
            raise self.load_error
        if options["streaming"]:
            return datasets.IterableDataset.from_generator(self.stream)
        return datasets.Dataset.from_file(str(self.cached)) if self.cached else datasets.Dataset.from_list(ROWS)

    def stream(self) -> Iterator[dict[str, Any]]:
        for i, row in enumerate(ROWS):
            if i == self.breaks_at:
                raise ConnectionError("the line went dead")
            yield row


def answered(kind: type[Exception]) -> Exception:
    """Return an error of the hub client, which wants a response."""
    return kind("no", response=SimpleNamespace(headers={}, request=None))  # type: ignore[call-arg]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *args, **kw: hub.dataset_info(*args, **kw))
    monkeypatch.setattr(datasets, "load_dataset", hub.load_dataset)
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *args, **kw: ["train"])
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf-cache"))
    return hub


def test_the_hub_is_read_at_the_commit_that_is_recorded(hub: Hub) -> None:
    corpus = load_corpus(hub_task(config="main"))
    assert corpus.origin.revision == COMMIT
    assert corpus.origin.mirror is None
    assert hub.asked == [
        {"name": "some/rows", "config": "main", "split": "train", "revision": COMMIT, "streaming": False}
    ]
    assert sum(len(documents) for documents in corpus.splits.values()) == 40


def test_plain_shares_take_every_split_of_the_hub_data_set(hub: Hub) -> None:
    corpus = load_corpus(hub_task(splits={"train": 0.5, "val": 0.2, "test": 0.3}))
    assert [asked["split"] for asked in hub.asked] == ["train"]
    assert sum(len(documents) for documents in corpus.splits.values()) == 40


def test_a_number_of_rows_is_streamed(hub: Hub) -> None:
    corpus = load_corpus(hub_task(rows=20))
    assert hub.asked[0]["streaming"] is True
    assert corpus.rows == 20


def test_a_stream_that_breaks_off_is_explained(hub: Hub) -> None:
    hub.breaks_at = 7
    with pytest.raises(UserError, match=r"'some/rows' cannot be fetched from the hub \(the line went dead\)"):
        load_corpus(hub_task(rows=20))


def test_a_column_the_hub_does_not_have_is_named_with_all_there_are(hub: Hub) -> None:
    with pytest.raises(UserError, match=r"data\.domain names the column 'topic'.*Columns: text, unused, who"):
        load_corpus(hub_task(domain="topic"))


@pytest.mark.parametrize("rows", [None, 20])
def test_without_network_the_way_out_is_named_at_once(hub: Hub, rows: int | None) -> None:
    hub.info_error = OSError("Name or service not known")
    with pytest.raises(
        UserError, match=r"cannot be fetched.*DIR/copy/SPLIT\.jsonl and give --data-dir DIR or set HARNESS_DATA"
    ):
        load_corpus(hub_task(mirror="copy", rows=rows))
    with pytest.raises(UserError, match="names no local copy"):
        load_corpus(hub_task(rows=rows))
    assert hub.asked == []


def test_without_network_a_cached_copy_is_used_and_said(hub: Hub, tmp_path: Path) -> None:
    hub.info_error = OSError("Name or service not known")
    hub.cached = tmp_path / "hf-cache" / "some___rows" / "main" / "0.0.0" / COMMIT / "rows-train.arrow"
    hub.cached.parent.mkdir(parents=True)
    with ArrowWriter(path=str(hub.cached), features=datasets.Dataset.from_list(ROWS).features) as writer:
        for row in ROWS:
            writer.write(row)
        writer.finalize()
    corpus = load_corpus(hub_task())
    assert corpus.origin.revision == COMMIT
    assert corpus.warnings == ("the hub could not be reached: the cached copy of 'some/rows' was used",)
    with pytest.raises(UserError, match=r"revision 'f{40}' is not in the local cache"):
        load_corpus(hub_task(revision="f" * 40))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (answered(errors.RepositoryNotFoundError), "'some/rows' is not on the hub, or is private"),
        (answered(errors.RevisionNotFoundError), "'some/rows' has no revision 'abc'"),
        (errors.HFValidationError("bad id"), "'some/rows': bad id"),
    ],
)
def test_names_the_hub_does_not_know(hub: Hub, error: Exception, message: str) -> None:
    hub.info_error = error
    with pytest.raises(UserError, match=message):
        load_corpus(hub_task(revision="abc"))


def test_what_the_library_refuses_is_passed_on(hub: Hub) -> None:
    hub.load_error = ValueError("Unknown split \"train\".\nShould be one of ['validation'].")
    with pytest.raises(UserError, match=r"cannot be loaded from the hub: Unknown split .* \['validation'\]"):
        load_corpus(hub_task())


def test_a_mirror_stands_in_and_is_recorded(hub: Hub, tmp_path: Path) -> None:
    write_rows(tmp_path / "copy" / "train.jsonl", ROWS)
    corpus = load_corpus(hub_task(mirror="copy", rows=30), data_dir=tmp_path)
    assert (corpus.origin.source, corpus.origin.name, corpus.origin.mirror) == ("hub", "some/rows", "copy")
    assert corpus.origin.revision is None
    assert corpus.rows == 30
    assert corpus.warnings == ()
    assert hub.asked == []


def test_a_folder_without_the_mirror_falls_back_to_the_hub_and_says_so(hub: Hub, tmp_path: Path) -> None:
    corpus = load_corpus(hub_task(mirror="copy"), data_dir=tmp_path)
    assert corpus.origin.mirror is None
    assert corpus.warnings == (f"'{tmp_path}' has no folder 'copy', so 'some/rows' was taken from the hub",)


def test_a_mirror_without_the_split_is_an_error(hub: Hub, tmp_path: Path) -> None:
    write_rows(tmp_path / "copy" / "test.jsonl", ROWS)
    with pytest.raises(UserError, match=r"unknown split 'train'\. Allowed: test"):
        load_corpus(hub_task(mirror="copy"), data_dir=tmp_path)


def test_a_data_folder_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--data-dir .*'.*nowhere' is not a folder"):
        load_corpus(hub_task(mirror="copy"), data_dir=tmp_path / "nowhere")


def gym_task(name: str = "chain_sum", text: str = "{{ question }} {{ answer }}", **data: Any) -> TaskSpec:
    return make_task({"source": "reasoning_gym", "name": name, "size": 40, **data}, text)


def test_generated_problems_are_the_same_every_time() -> None:
    one, other = load_corpus(gym_task()), load_corpus(gym_task())
    assert one == other
    assert one.fingerprint != load_corpus(gym_task(seed=1)).fingerprint
    assert one.origin.source == "reasoning_gym"
    assert one.origin.revision is not None
    assert one.origin.revision.startswith("reasoning-gym 0.")


def test_gsm_symbolic_is_grouped_by_its_templates() -> None:
    spec = Library().task("gsm_symbolic")
    corpus = load_corpus(spec)
    groups = {name: {d.group for d in documents} for name, documents in corpus.splits.items()}
    assert sum(len(g) for g in groups.values()) == len(set().union(*groups.values())) == 85
    assert sum(len(documents) for documents in corpus.splits.values()) == 1200


def test_nested_columns_of_generated_problems() -> None:
    corpus = load_corpus(gym_task("gsm_symbolic", "{{ metadata.answer_cot }}", domain="metadata.difficulty"))
    assert {d.domain for documents in corpus.splits.values() for d in documents} == {"1.0"}


def test_options_reach_the_generator() -> None:
    short = load_corpus(gym_task(options={"min_terms": 2, "max_terms": 2}))
    assert all(d.text.count("+") + d.text.count("-") < 4 for documents in short.splits.values() for d in documents)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "gsm_symbolik"}, "unknown reasoning_gym data set 'gsm_symbolik'. Did you mean 'gsm_symbolic'"),
        ({"options": {"min_term": 2}}, "unknown option .*'chain_sum' 'min_term'. Did you mean 'min_terms'"),
        ({"options": {"size": 2}}, "unknown option .* 'size'"),
        ({"options": {"min_terms": -1}}, "'chain_sum' refuses its settings: min_terms must be positive"),
        ({"group": "template"}, "'chain_sum' does not tell which template"),
    ],
)
def test_settings_a_generator_refuses(data: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_corpus(gym_task(**data))
