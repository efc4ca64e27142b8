"""Rows become documents: sources, templates, groups, limits, and the sentences for what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from data_tasks import folder_task, make_task, write_rows

from harness.data.rows import estimate_tokens, load_corpus
from harness.data.tables import read_jsonl
from harness.errors import UserError
from harness.specs.data import HubData
from harness.specs.library import Library
from harness.specs.task import Budget

ROWS = [{"text": f"row number {i}", "who": f"p{i // 2}", "more": {"kind": f"k{i % 3}"}} for i in range(30)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows" / "train.jsonl", ROWS)


def mirrored_tasks() -> list[str]:
    library = Library()
    specs = [library.task(name) for name in library.names("tasks")]
    return [spec.task for spec in specs if isinstance(spec.data, HubData) and spec.data.mirror]


@pytest.mark.parametrize("name", mirrored_tasks())
def test_every_task_reads_its_mirror(name: str, data_dir: Path) -> None:
    spec = Library().task(name)
    corpus = load_corpus(spec, data_dir=data_dir)
    assert isinstance(spec.data, HubData)
    # where the task has a corpus, train and val are its, but for problems that something is chosen on
    own = {"val", "test"} if spec.chooses else {"test"}
    assert set(corpus.splits) == (own if spec.corpus else {"train", "val", "test"})
    assert corpus.origin.mirror == spec.data.mirror
    assert corpus.origin.name == spec.data.name
    assert corpus.origin.revision is None
    assert corpus.warnings == ()
    groups = [{d.group for d in documents} for documents in corpus.splits.values()]
    assert sum(len(g) for g in groups) == len(set().union(*groups))
    assert corpus.fingerprint == load_corpus(spec, data_dir=data_dir).fingerprint


def test_squad_is_grouped_by_context_and_not_by_title(data_dir: Path) -> None:
    spec = Library().task("squad")
    rows = list(read_jsonl(data_dir / "squad_v2" / "validation.jsonl").rows)
    documents = [d for split in load_corpus(spec, data_dir=data_dir).splits.values() for d in split]
    assert {d.group for d in documents} == {row["context"] for row in rows}
    assert len({d.group for d in documents}) > len({row["title"] for row in rows})


def test_repeated_problems_stay_together(data_dir: Path) -> None:
    spec = Library().task("openthoughts")
    corpus = load_corpus(spec, data_dir=data_dir)
    sizes = {name: len(documents) - len({d.group for d in documents}) for name, documents in corpus.splits.items()}
    assert sum(sizes.values()) > 0, "the rows hold problems with several solutions"
    assert {d.domain for d in corpus.splits["train"]} >= {"math", "puzzle"}


def test_prompts_are_all_test_documents() -> None:
    prompts = {"causal": [{"prompt": "Why?"}, {"prompt": "How?", "difficulty": 3}], "plan": [{"prompt": "What next?"}]}
    spec = make_task({"source": "prompts", "prompts": prompts, "domain": "category"}, "{{ prompt }} {{ difficulty }}")
    corpus = load_corpus(spec, data_dir=None, limit=None)
    assert {(d.id, d.domain, d.text) for d in corpus.splits["test"]} == {
        ("causal/01", "causal", "Why? 1"),
        ("causal/02", "causal", "How? 3"),
        ("plan/01", "plan", "What next? 1"),
    }
    assert list(corpus.splits) == ["test"]
    assert corpus.origin.source == "prompts"


def test_ids_groups_and_domains_come_from_dotted_columns(folder: Path) -> None:
    corpus = load_corpus(folder_task(folder, id="text", group="who", domain="more.kind"))
    by_id = {d.id: d for documents in corpus.splits.values() for d in documents}
    assert by_id["train/row number 4"].group == "p2"
    assert by_id["train/row number 4"].domain == "k1"


def test_rows_without_an_id_are_named_by_their_number(folder: Path) -> None:
    corpus = load_corpus(folder_task(folder))
    assert {d.id for documents in corpus.splits.values() for d in documents} == {f"train/{i}" for i in range(30)}


def test_equal_texts_share_a_group_even_where_every_row_is_its_own(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "train.jsonl", [{"text": f"row {i % 12}"} for i in range(48)])
    corpus = load_corpus(folder_task(folder))
    texts = [{d.text for d in documents} for documents in corpus.splits.values()]
    assert sum(len(t) for t in texts) == 12


def test_limit_is_a_prefix_and_changes_the_fingerprint(folder: Path) -> None:
    whole, limited = load_corpus(folder_task(folder)), load_corpus(folder_task(folder), limit=3)
    assert {name: len(documents) for name, documents in limited.splits.items()} == {"train": 3, "val": 3, "test": 3}
    assert all(documents == whole.splits[name][:3] for name, documents in limited.splits.items())
    assert limited.fingerprint != whole.fingerprint
    with pytest.raises(UserError, match="--limit must be at least 1, got 0"):
        load_corpus(folder_task(folder), limit=0)


def test_the_fingerprint_sees_texts_ids_and_groups(folder: Path) -> None:
    prints = {
        load_corpus(task).fingerprint
        for task in (
            folder_task(folder),
            folder_task(folder, "{{ text }}!"),
            folder_task(folder, id="text"),
            folder_task(folder, group="who"),
        )
    }
    assert len(prints) == 4


def test_empty_texts_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [{"text": f"row {i}" if i % 4 else " \n"} for i in range(40)]
    corpus = load_corpus(folder_task(write_rows(tmp_path / "train.jsonl", rows)))
    assert (corpus.rows, corpus.empty) == (40, 10)
    assert sum(len(documents) for documents in corpus.splits.values()) == 30


def test_documents_whose_group_is_in_test_are_dropped_and_counted(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", [{"text": f"a{i}", "g": i % 20} for i in range(40)])
    write_rows(tmp_path / "test.jsonl", [{"text": f"b{i}", "g": i} for i in range(5)])
    splits = {
        "train": {"split": "train", "share": 0.8},
        "val": {"split": "train", "share": 0.2},
        "test": {"split": "test"},
    }
    corpus = load_corpus(folder_task(tmp_path, group="g", splits=splits))
    assert corpus.shared["train"] + corpus.shared["val"] == 10
    assert len(corpus.splits["test"]) == 5


def test_plain_shares_take_every_file_of_the_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rows(tmp_path / f"{name}.jsonl", [{"text": f"{name}{i}"} for i in range(10)])
    corpus = load_corpus(folder_task(tmp_path))
    assert sum(len(documents) for documents in corpus.splits.values()) == 20


def test_estimates_follow_context_and_budget(folder: Path) -> None:
    corpus = load_corpus(folder_task(folder))
    most = {name: len(documents) for name, documents in corpus.splits.items()}
    budget = Budget(context=8, train_tokens=10**6, val_tokens=1, test_tokens=10**6)
    # "row number 12" is 13 characters, so 4 tokens.
    assert estimate_tokens(corpus, budget) == {"train": 4 * most["train"], "val": 1, "test": 4 * most["test"]}
    long = load_corpus(folder_task(folder, "{{ text * 10 }}"))
    assert estimate_tokens(long, budget)["train"] == 8 * most["train"]
    packed = Budget(context=8, packing="pack", train_tokens=10**6, val_tokens=1, test_tokens=10**6)
    assert estimate_tokens(long, packed)["train"] > 30 * most["train"]


def test_budgets_nest() -> None:
    with pytest.raises(ValueError, match=r"splice_tokens \(20\) must be at most test_tokens \(10\)"):
        Budget(context=8, test_tokens=10, splice_tokens=20)
    with pytest.raises(ValueError, match=r"density_tokens \(5\) must be at least test_tokens \(10\)"):
        Budget(context=8, test_tokens=10, density_tokens=5)


def test_reading_files_imports_nothing_slow() -> None:
    code = (
        "import sys; from harness.data.rows import load_corpus; slow = {'torch', 'datasets', 'reasoning_gym', "
        "'huggingface_hub', 'transformers', 'pandas'} & set(sys.modules); assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_fixture_rows_are_what_their_script_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(__file__).parent / "fixtures" / "data"
    monkeypatch.syspath_prepend(source)
    import make

    monkeypatch.setattr(make, "HERE", tmp_path)
    make.main()
    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    assert written == {path.relative_to(source): path.read_bytes() for path in source.rglob("*.jsonl")}
    assert sum(map(len, written.values())) < 200_000
