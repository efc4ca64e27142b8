"""Pages as files: complete, closed to the network, the same for the same records, and deaf to what records say."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
from board_cases import GOOD, WEAK, controls, realistic, three
from board_records import Case, Cell, Quality, save
from markup import page_of, pages_of, read, row_line

from harness.board import build, load_board, write_pages
from harness.board.rows import Board, Reference
from harness.store.files import sha256_text

pytestmark = pytest.mark.usefixtures("no_cards")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("board")
    realistic(path)
    return path


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return load_board(folder)


@pytest.fixture(scope="module")
def out(board: Board, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages")
    write_pages(board, path, folder)
    return path


@pytest.fixture(scope="module")
def task(out: Path) -> str:
    return page_of(out, "tasks", "gsm_symbolic")


def test_there_is_a_page_across_one_for_each_table_and_one_for_each_row(board: Board, out: Path) -> None:
    names = list(pages_of(out))
    assert names.count("index.html") == 1
    assert sum(name.startswith("tasks/") for name in names) == len(board.tables) == 2
    assert sum(name.startswith("cells/") for name in names) == sum(len(table.rows) for table in board.tables)


def test_pages_nest_and_their_ids_are_unique(out: Path) -> None:
    for name, page in pages_of(out).items():
        ids = read(page).ids
        assert len(ids) == len(set(ids)), name


def test_every_link_leads_somewhere_and_nothing_leads_out(out: Path) -> None:
    pages = {name: read(page) for name, page in pages_of(out).items()}
    followed = 0
    for name, page in pages.items():
        for link in (str(attributes["href"]) for _, attributes in page.elements if "href" in attributes):
            path, _, anchor = link.partition("#")
            target = ((out / name).parent / path).resolve() if path else out / name
            assert target.is_file(), (name, link)
            known = target.relative_to(out.resolve() if path else out).as_posix()
            assert not anchor or anchor in pages[known].ids, (name, link)
            followed += 1
        assert not [tag for tag, attributes in page.elements if {"src", "srcset", "style"} & set(attributes)]
        assert page.count("link") == page.count("base") == 0
    assert followed > 4 * len(pages)
    assert not re.search(r"url\((?!#)|@import", "".join(pages_of(out).values()))


def test_the_policy_allows_the_two_inline_blocks_and_nothing_else(out: Path) -> None:
    for name, page in pages_of(out).items():
        reader = read(page)
        (policy,) = (str(a["content"]) for _, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules.pop("default-src") == "'none'"
        for kind in ("script", "style"):
            assert reader.count(kind) == 1
            digest = base64.b64encode(hashlib.sha256(reader.raw[kind].encode()).digest()).decode()
            assert rules.pop(f"{kind}-src") == f"'sha256-{digest}'", name
        assert rules == {"base-uri": "'none'", "form-action": "'none'"}


def test_equal_records_give_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    for folder in (tmp_path / "here", tmp_path / "there"):
        for cell in (*(Cell(name, seed) for name in ("topk", "gated") for seed in (0, 1, 2)), *controls(("topk",))):
            save(folder, Case(), cell)
    first, second = build(tmp_path / "here", tmp_path / "a"), build(tmp_path / "there", tmp_path / "b")
    assert [p.name for p in first.paths] == ["index.html", "board.md", "board.csv", "board.json", "overview.csv"]
    written = [
        sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())
        for root in (first.html.parent, second.html.parent)
    ]
    assert written[0] == written[1]
    for name in written[0]:
        one, two = (tmp_path / "a" / name).read_bytes(), (tmp_path / "b" / name).read_bytes()
        # The digest of a table may tell one folder's files from another's; nothing that is shown may.
        assert re.sub(rb'(?<=name="digest" content=")[0-9a-f]+', b"", one) == re.sub(
            rb'(?<=name="digest" content=")[0-9a-f]+', b"", two
        ), name
        assert str(tmp_path).encode() not in one


def test_scores_show_interval_margin_rank_and_bar(board: Board, task: str) -> None:
    score = next(row for row in board.tables[0].rows if row.label == "batchtopk").scores["fvu"]
    assert score.margin is not None
    cell = row_line(task, "batchtopk").split("<td")[1]
    assert f"<b>{score.value:.3f}</b>" in cell
    assert f"[{score.lo:.3f}, {score.hi:.3f}]" in cell
    assert f"<em>{score.margin.value:+.3f} over pca</em>" in cell
    assert ' class="missed"' in cell
    assert re.search(rf'<i( class="first")?>{score.rank}=?</i>', cell)


def test_a_method_no_better_than_its_null_is_said_to_be(task: str) -> None:
    cell = row_line(task, "relu_l1").split("<td")[1]
    assert re.search(r'<em class="null">[+-].* over pca, not above its null</em>', cell)


def test_a_row_that_failed_says_why(tmp_path: Path) -> None:
    save(tmp_path, Case(), Cell("gated", 0, failed="encode returned NaN"))
    build(tmp_path, tmp_path)
    line = row_line(page_of(tmp_path, "tasks", "gsm_symbolic"), "gated")
    assert "failed: encode returned NaN" in line
    assert line.count('<td class="no">failed</td>') == 8
    cell = read(page_of(tmp_path, "cells", "gated")).text
    assert "Seed 0 failed: encode returned NaN" in cell
    assert "1, missingno record" in cell


def test_a_score_without_a_value_says_why(tmp_path: Path) -> None:
    three(tmp_path, "topk", GOOD)
    board = load_board(tmp_path)
    (table,) = board.tables
    scores = table.rows[0].scores
    lost = replace(scores["agree1"], value=None, lo=None, hi=None, reason="parts not measured", rank=None, margin=None)
    row = replace(table.rows[0], scores=scores | {"agree1": lost})
    write_pages(replace(board, tables=(replace(table, rows=(row,)),)), tmp_path)
    page = page_of(tmp_path, "tasks", "gsm_symbolic")
    assert '<td class="no">—<span class="sr">no value: parts not measured</span></td>' in page


def test_controls_warnings_failures_and_costs_are_on_the_page_of_the_task(out: Path, task: str) -> None:
    words = page_of(out, "tasks", "squad")
    for text in (
        '<span class="role">ceiling</span>',
        "unranked: L0 71.6 is 12 % above the target of 64; ranks need 5 %",
        "N_eval = 50\u202f000",
        "gguf-q4_1-dequantized",
        "20 November 2026",
        "39 s",
        "910 MB",
        "2.66 M",
    ):
        assert text in task, text
    assert "<b>gated</b>, seed 1, failed: encode returned 12 values that are NaN or infinite" in words
    assert "1, 1 failed, 1 missing" in words
    assert "local mirror &#39;squad&#39;" in words


def test_tables_of_one_task_say_what_sets_them_apart_and_lead_to_each_other(tmp_path: Path) -> None:
    save(tmp_path, Case(), Cell("topk"))
    save(tmp_path, Case(table="ffff", spec={"limit": 10}), Cell("topk", finished="2026-11-21T12:00:00+00:00"))
    build(tmp_path, tmp_path)
    tasks = [page for name, page in pages_of(tmp_path).items() if name.startswith("tasks/")]
    assert len(tasks) == 2
    assert all("Not comparable with the other tables of this task" in page for page in tasks)
    assert sum("<span>limit <b>10</b></span>" in page for page in tasks) == 1
    overview = (tmp_path / "index.html").read_text()
    assert read(overview).text.count("Other tables of these tasks") == 1
    assert overview.count('href="tasks/') == 2


def test_files_that_could_not_be_used_stand_on_top(tmp_path: Path) -> None:
    saved = save(tmp_path, Case(), Cell("topk"))
    saved.path.write_text("{")
    build(tmp_path, tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "1 record could not be used" in page
    assert saved.path.relative_to(tmp_path).as_posix() in page


def test_an_empty_board_has_a_page(tmp_path: Path) -> None:
    build(tmp_path, tmp_path)
    assert "No records yet." in read((tmp_path / "index.html").read_text()).text


def test_a_diagnostic_metric_is_marked_with_its_reason(board: Board, folder: Path, tmp_path: Path) -> None:
    table = board.tables[0]
    why = "oracle_drop comes before the truth on world_small"
    columns = tuple(replace(c, diagnostic=why) if c.name == "fvu" else c for c in table.columns)
    write_pages(replace(board, tables=(replace(table, columns=columns),)), tmp_path, folder)
    page = page_of(tmp_path, "tasks", "gsm_symbolic")
    assert page.count("diagnostic only") == 1
    assert f"<b>fvu</b> is shown as a diagnostic and ranks nobody: {why}" in page
    assert f"diagnostic only: {why}" in page_of(tmp_path, "cells", "topk")
    # The overview takes the first metric that is trusted.
    assert ">mse_elem</button>" in (tmp_path / "index.html").read_text()


def test_quoted_rows_stand_in_a_table_of_their_own(board: Board, folder: Path, tmp_path: Path) -> None:
    quoted = Reference("TopK, k 64", "arXiv 2406.04093, figure 1", "another model", {"fvu": 0.0123}, "other data")
    table = replace(board.tables[0], references=(quoted,))
    write_pages(replace(board, tables=(table,)), tmp_path, folder)
    page = page_of(tmp_path, "tasks", "gsm_symbolic")
    scores = page[page.index('<table class="scores rows">') : page.index("</table>")]
    assert "TopK, k 64" not in scores
    apart = read(
        page[page.index('<section id="quoted"') : page.index("</section>", page.index('<section id="quoted"'))]
        + "</section>"
    )
    assert "Never ranked" in apart.text
    assert "TopK, k 64another model0.0123arXiv 2406.04093, figure 1. other data" in apart.text
    assert apart.count("i") == 0, "no rank"


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>' {{ 7*7 }} </style></title><!--"


def test_records_cannot_write_markup(tmp_path: Path) -> None:
    case = Case(
        title=HOSTILE, task="task", model=HOSTILE, mirror=HOSTILE, spec={"limit": HOSTILE, HOSTILE: {HOSTILE: 1}}
    )
    other = Case(title=HOSTILE, task="task", table=HOSTILE, model="other")
    for seed in (0, 1, 2):
        cell = Cell("topk", seed, title=HOSTILE, warnings=(HOSTILE,), identity=HOSTILE)
        save(tmp_path, case, cell)
        save(tmp_path, other, cell)
    save(tmp_path, case, Cell("gated", 0, failed=HOSTILE))
    save(tmp_path, case, Cell("permuted_decoder", 0, Quality(0.9), "derived", of=HOSTILE.replace("/", "")))
    save(tmp_path, case, Cell(HOSTILE.replace("/", ""), 0, Quality(0.9, 66.0)))
    build(tmp_path, tmp_path / "pages")
    pages = pages_of(tmp_path / "pages")
    assert len(pages) == 1 + 2 + 5
    for name, page in pages.items():
        reader = read(page)
        tags = {tag for tag, _ in reader.elements}
        assert "img" not in tags, name
        assert reader.count("script") == reader.count("style") == 1, name
        assert HOSTILE.replace("/", "") in reader.text.replace("/", ""), name
        assert "alert(" not in reader.raw["script"] + reader.raw["style"], name
        assert not any(key.startswith("on") for _, attributes in reader.elements for key in attributes), name
    assert sum("{{ 7*7 }}" in page for page in pages.values()) == len(pages)


def test_no_name_leads_out_of_the_folder(board: Board, folder: Path, tmp_path: Path) -> None:
    evil = ("../../etc", "..", "/etc/passwd", "con", "a\0b", "x" * 400, "ÄÖ", "a b/../c", ".")
    table = board.tables[0]
    rows = tuple(replace(table.rows[0], label=name, key=name, name=name) for name in evil)
    tables = tuple(replace(table, task=name, hash=name, key=name, rows=rows) for name in evil)
    out = tmp_path / "a" / "b" / "out"
    write_pages(replace(board, tables=tables), out, folder)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(out in path.parents for path in written)
    assert len([path for path in written if path.suffix == ".html"]) == 1 + len(evil) * (1 + len(evil))
    assert max(len(path.name) for path in written) < 100
    links = re.findall(r'href="([^"#]*)', (out / "index.html").read_text())
    assert all(re.fullmatch(r"board\.[a-z]+|(tasks|cells/[a-z0-9_-]+)/[a-z0-9_-]+\.html|", link) for link in links)


def test_letters_a_page_would_act_on_are_replaced(board: Board, folder: Path, tmp_path: Path) -> None:
    table = replace(board.tables[0], title="left\u202eright\x07")
    write_pages(replace(board, tables=(table,)), tmp_path, folder)
    assert "<h1>left\ufffdright\ufffd</h1>" in page_of(tmp_path, "tasks", "gsm_symbolic")


def with_digest(board: Board, salt: str = "") -> Board:
    tables = (replace(table, digest=sha256_text(table.key + salt)) for table in board.tables)
    return replace(board, tables=tuple(tables))


def made_at(path: Path) -> tuple[int, int]:
    """Return what tells a file from one that was written in its place, which may get the number of the old one."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def test_pages_of_unchanged_tables_are_left_as_they_are(board: Board, folder: Path, tmp_path: Path) -> None:
    known = with_digest(board)
    write_pages(known, tmp_path, folder)
    kept = {path: made_at(path) for path in tmp_path.rglob("*.html") if path.name != "index.html"}
    write_pages(known, tmp_path, folder)
    assert {path: made_at(path) for path in kept} == kept
    first, second = known.tables
    changed = replace(known, tables=(replace(first, digest=sha256_text("new")), second))
    lost = next(path for path in kept if path.parent.name.startswith("squad"))
    lost.unlink()
    write_pages(changed, tmp_path, folder)
    anew = {path for path, before in kept.items() if made_at(path) != before}
    of_first = {path for path in kept if "gsm_symbolic" in path.relative_to(tmp_path).as_posix()}
    assert anew == of_first | {lost}


def test_a_page_of_other_code_or_without_digest_is_made_again(
    board: Board, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anew(made: Board) -> bool:
        page = next((tmp_path / "tasks").iterdir())
        before = made_at(page)
        write_pages(made, tmp_path, folder)
        return made_at(page) != before

    write_pages(with_digest(board), tmp_path, folder)
    assert not anew(with_digest(board))
    monkeypatch.setattr("harness.board.page.package_version", lambda: "9.9")
    assert anew(with_digest(board))
    assert anew(board)


def test_pages_of_vanished_tables_go_and_nothing_else_does(board: Board, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_pages(board, out, folder)
    mine = [
        out / "tasks" / "notes.html",
        out / "cells" / "mine.txt",
        tmp_path / "outside-0123456789.html",
        out / "results.html",
    ]
    for path in mine:
        path.write_text("mine")
    names = (out / "pages.json").read_text()
    listed = names.replace(
        "[", '["../outside-0123456789.html", "tasks/../../outside-0123456789.html", "results.html", 3,', 1
    )
    (out / "pages.json").write_text(listed)
    gone, kept = board.tables
    write_pages(replace(board, tables=(kept,)), out, folder)
    assert all(path.read_text() == "mine" for path in mine)
    assert not [path for path in out.rglob("*") if gone.task in path.name]
    assert [path for path in out.rglob("*.html") if kept.task in path.name]
    (out / "pages.json").write_text("{")
    write_pages(board, out, folder)


def test_a_weak_method_among_good_ones_is_ranked_behind_them(tmp_path: Path) -> None:
    three(tmp_path, "good", GOOD)
    three(tmp_path, "weak", WEAK)
    build(tmp_path, tmp_path)
    page = page_of(tmp_path, "tasks", "gsm_symbolic")
    ranks = [re.findall(r'<i(?: class="first")?>([^<]*)</i>', row_line(page, name))[0] for name in ("good", "weak")]
    assert ranks == ["1", "2"]
