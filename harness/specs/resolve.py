"""A task as it will be run: overrides applied, layer chosen, names checked. Only equal resolved tasks share a table."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import UserError, unknown
from harness.metrics.contract import SUBVOCAB, all_metrics
from harness.specs.checking import check
from harness.specs.library import Library
from harness.specs.lm_eval_tasks import find
from harness.specs.method import OWN, Need
from harness.specs.reading import Document, Key, in_words, parse_value
from harness.specs.steering import Steering
from harness.specs.strict import Strict
from harness.specs.task import Budget, Site, TaskSpec

Blocks = Callable[[str], int]
T = TypeVar("T")


@dataclass(frozen=True)
class Overrides:
    """What the command line changes in every task of one call. ``sets`` maps dotted keys of the task to YAML words."""

    model: str | None = None
    limit: int | None = None
    sets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ResolvedTask:
    """One task at one block of one model, or at several that are read at once.

    Attributes:
        spec: the task with every override applied.
        blocks: the blocks whose output is read, from 0; none where no language model runs.
        limit: documents per split at most, or None.
        fit: the task whose train and validation split and budget fit methods: itself, or its corpus.
    """

    spec: TaskSpec
    blocks: tuple[int, ...]
    limit: int | None
    corpus: ResolvedTask | None = None

    @property
    def place(self) -> int | tuple[int, ...] | None:
        """The block, where there is one; all of them where there are several; None where no language model runs."""
        return (self.blocks[0] if self.blocks else None) if len(self.blocks) < 2 else self.blocks

    @property
    def fit(self) -> ResolvedTask:
        """The task that methods are fitted on."""
        return self.corpus or self

    def fit_at(self, block: int) -> ResolvedTask:
        """Return the task that methods are fitted on, as it is where it reads this one block."""
        return replace(self.fit, blocks=(block,))

    @property
    def model(self) -> str:
        """The language model; raises ``ValueError`` where none runs."""
        return self._of_model(self.spec.model)

    @property
    def site(self) -> Site:
        """Where the model is read; raises ``ValueError`` where none runs."""
        return self._of_model(self.spec.site)

    @property
    def layer(self) -> int:
        """The one block that is read and edited; raises ``ValueError`` where there is none, or several."""
        (block,) = self._of_model(self.blocks or None)
        return block

    def _of_model(self, value: T | None) -> T:
        if value is None:
            raise ValueError(f"task '{self.spec.task}' runs no language model")
        return value

    @property
    def budget(self) -> Budget:
        """The task's own budget, with the fit side of its corpus filled in."""
        if self.corpus is None:
            return self.spec.budget
        theirs = self.corpus.spec.budget.model_dump()
        own = {key: value for key, value in self.spec.budget.model_dump().items() if value is not None}
        return Budget.model_validate({**theirs, **dict.fromkeys(_TEST_KEYS), **own})

    def on_model(self, name: str) -> ResolvedTask:
        """Return the same task on another language model of as many blocks."""
        corpus = self.corpus.on_model(name) if self.corpus else None
        return replace(self, spec=self.spec.model_copy(update={"model": name}), corpus=corpus)

    def measured(self) -> dict[str, Any]:
        """Return what decides the numbers, for the table hash (titles, metrics, bars and seeds do not)."""
        names = {"title", "metrics", "bars", "controls", "seeds", "model", "site", "reasoning", *_OWN}
        return {
            # JSON's null for an infinite number would make two tasks one.
            **in_words(self._given(names)),
            **self._reasoning(),
            **{key: self._own(own) for key in _OWN if (own := getattr(self.spec, key)) is not None},
            **self._borrowed(),
            "layer": self.place,
            "at": self.spec.site.at if self.spec.site else None,
            "step": self.spec.step,
            "limit": self.limit,
            "corpus": self.corpus.measured() if self.corpus else None,
        }

    def _given(self, without: set[str]) -> dict[str, Any]:
        """Return the spec's own keys; a key that came later counts where it is given, so that old tables stay."""
        given = self.spec.model_dump(exclude=without)
        for key in ("unpivot", "levels", "select"):
            if given["data"].get(key) is None:
                given["data"].pop(key, None)
        if not given["twins"]:
            del given["twins"]
        return given

    def _borrowed(self) -> dict[str, Any]:
        """Return what the files of lm-eval's task hold, wherever they lie; nothing where the task borrows none."""
        given = self.spec.ask.lm_eval if self.spec.ask else None
        return {} if given is None else {"lm_eval": find(given.name).sha256}

    def _reasoning(self) -> dict[str, Any]:
        """Return what a vocabulary decides; its file counts by what it holds. Nothing where the task has none."""
        given = self.spec.reasoning
        return {"reasoning": in_words(given.model_dump()) | self._file()} if given else {}

    def _own(self, given: Strict) -> dict[str, Any]:
        """Return a key that only some tracks read."""
        return given.model_dump(exclude_none=True) | (self._file() if isinstance(given, Steering) else {})

    def _file(self) -> dict[str, str]:
        """Return what stands for the file that the task's words are in; nothing where they are in none."""
        path = self.spec.vocabulary.path if self.spec.vocabulary else None
        return {"file": hashlib.sha256(Path(path).read_bytes()).hexdigest()} if path else {}

    def taught(self, needs: Collection[Need]) -> list[Any]:
        """Return what of the task a method learns from by what it needs, besides the activations of a fit."""
        spec, found = self.spec, list[Any]()
        if "predictions" in needs and spec.explanation is not None:
            found.append(spec.explanation.train_predictions)
        if "behaviour" in needs and spec.steering is not None:
            found.append([*spec.steering.taught, self._file()])
        return found


_OWN = ("vocab", *OWN)
_TEST_KEYS = ("test_tokens", "splice_tokens", "density_tokens")


def resolve(library: Library, name: str, overrides: Overrides, layer: int | None, blocks: Blocks) -> ResolvedTask:
    """Return the resolved task; ``layer`` replaces the task's site, ``blocks`` counts a model's blocks.

    Raises ``UserError`` on any unknown name, a layer the model does not have, or a control of the wrong kind.
    """
    document, spec = library.task_document(name)
    card = library.track(spec.track)
    fits = {f"budget.{key}" for key in card.fit_budget} | ({"vocab.top"} if card.vocab else set())
    theirs = fits if spec.corpus else set()
    corpus_sets = {key: text for key, text in overrides.sets.items() if key in theirs}
    own_sets = {key: text for key, text in overrides.sets.items() if key not in theirs}
    if own_sets:
        document, spec = _with_sets(document, own_sets)
        library.check_budget(document, spec)
    # A task without a language model has none to be replaced; plan.py says so where no task of a call has one.
    spec = spec.model_copy(update={"model": overrides.model}) if overrides.model and spec.model else spec
    check_names(library, document, spec)
    chosen = _blocks(spec, layer, blocks, document)
    corpus = None
    if spec.corpus:
        inner = Overrides(spec.model, overrides.limit, corpus_sets)
        corpus = resolve(library, spec.corpus, inner, next(iter(chosen), None), blocks)
        if corpus.spec.step != spec.step:
            raise UserError(f"{document.where(('corpus',))}: corpus '{spec.corpus}' has another 'site.step'.")
    return ResolvedTask(spec, chosen, overrides.limit, corpus)


def _with_sets(document: Document, sets: Mapping[str, str]) -> tuple[Document, TaskSpec]:
    value = copy.deepcopy(document.value)
    for key, text in sets.items():
        *parents, last = key.split(".")
        if key in ("task", "version"):
            raise UserError(f"--set {key}: it names the task and cannot be changed for one call")
        inner = value
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise UserError(f"--set {key}: '{parent}' holds a value, not keys")
        inner[last] = parse_value(text, f"--set {key}")
    if "metrics" in sets and "bars" not in sets and isinstance(value["metrics"], list):
        # Fewer metrics are asked for: their bars go with those that are left out.
        value["bars"] = {name: bar for name, bar in (value.get("bars") or {}).items() if name in value["metrics"]}
    words: dict[Key, str] = {tuple(key.split(".")): f"{key}={text}" for key, text in sets.items()}
    changed = Document(document.path, value, document.lines, words)
    return changed, check(changed, TaskSpec, "task")


def _blocks(spec: TaskSpec, layer: int | None, blocks: Blocks, document: Document) -> tuple[int, ...]:
    if spec.model is None or spec.site is None:
        return ()
    count = blocks(spec.model)
    given = layer if layer is not None else spec.site.layer
    if given is None:
        # A depth of 0.5 means half of the blocks have run: block 14 of 30. A small model has few to tell apart.
        depths = spec.site.depths or (spec.site.depth or 0.0,)
        return tuple(dict.fromkeys(max(round(depth * count) - 1, 0) for depth in depths))
    if not 0 <= given < count:
        where = "--layers" if layer is not None else document.where(("site", "layer"))
        raise UserError(f"{where}: layer {given} is out of range; model '{spec.model}' has blocks 0..{count - 1}.")
    return (given,)


def check_names(library: Library, document: Document, spec: TaskSpec) -> None:
    """Check every metric, bar, control and corpus a task names; raises ``UserError`` with the line."""
    metrics = {name: m for name, m in all_metrics().items() if spec.track in m.tracks}
    for i, name in enumerate(spec.metrics):
        if name not in metrics:
            raise unknown(f"metric of track '{spec.track}'", name, metrics, document.where(("metrics", i)))
    _check_vocabulary(library, document, spec, metrics)
    for name in spec.bars:
        if name not in spec.metrics:
            raise unknown("metric of this task", name, spec.metrics, document.where(("bars", name)))
    for role in ("ceiling", "floor", "derived"):
        for name in getattr(spec.controls, role):
            _check_control(library, document, spec, role, name)
    if spec.corpus:
        _check_corpus(library, spec.corpus, document.where(("corpus",)))
    path = spec.vocabulary.path if spec.vocabulary else None
    if path is not None and not Path(path).is_file():
        where = document.where(("reasoning" if spec.reasoning else "steering", "vocabulary"))
        raise UserError(f"{where}: vocabulary file '{path}' does not exist.")


def _check_vocabulary(library: Library, document: Document, spec: TaskSpec, known: Collection[str]) -> None:
    """Refuse numbers over all tokens where a task tells only some apart, and the other way round."""
    if spec.corpus and spec.corpus not in library.names("tasks"):
        return
    projected = (library.task(spec.corpus) if spec.corpus else spec).vocab is not None
    for i, name in enumerate(spec.metrics):
        other = name + SUBVOCAB if projected else name.removesuffix(SUBVOCAB)
        if other != name and other in known:
            has = "has a 'vocab'" if projected else "has no 'vocab'"
            where = document.where(("metrics", i))
            raise UserError(f"{where}: metric '{name}': the task {has}, so its metric is '{other}'.")


def _check_corpus(library: Library, name: str, where: str) -> None:
    if name not in library.names("tasks"):
        raise unknown("task", name, library.names("tasks"), where)
    task = library.task(name)
    if not library.track(task.track).fits:
        raise UserError(f"{where}: corpus '{name}' has nothing to fit methods on: track '{task.track}' fits none.")
    further = task.corpus
    if further is not None:
        raise UserError(f"{where}: corpus '{name}' has the corpus '{further}' itself; name that one.")


def _check_control(library: Library, document: Document, spec: TaskSpec, role: str, name: str) -> None:
    where = document.where(("controls", role))
    method = library.method(name, where).spec
    card = library.track(spec.track)
    if not card.takes(method):
        raise UserError(f"{where}: control '{name}' is {method.what}; track '{card.track}' takes {card.taken}.")
    missing = [need for need in method.needs if need not in card.offers]
    if missing:
        raise UserError(
            f"{where}: control '{name}' needs {', '.join(missing)}, which track '{card.track}' cannot give."
        )
    if method.model is not None and spec.model is None:
        raise UserError(
            f"{where}: control '{name}' draws a language model's weights anew; task '{spec.task}' runs none."
        )
    if method.keeps == card.reads:
        raise UserError(
            f"{where}: control '{name}' keeps the {card.reads} of a method, and track '{card.track}' reads nothing "
            "else, so it says nothing there; take it out."
        )
    if method.derived != (role == "derived"):
        right = "derived" if method.derived else "ceiling or floor"
        raise UserError(f"{where}: '{name}' belongs under controls.{right}, not controls.{role}.")
