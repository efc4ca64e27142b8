"""What the layers promise, checked on the source and on a started interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from board_cases import GOOD, WEAK
from board_records import Case, Cell, save

import harness
from harness.cli.commands import _COMMANDS
from harness.content import PACKAGE
from harness.specs.library import Library


def constants(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_the_engine_names_no_method_and_no_task() -> None:
    library = Library()
    names = {*library.names("methods"), *library.names("tasks")}
    assert len(names) > 10
    # The identity of a row is a column of the tables, a label may be two tokens, an interval may be over none, and an
    # item has a prompt; they only sound like methods.
    names -= {"identity", "bigram", "none", "prompt"}
    found = {
        f"{path.relative_to(PACKAGE)}: {text}"
        for path in PACKAGE.rglob("*.py")
        # The words in checkpoints are those of other people's files, which call their kinds what we call methods.
        if path.parent.name not in ("methods", "tasks", "checkpoints")
        for text in constants(path)
        if text in names
    }
    assert found == set()


WITHOUT_TORCH = (
    "board.pages", "board.table", "board.explained_page", "board.feature_page", "board.feature_records",
    "comparison.page", "comparison.planning", "run.plan", "cli.listing", "lm.facts", "lm.listing", "docs",
    "explaining.making", "features.making", "store.sql.index", "store.sql.query", "store.sql.pushing",
    "store.sql.pulling",
)  # fmt: skip


def test_publishing_and_planning_never_import_torch() -> None:
    """In one interpreter, which takes longer to start than most of them to import; it looks after each."""
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(f'harness.{name}')\n"
        "    if {'torch', 'transformers'} & set(sys.modules):\n"
        "        sys.exit(f'{name} imports torch')\n"
    )
    words = [sys.executable, "-c", program, *WITHOUT_TORCH]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_content_folders_have_no_init_file() -> None:
    root = PACKAGE.parent
    assert not [name for name in ("methods", "tasks", "reports") if (root / name / "__init__.py").exists()]


def test_folders_may_be_named_in_words_from_python(tmp_path: Path) -> None:
    """As the README does; and what mirrors a command is there under the command's name."""
    for method in ("topk", "batchtopk"):
        for seed in (0, 1, 2):
            save(tmp_path / "run", Case(clusters=12), Cell(method, seed, GOOD if method == "topk" else WEAK))
    run, out = str(tmp_path / "run"), str(tmp_path / "out")
    board = harness.load_board(run)
    assert [len(table.methods) for table in board.tables] == [2]
    assert harness.write_pages(board, out, run)[0] == tmp_path / "out" / "index.html"
    assert [table.task for table in harness.power(run, board.tables[0].task, "fvu")] == [board.tables[0].task]
    assert harness.compare("topk", "batchtopk", run).tables
    assert harness.gate(run, run).verdict == "pass"
    assert set(harness.__all__) - {"evaluate", "load_board", "write_pages"} <= set(_COMMANDS)
    assert all(callable(getattr(harness, name)) for name in harness.__all__)
