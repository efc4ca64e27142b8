"""The page as a file: complete, closed to the network, the same for the same records, and deaf to what records say."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from board_cases import controls, realistic
from board_records import Case, Cell, Quality, save

from harness.board import build, load_board, write_pages
from harness.board.pages import html
from harness.board.rows import Board

VOID = {"meta", "input", "br", "link", "img", "wbr", "hr"}


class Reader(HTMLParser):
    """Collects elements and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.raw[self.open[-1]] = self.raw.get(self.open[-1], "") + data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("board")
    realistic(path)
    return path


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return load_board(folder)


@pytest.fixture(scope="module")
def page(board: Board) -> str:
    return html(board)


def test_the_page_nests_and_its_ids_are_unique(page: str) -> None:
    ids = [attributes["id"] for _, attributes in read(page).elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_anchor_leads_somewhere_and_nothing_leads_out(page: str) -> None:
    elements = read(page).elements
    ids = {attributes.get("id") for _, attributes in elements}
    links = [str(attributes["href"]) for tag, attributes in elements if "href" in attributes]
    assert all(link[1:] in ids for link in links if link.startswith("#"))
    assert {link for link in links if not link.startswith("#")} == {"board.csv", "board.json", "board.md"}
    assert not [tag for tag, attributes in elements if "src" in attributes]
    assert "url(http" not in page
    assert "@import" not in page


def test_the_policy_allows_the_two_inline_blocks_and_nothing_else(page: str) -> None:
    reader = read(page)
    (policy,) = (str(a["content"]) for _, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(reader.raw[kind].encode()).digest()).decode()
        assert rules.pop(f"{kind}-src") == f"'sha256-{digest}'"
    assert rules == {"base-uri": "'none'", "form-action": "'none'"}
    inline = [a for _, a in reader.elements if "style" in a or any(name.startswith("on") for name in a)]
    assert inline == []


def test_equal_records_give_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    for folder in (tmp_path / "here", tmp_path / "there"):
        for cell in (*(Cell(name, seed) for name in ("topk", "gated") for seed in (0, 1, 2)), *controls(("topk",))):
            save(folder, Case(), cell)
    first, second = build(tmp_path / "here", tmp_path / "a"), build(tmp_path / "there", tmp_path / "b")
    assert [p.name for p in first.paths] == ["index.html", "board.md", "board.csv", "board.json"]
    for one, two in zip(first.paths, second.paths, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name
    assert str(tmp_path) not in second.html.read_text()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in first.paths)


def test_pages_are_written_over_and_returned(board: Board, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("old")
    paths = write_pages(board, tmp_path)
    assert paths[0] == tmp_path / "index.html"
    assert "Leaderboard" in paths[0].read_text()


def test_scores_show_interval_margin_rank_and_bar(board: Board, page: str) -> None:
    score = next(row for row in board.tables[0].rows if row.label == "batchtopk").scores["fvu"]
    assert score.margin is not None
    line = page[page.index('data-text="batchtopk ') :]
    cell = re.sub(r"\s+", " ", line[line.index('data-column="fvu"') : line.index('data-column="mse_elem"')])
    text = re.sub(r"<[^>]+>", "", cell)
    assert f"{score.value:.3f}" in text
    assert f"[{score.lo:.3f}, {score.hi:.3f}]" in text
    assert f"{score.margin.value:+.3f} over pca" in text
    assert "bar ≤ 0.05 missed" in text
    assert f"rank {score.rank}" in text
    assert "✗" in text


def test_a_margin_that_holds_0_is_marked_in_words(page: str) -> None:
    line = page[page.index('data-text="relu_l1 ') :]
    cell = line[line.index('data-column="fvu"') : line.index('data-column="mse_elem"')]
    assert '<span class="verdict null">not above its null</span>' in cell


def test_what_has_no_value_says_why(tmp_path: Path) -> None:
    save(tmp_path, Case(), Cell("gated", 0, failed="encode returned NaN"))
    page = html(load_board(tmp_path))
    assert 'title="failed: encode returned NaN">—<span class="sr">no value: failed: encode returned NaN</span>' in page


def test_controls_warnings_failures_commands_and_costs_are_on_the_page(page: str) -> None:
    for text in (
        '<span class="role">ceiling</span>',
        '<span class="role">derived</span>',
        "unranked: L0 71.6 is 12 % above the target of 64; ranks need 5 %",
        "<b>gated</b>, seed 1, failed: encode returned 12 values that are NaN or infinite",
        "1, 1 failed, 1 missing",
        "<code>harness eval --method topk --task gsm_symbolic</code>",
        "39 s",
        "910 MB",
        "N_eval = 50\u202f000",
        "local mirror &#39;squad&#39;",
        "gguf-q4_1-dequantized",
        "20 November 2026",
        "How to read this",
    ):
        assert text in page, text


def test_tables_of_one_task_say_what_sets_them_apart(tmp_path: Path) -> None:
    save(tmp_path, Case(), Cell("topk"))
    save(tmp_path, Case(table="ffff", spec={"limit": 10}), Cell("topk"))
    page = html(load_board(tmp_path))
    assert page.count("Not comparable with the other tables of this task") == 2
    assert "<span>limit <b>10</b></span>" in page


def test_files_that_could_not_be_used_stand_on_top(tmp_path: Path) -> None:
    saved = save(tmp_path, Case(), Cell("topk"))
    saved.path.write_text("{")
    page = html(load_board(tmp_path))
    assert "1 record could not be used" in page
    assert saved.path.relative_to(tmp_path).as_posix() in page


def test_an_empty_board_has_a_page(tmp_path: Path) -> None:
    page = html(load_board(tmp_path))
    read(page)
    assert "No records yet." in page


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>' {{ 7*7 }} </style></title><!--"


def test_records_cannot_write_markup(tmp_path: Path) -> None:
    case = Case(title=HOSTILE, task="task", model=HOSTILE, mirror=HOSTILE, spec={"limit": HOSTILE})
    other = Case(title=HOSTILE, task="task", table=HOSTILE, model="other")
    for seed in (0, 1, 2):
        cell = Cell("topk", seed, title=HOSTILE, warnings=(HOSTILE,), identity=HOSTILE)
        save(tmp_path, case, cell)
        save(tmp_path, other, cell)
    save(tmp_path, case, Cell("gated", 0, failed=HOSTILE))
    save(tmp_path, case, Cell("permuted_decoder", 0, Quality(0.9), "derived", of=HOSTILE.replace("/", "")))
    save(tmp_path, case, Cell(HOSTILE.replace("/", ""), 0, Quality(0.9, 66.0)))
    page = html(load_board(tmp_path))
    clean = html(load_board(tmp_path / "none"))
    reader = read(page)
    tags = {tag for tag, _ in reader.elements}
    assert "img" not in tags
    assert [tag for tag, _ in reader.elements].count("script") == 1
    assert [tag for tag, _ in reader.elements].count("style") == 1
    assert reader.raw["script"] == read(clean).raw["script"]
    assert "{{ 7*7 }}" in page
    assert not any(name.startswith("on") for _, attributes in reader.elements for name in attributes)
