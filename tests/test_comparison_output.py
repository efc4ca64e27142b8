"""A comparison as a page, as Markdown for a comment, as JSON and on the command line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from board_cases import GOOD, WEAK, three
from board_records import Case, Cell, save
from commands import call

from harness.comparison import words
from harness.comparison.comparing import compare
from harness.comparison.findings import Comparison, Gap
from harness.comparison.forest import forest
from harness.comparison.page import html, slug, write
from harness.comparison.text import COLUMNS, inert, jsonable, lines, markdown

HOSTILE = '"><script>alert(1)</script><img src="http://example.org/x.png" onerror="alert(2)">|`[x](y)@team\n# www.a.b'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run")
    three(made, "one", GOOD)
    three(made, "two", WEAK)
    three(made, "loose", replace(GOOD, l0=71.0))
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> Comparison:
    return compare("one", "two", folder, margins={"fvu": 0.01}, deltas={"fvu": 0.01})


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    made = tmp_path_factory.mktemp("hostile")
    details = {"details": {f"documents of {HOSTILE}": 48.0}}
    # A name that is a path cannot be one of a method; where it stands in a record all the same, it is text.
    record = save(made, Case(title=HOSTILE), Cell("bad", seeded=False, change=details))
    plain = json.loads(record.path.read_text(encoding="utf-8"))
    plain["method"]["name"] = HOSTILE
    record.path.write_text(json.dumps(plain), encoding="utf-8")
    save(made, Case(title=HOSTILE), Cell("two", quality=WEAK, seeded=False))
    return compare(HOSTILE, "two", made)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.seen


def test_the_page_says_every_verdict_and_loads_nothing(found: Comparison) -> None:
    page = html(found)
    seen = tags(page)
    assert not {"img", "link", "iframe", "object"} & {tag for tag, _ in seen}
    assert [attrs for tag, attrs in seen if tag == "script"] == [{}]
    assert not [attrs for _, attrs in seen if {"style", "src"} & set(attrs) or any(k.startswith("on") for k in attrs)]
    assert all((attrs.get("href") or "").startswith("#") for tag, attrs in seen if tag == "a")
    (policy,) = [attrs["content"] for tag, attrs in seen if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert re.search(r"script-src 'sha256-[^' ]+';", policy)
    text = re.sub(r"\s+", " ", page)
    for metric in found.tables[0].metrics:
        assert words.interval(metric.difference) in text
    assert "A no worse than B by 0.01: yes" in text
    ids = [attrs["id"] for _, attrs in seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"] for tag, attrs in seen if tag == "a"}
    assert targets <= {f"#{one}" for one in ids}


def test_hostile_names_are_text_on_the_page(hostile: Comparison) -> None:
    page = html(hostile)
    found = [tag for tag, _ in tags(page)]
    assert found.count("script") == 1
    assert "img" not in found
    assert "&lt;script&gt;" in page


def test_hostile_names_are_text_in_markdown(hostile: Comparison) -> None:
    text = markdown(hostile)
    bare = re.sub(r"</?details>|</?summary>|<!-- -->", "", text)
    assert "<" not in bare
    assert "@team" not in text
    assert "www." not in text
    assert "://" not in text
    assert "\n# " not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}


def test_inert_text_keeps_what_is_harmless() -> None:
    assert inert("kl_splice of topk") == "kl_splice of topk"
    assert inert("a@b") == "a@<!-- -->b"
    assert inert("https://x.y") == "https:<!-- -->//x.y"


def test_markdown_is_compact_and_folds_the_rest(found: Comparison) -> None:
    text = markdown(found)
    outside = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert len([line for line in outside.splitlines() if line.startswith("| ")]) == 2 + len(found.tables[0].metrics)
    assert "**A better**" in outside
    assert "clusters won" not in outside
    assert text.count("<details>") == text.count("</details>") == 2
    assert "A no worse than B by 0.01: yes" in text


def test_unmatched_l0_stands_before_the_numbers(folder: Path) -> None:
    unmatched = compare("loose", "two", folder)
    text, page = markdown(unmatched), html(unmatched)
    assert text.index("UNMATCHED") < text.index("| metric")
    assert page.index("UNMATCHED") < page.index('<table class="scores')
    assert "A better" not in text.replace("A better on 0", "")


def test_json_holds_the_findings(found: Comparison) -> None:
    plain = json.loads(json.dumps(jsonable(found), allow_nan=False))
    (table,) = plain["tables"]
    fvu = next(metric for metric in table["metrics"] if metric["metric"] == "fvu")
    known = next(metric for metric in found.tables[0].metrics if metric.metric == "fvu")
    assert (fvu["better"], fvu["verdict"]) == ("A", "A better")
    assert fvu["difference"]["lo"] == pytest.approx(known.difference.lo)
    assert fvu["margin"] == {"tolerance": 0.01, "verdict": "pass"}


def test_no_p_without_interval(found: Comparison, hostile: Comparison) -> None:
    for comparison in (found, hostile):
        for table in comparison.tables:
            for metric in table.metrics:
                assert (metric.p is None) or (metric.difference.lo is not None)
                assert metric.better is None or metric.difference.excludes_0


def test_the_plot_puts_a_on_the_right_where_a_is_better(found: Comparison) -> None:
    plot = forest(found.tables[0].metrics)
    assert plot is not None
    by_name = {mark.metric: mark for mark in plot.marks}
    for metric in found.tables[0].metrics:
        if metric.metric in by_name:
            mark = by_name[metric.metric]
            assert mark.lo <= mark.x <= mark.hi
            assert (mark.x > plot.zero) == (metric.sign * (metric.difference.value or 0) > 0)
            assert (mark.lo > plot.zero) or metric.better != "A"
        else:
            assert metric.metric in plot.missing


def test_an_interval_that_is_too_wide_for_the_plot_is_cut_and_says_so(found: Comparison) -> None:
    metric = replace(found.tables[0].metrics[0], effect=Gap(0.1, -50.0, 50.0, "t"))
    plot = forest([metric])
    assert plot is not None
    (mark,) = plot.marks
    assert (mark.cut_lo, mark.cut_hi) == (True, True)
    assert 0 <= mark.lo < mark.hi <= plot.width
    assert forest([replace(metric, effect=Gap(None, None, None, "none"))]) is None


@pytest.mark.parametrize(
    ("name", "start"),
    [("topk", "topk"), ("../../etc", "etc-"), ("path:D/x y", "path-D-x-y-"), ("///", "side-"), (".hidden", "hidden-")],
)
def test_file_names_stay_in_their_folder(name: str, start: str) -> None:
    made = slug(name)
    assert made.startswith(start)
    assert Path(made).name == made
    assert not made.startswith(".")


def test_names_that_look_alike_as_files_do_not_collide() -> None:
    assert len({slug(name) for name in ("a-b", "a:b", "a/b", "a b", "a" * 80, "a" * 81)}) == 6


def test_files_are_the_same_for_equal_records(found: Comparison, folder: Path, tmp_path: Path) -> None:
    first = write(found, tmp_path / "first")
    again = compare("one", "two", folder, margins={"fvu": 0.01}, deltas={"fvu": 0.01})
    second = write(again, tmp_path / "second")
    assert [path.name for path in first] == ["one-vs-two.html", "one-vs-two.md", "one-vs-two.json"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], found: Comparison) -> None:
    given = ("compare", "one", "two", "--run", str(folder), "--output-path", str(tmp_path))
    answer = call(capsys, *given, "--margin", "fvu=0.01", "--delta", "fvu=.01")
    assert answer.code == 0
    rows = [line.split("\t") for line in answer.out.splitlines()]
    assert tuple(rows[0]) == COLUMNS
    assert rows[1:] == lines(found)
    assert "one-vs-two.html" in answer.err
    assert (tmp_path / "one-vs-two.md").is_file()
    assert call(capsys, *given, "--json").json["a"] == "one"


def test_the_command_writes_into_the_run_folder_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old", "new"):
        save(tmp_path / name, Case(), Cell("one"))
        save(tmp_path / name, Case(), Cell("pca", 0, role="floor", seeded=False))
    answer = call(capsys, "compare", str(tmp_path / "new"), str(tmp_path / "old"))
    assert answer.code == 0
    # Every line on stderr says of which row it is; that a control is one is no news where it stands on both sides.
    (said,) = [line for line in answer.err.splitlines() if not line.startswith(str(tmp_path))]
    assert said.startswith("gsm_symbolic: one: No side is called better, since seeds are missing: A: 1 of the 3 seeds")
    assert {path.suffix for path in (tmp_path / "new" / "compare").iterdir()} == {".html", ".md", ".json"}


def test_mistakes_of_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ("--run", str(folder))
    cases = {
        ("compare", "one", "tow", *run): "unknown method 'tow'",
        ("compare", "one", str(folder)): "is a folder of results",
        ("compare", "one", "two", "--run", str(tmp_path)): "holds no results",
        ("compare", "one", "two", *run, "--margin", "fvu"): "write METRIC=NUMBER",
        ("compare", "one", "two", *run, "--margin", "fvu=nan"): "must be finite",
        ("compare", "one", "two", *run, "--delta", "fvu=1", "--delta", "fvu=2"): "given twice",
        ("compare", "one", "two", *run, "--margin", "fvu=-1"): "must be above 0",
    }
    for given, message in cases.items():
        answer = call(capsys, *given)
        assert (answer.code, answer.out) == (2, "")
        assert message in answer.err
