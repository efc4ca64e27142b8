"""What is wrong with a file, a column or a template is said with file, line, row and the names there are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from data_tasks import folder_task, make_task, write_rows

from harness.data.rows import load_corpus
from harness.data.tables import as_word, lookup, read_jsonl
from harness.errors import UserError

ROWS = [{"text": f"row number {i}", "who": f"p{i // 2}", "more": {"kind": f"k{i % 3}"}} for i in range(30)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows" / "train.jsonl", ROWS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "a"}\n{"text": \n', r"train\.jsonl:2: not a JSON object on one line"),
        (b'{"text": "a"}\n\n[1, 2]\n', r"train\.jsonl:3: every line must be a JSON object, got list"),
        (b'{"text": "a"}\n{"text": "\xe9"}\n', r"train\.jsonl:2: not UTF-8: byte 11 of the line is 0xe9"),
        (b"", "the data set .* is empty: there are no rows"),
        (b'{"text": ""}\n', "is empty: all 1 rows render to an empty text"),
    ],
)
def test_files_that_are_not_json_lines(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "train.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_corpus(folder_task(tmp_path))


def test_json_lines_keep_line_separators_and_byte_order_marks_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes('\ufeff{"text": "one\u2028line"}\r\n{"text": "two", "b": 1}\n'.encode())
    table = read_jsonl(path)
    assert table.columns == ("text", "b")
    assert [row["text"] for row in table.rows] == ["one\u2028line", "two"]


def test_missing_folder_file_and_split(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"'.*nowhere' is not a folder"):
        load_corpus(folder_task(tmp_path / "nowhere"))
    (tmp_path / "bare").mkdir()
    with pytest.raises(UserError, match=r"holds no file SPLIT\.jsonl"):
        load_corpus(folder_task(tmp_path / "bare"))
    splits = {"val": {"split": "trian"}, "test": {"split": "train"}}
    with pytest.raises(UserError, match=r"unknown split 'trian'\. Did you mean 'train'\? Allowed: train"):
        load_corpus(folder_task(folder, splits=splits))


def test_columns_that_are_not_there(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"'text' names the column 'txt', which the data do not have\. Did you mean 'text'"
    ):
        load_corpus(folder_task(folder, "{{ txt }}"))
    with pytest.raises(UserError, match=r"data\.group names the column 'whom'.*Did you mean 'who'.*more, text, who"):
        load_corpus(folder_task(folder, group="whom"))
    with pytest.raises(UserError, match=r"row train/0 has no column 'more\.sort' \(data\.domain\)"):
        load_corpus(folder_task(folder, domain="more.sort"))
    with pytest.raises(UserError, match=r"row train/0: 'text' cannot be filled in: .*no attribute 'sort'"):
        load_corpus(folder_task(folder, "{{ more.sort }}"))


def test_a_row_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    rows: list[Mapping[str, Any]] = [{"text": "a", "g": 1}, {"g": 2}, {"text": "c", "g": None}]
    folder = write_rows(tmp_path / "train.jsonl", rows)
    with pytest.raises(UserError, match="row train/1: 'text' cannot be filled in: 'text' is undefined"):
        load_corpus(folder_task(folder))
    with pytest.raises(UserError, match=r"row train/2 has no value in column 'g' \(data\.group\)"):
        load_corpus(folder_task(folder, "x{{ g }}", group="g"))


def test_an_id_must_be_unique(folder: Path) -> None:
    with pytest.raises(UserError, match="column 'who' names two rows 'train/p0'"):
        load_corpus(folder_task(folder, id="who"))


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ text.__class__.__base__.__subclasses__() }}",
        "{% for i in range(10 ** 9) %}{% endfor %}",
        "{{ more.update({'a': 1}) }}",
        "{{ 1 // 0 }}",
        "{{ text.format_map(1).x }}",
    ],
)
def test_the_template_is_sandboxed_and_its_errors_name_the_row(folder: Path, template: str) -> None:
    with pytest.raises(UserError, match="task 'made_up': row train/0: 'text' cannot be filled in"):
        load_corpus(folder_task(folder, template))


@pytest.mark.parametrize("template", ["{{ text", "{{ text | random }}", "{% include 'x' %}{% endif %}"])
def test_templates_that_do_not_compile(folder: Path, template: str) -> None:
    with pytest.raises(UserError, match="line 1 of 'text' is not a template"):
        load_corpus(folder_task(folder, template))


def test_nothing_is_escaped_and_columns_win_over_methods(tmp_path: Path) -> None:
    rows = [{"text": f"<b>{i}</b> & more", "m": {"values": "kept"}} for i in range(9)]
    corpus = load_corpus(folder_task(write_rows(tmp_path / "train.jsonl", rows), "{{ text }} {{ m.values }}"))
    assert all("</b> & more kept" in d.text for d in corpus.splits["test"])


def test_generated_data_and_prompts_have_no_named_splits() -> None:
    splits = {
        "train": {"split": "train", "share": 0.5},
        "val": {"split": "train", "share": 0.2},
        "test": {"split": "x"},
    }
    spec = make_task({"source": "reasoning_gym", "name": "chain_sum", "size": 5, "splits": splits}, "{{ question }}")
    with pytest.raises(UserError, match="reasoning_gym has no split 'train'; give each split as a share alone"):
        load_corpus(spec)


def test_lookup_and_words() -> None:
    assert lookup({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert lookup({"a": {"b": {"c": 3}}}, "a.b.c") == 3
    with pytest.raises(KeyError):
        lookup({"a": 1}, "a.b")
    assert as_word({"b": 1, "a": 2}) == as_word({"a": 2, "b": 1})
    assert as_word("1") == "1"
    assert as_word(1.5) == "1.5"
