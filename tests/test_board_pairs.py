"""Entries paired head to head: in one folder by label, in two folders by method."""

from __future__ import annotations

from pathlib import Path

import pytest
from board_cases import GOOD, WEAK, controls, three
from board_records import Case, Cell, save

from harness.board.pairs import of_folders, of_methods, tables_of
from harness.errors import UserError

WORDS = Case("squad", "Reading comprehension", "fedcba98765432100", 96)


def test_methods_are_paired_in_every_table_that_has_both(tmp_path: Path) -> None:
    three(tmp_path, "one", GOOD)
    three(tmp_path, "two", WEAK)
    three(tmp_path, "one", GOOD, WORDS)
    found = of_methods(tmp_path, "one", "two")
    (pair,) = found.pairs
    assert (pair.task, pair.table, pair.a.label, pair.b.label) == ("gsm_symbolic", Case().table, "one", "two")
    assert sorted(pair.a.measured) == sorted(pair.b.measured) == [0, 1, 2]
    assert found.unpaired == ("squad: only one",)
    (turned,) = of_methods(tmp_path, "two", "one").pairs
    assert (turned.a.key, turned.b.key) == (pair.b.key, pair.a.key)


def test_a_control_is_paired_by_the_label_a_board_gives_it(tmp_path: Path) -> None:
    three(tmp_path, "one", GOOD)
    for cell in controls(["one"]):
        save(tmp_path, Case(), cell)
    (pair,) = of_methods(tmp_path, "one", "permuted_decoder of one").pairs
    assert pair.b.role == "derived"


def test_two_identities_of_a_method_are_told_apart(tmp_path: Path) -> None:
    save(tmp_path, Case(), Cell("one", 0, identity="aaaaaa000000"))
    save(tmp_path, Case(), Cell("one", 0, identity="bbbbbb000000"))
    (pair,) = of_methods(tmp_path, "one (aaaaaa)", "one (bbbbbb)").pairs
    assert pair.a.key != pair.b.key
    with pytest.raises(UserError, match=r"unknown method 'one'\. Allowed: one \(aaaaaa\), one \(bbbbbb\)"):
        of_methods(tmp_path, "one", "one (bbbbbb)")


def test_other_tables_of_a_task_are_not_mixed(tmp_path: Path) -> None:
    three(tmp_path, "one", GOOD)
    three(tmp_path, "two", GOOD, Case(table="another"))
    found = of_methods(tmp_path, "one", "two")
    assert (found.pairs, len(found.unpaired)) == ((), 2)


def test_folders_pair_each_method_with_itself(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        three(folder, "one", GOOD)
        save(folder, Case(), Cell("pca", 0, WEAK, "floor", seeded=False))
    three(new, "two", WEAK)
    found = of_folders(new, old)
    assert [(pair.a.label, pair.b.label) for pair in found.pairs] == [("one", "one"), ("pca", "pca")]
    assert found.unpaired == (f"gsm_symbolic: two only in {new}",)


def test_of_several_identities_in_a_folder_the_newest_counts(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    save(old, Case(), Cell("one", 0, identity="first", finished="2026-11-20T12:00:00+00:00"))
    save(new, Case(), Cell("one", 0, identity="second", finished="2026-11-21T12:00:00+00:00"))
    save(new, Case(), Cell("one", 0, identity="third", finished="2026-11-19T12:00:00+00:00"))
    (pair,) = of_folders(old, new).pairs
    assert (pair.a.key[2], pair.b.key[2]) == ("first", "second")


def test_folders_that_share_nothing_are_refused(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    three(old, "one", GOOD)
    three(new, "two", GOOD)
    with pytest.raises(UserError, match="share no method on any resolved task"):
        of_folders(old, new)


def test_a_broken_file_is_a_problem_and_the_rest_is_paired(tmp_path: Path) -> None:
    three(tmp_path, "one", GOOD)
    three(tmp_path, "two", WEAK)
    broken = save(tmp_path, Case(), Cell("three", 0))
    broken.path.write_text("{", encoding="utf-8")
    found = of_methods(tmp_path, "one", "two")
    assert len(found.pairs) == 1
    assert "three" in found.problems[0].path
    assert sorted(entry.label for entry in tables_of(tmp_path)[0][("gsm_symbolic", Case().table)]) == ["one", "two"]
