"""lm-eval's own task object over rows that are already here: what it asks of each document, and how it scores."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from harness.content import import_file
from harness.errors import UserError
from harness.specs.ask import Borrowed
from harness.specs.lm_eval_tasks import Code, LmEvalTask, find

# What lm-eval seeds the drawing of examples with.
_SEED = 1234
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
# What says where a task stands in lm-eval's lists.
_PLACE = ("tag", "group", "task_list", "class")
Rows = Sequence[Mapping[str, Any]]


def make_task(asked: Borrowed, splits: Mapping[str, Rows]) -> Any:
    """Return lm-eval's task with all that decides its prompts: examples, their number and their order.

    Args:
        asked: which one.
        splits: rows by split; splits that are not here are not read.

    Raises:
        UserError: lm-eval cannot read the rows.
    """
    keys = _keys(find(asked.name), asked)
    keys |= {key: None for key in _SPLITS if keys.get(key) not in splits}
    if not asked.shots:
        keys |= {"fewshot_split": None, "fewshot_config": None}
    return _made(asked, keys, splits)


def make_scorer(asked: Borrowed, documents: Rows) -> Any:
    """Return lm-eval's task over documents that it made: it scores them, and asks nothing."""
    keys = _keys(find(asked.name), asked) | dict.fromkeys(_SPLITS) | {"fewshot_config": None, "process_docs": None}
    return _made(asked, keys | {"num_fewshot": 0, "test_split": "test"}, {"test": documents})


def _keys(task: LmEvalTask, asked: Borrowed) -> dict[str, Any]:
    keys = {key: _resolved(value) for key, value in task.keys.items() if key not in _PLACE}
    keys |= {"num_fewshot": asked.shots, "dataset_kwargs": None}
    if asked.max_tokens is not None:
        keys["generation_kwargs"] = {**(keys.get("generation_kwargs") or {}), "max_gen_toks": asked.max_tokens}
    return keys


def _made(asked: Borrowed, keys: dict[str, Any], splits: Mapping[str, Rows]) -> Any:
    # Importing either costs a second or more, which a task that does not come from lm-eval need not pay.
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    with still(), templates_of(asked), explained(asked):
        data = {split: Dataset.from_list([dict(row) for row in rows]) for split, rows in splits.items()}
        task = ConfigurableTask(config={**keys, "custom_dataset": lambda **_: data})
        task.set_fewshot_seed(_SEED)
        return task


def _resolved(value: Any) -> Any:
    """Return plain data with the functions that it names, all of lm-eval's own registry."""
    if isinstance(value, Code):
        return _function(value)
    if isinstance(value, dict):
        return {key: _resolved(inner) for key, inner in value.items()}
    return [_resolved(inner) for inner in value] if isinstance(value, list) else copy.deepcopy(value)


def _function(code: Code) -> Callable[..., Any]:
    module, _, name = code.name.rpartition(".")
    if code.file.is_file():
        place = code.file.resolve()
        found = import_file(place, _module(place))
    else:
        found = __import__(module, fromlist=[name])
    function: Callable[..., Any] = getattr(found, name)
    return function


def _module(path: Path) -> str:
    """Return the name that lm-eval's own loader gives a file of its registry, so that the files find each other."""
    words = path.with_suffix("").parts
    return ".".join(words[max(i for i, word in enumerate(words) if word == "lm_eval") :])


def requests_of(asked: Borrowed, task: Any) -> list[list[Any]]:
    """Return what lm-eval asks of each document, in their order: the arguments of its requests; raises ``UserError``.

    Prompts are those of a run over all documents: which examples stand before one does not depend on how many are
    asked.
    """
    with still(), templates_of(asked), explained(asked):
        task.build_all_requests()
        found: dict[int, list[Any]] = {}
        for one in task.instances:
            found.setdefault(one.doc_id, []).append(one)
        return [[one.args for one in sorted(found[i], key=lambda one: one.idx)] for i in range(len(found))]


@contextlib.contextmanager
def templates_of(asked: Borrowed) -> Iterator[None]:
    """Let templates of a user's own file reach data alone, as those of every other task do."""
    from lm_eval import utils

    env = utils.env
    if not find(asked.name).own:
        utils.env = SandboxedEnvironment(loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True)
        utils.env.filters |= env.filters
    try:
        yield
    finally:
        utils.env = env


@contextlib.contextmanager
def explained(asked: Borrowed) -> Iterator[None]:
    """Say in one sentence what lm-eval could not do with the rows."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # whatever the files of lm-eval do with rows that are not as they expect
        said = " ".join(str(error).split()) or "no reason given"
        raise UserError(
            f"lm_eval:{asked.name}: lm-eval cannot read these rows ({type(error).__name__}: {said}); do they have the "
            "columns of its data set?"
        ) from error


@contextlib.contextmanager
def still() -> Iterator[None]:
    """Keep lm-eval's advice and bars off the terminal; its errors are raised."""
    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        log.setLevel(level)
