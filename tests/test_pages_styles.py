"""Every kind of page carries the style of what it holds: templates share style sheets, and moving a rule loses it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from board_cases import GOOD, WEAK, realistic, three
from board_records import Case
from feature_files import file, layer
from markup import pages_of

from harness.board import build
from harness.board.feature_page import write_feature_page
from harness.comparison.comparing import compare
from harness.comparison.page import write
from harness.exchange.imported import Imported, ImportedValue, save_imported

# What scripts find elements by, what stands for a plain state, and what is drawn by its element alone.
UNSTYLED = {"told", "roles", "label", "quoted", "ok", "h0", "where"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    realistic(out)
    value = ImportedValue(task="core", metric="sparsity/l0", value=None, reason="null in the file")
    save_imported(
        out,
        Imported(
            tool="saebench", tool_version=None, subject="sae", model=None, measured=None, file="f", sha256="a" * 64,
            values=(value, value.model_copy(update={"value": 1.0})),
        ),
    )  # fmt: skip
    build(out, out)
    three(out / "run", "one", GOOD, Case())
    three(out / "run", "two", WEAK, Case())
    write(compare("one", "two", out / "run"), out / "compare")
    write_feature_page(
        file(layer(9, reasoning=True), layer(11, latents=80)), out / "features" / "one.html", "f.json", 40
    )
    return out


@pytest.mark.parametrize("kind", ["index", "imported", "tasks", "cells", "compare", "features"])
def test_every_class_on_a_page_has_a_rule(site: Path, kind: str) -> None:
    pages = [page for name, page in pages_of(site).items() if re.match(rf"{kind}[./]", name)]
    assert pages
    for page in pages:
        head, body = page.split("<body>")
        used = {name for found in re.findall(r'class="([^"]*)"', body.split("<script")[0]) for name in found.split()}
        ruled = set(re.findall(r"\.(-?[A-Za-z_][\w-]*)", head.split("<style>")[1].split("</style>")[0]))
        assert len(used & ruled) > 5
        assert used - ruled - UNSTYLED == set()


def test_every_kind_of_page_can_be_turned_dark(site: Path) -> None:
    assert all(page.count('class="theme"') == 1 for page in pages_of(site).values())


def test_a_feature_page_shows_no_letter_that_turns_text(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    held = file(command="harness \u202e features", tokens=["a\u2066b", *file().tokens[1:]])
    write_feature_page(held, path, "f.json")
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", path.read_text())
