"""A task as it will be run: overrides applied, layer chosen, names checked. Only equal resolved tasks share a table."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import UserError, unknown
from harness.metrics.contract import all_metrics
from harness.specs.checking import check
from harness.specs.library import Library
from harness.specs.reading import Document, Key, in_words, parse_value
from harness.specs.task import Budget, TaskSpec

Blocks = Callable[[str], int]


@dataclass(frozen=True)
class Overrides:
    """What the command line changes in every task of one call. ``sets`` maps dotted keys of the task to YAML words."""

    model: str | None = None
    limit: int | None = None
    sets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ResolvedTask:
    """One task at one block of one model.

    Attributes:
        spec: the task with every override applied.
        layer: the block whose output is read and edited, from 0.
        limit: documents per split at most, or None.
        fit: the task whose train and validation split and budget fit methods: itself, or its corpus.
    """

    spec: TaskSpec
    layer: int
    limit: int | None
    corpus: ResolvedTask | None = None

    @property
    def fit(self) -> ResolvedTask:
        """The task that methods are fitted on."""
        return self.corpus or self

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
        names = {"title", "metrics", "bars", "controls", "seeds", "model", "site"}
        return {
            # JSON's null for an infinite number would make two tasks one.
            **in_words(self.spec.model_dump(exclude=names)),
            "layer": self.layer,
            "at": self.spec.site.at,
            "step": self.spec.site.step,
            "limit": self.limit,
            "corpus": self.corpus.measured() if self.corpus else None,
        }


_TEST_KEYS = ("test_tokens", "splice_tokens", "density_tokens")


def resolve(library: Library, name: str, overrides: Overrides, layer: int | None, blocks: Blocks) -> ResolvedTask:
    """Return the resolved task; ``layer`` replaces the task's site, ``blocks`` counts a model's blocks.

    Raises ``UserError`` on any unknown name, a layer the model does not have, or a control of the wrong kind.
    """
    document, spec = library.task_document(name)
    card = library.track(spec.track)
    theirs = {f"budget.{key}" for key in card.fit_budget} if spec.corpus else set()
    corpus_sets = {key: text for key, text in overrides.sets.items() if key in theirs}
    own_sets = {key: text for key, text in overrides.sets.items() if key not in theirs}
    if own_sets:
        document, spec = _with_sets(document, own_sets)
        library.check_budget(document, spec)
    spec = spec.model_copy(update={"model": overrides.model}) if overrides.model else spec
    check_names(library, document, spec)
    chosen = _layer(spec, layer, blocks(spec.model), document)
    corpus = None
    if spec.corpus:
        inner = Overrides(spec.model, overrides.limit, corpus_sets)
        corpus = resolve(library, spec.corpus, inner, chosen, blocks)
        if corpus.spec.site.step != spec.site.step:
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


def _layer(spec: TaskSpec, layer: int | None, blocks: int, document: Document) -> int:
    given = layer if layer is not None else spec.site.layer
    if given is None:
        # A depth of 0.5 means half of the blocks have run: block 14 of 30.
        return max(round((spec.site.depth or 0.0) * blocks) - 1, 0)
    if not 0 <= given < blocks:
        where = "--layers" if layer is not None else document.where(("site", "layer"))
        raise UserError(f"{where}: layer {given} is out of range; model '{spec.model}' has blocks 0..{blocks - 1}.")
    return given


def check_names(library: Library, document: Document, spec: TaskSpec) -> None:
    """Check every metric, bar, control and corpus a task names; raises ``UserError`` with the line."""
    metrics = {name: m for name, m in all_metrics().items() if spec.track in m.tracks}
    for i, name in enumerate(spec.metrics):
        if name not in metrics:
            raise unknown(f"metric of track '{spec.track}'", name, metrics, document.where(("metrics", i)))
    for name in spec.bars:
        if name not in spec.metrics:
            raise unknown("metric of this task", name, spec.metrics, document.where(("bars", name)))
    for role in ("ceiling", "floor", "derived"):
        for name in getattr(spec.controls, role):
            _check_control(library, document, spec, role, name)
    if spec.corpus:
        _check_corpus(library, spec.corpus, document.where(("corpus",)))


def _check_corpus(library: Library, name: str, where: str) -> None:
    if name not in library.names("tasks"):
        raise unknown("task", name, library.names("tasks"), where)
    further = library.task(name).corpus
    if further is not None:
        raise UserError(f"{where}: corpus '{name}' has the corpus '{further}' itself; name that one.")


def _check_control(library: Library, document: Document, spec: TaskSpec, role: str, name: str) -> None:
    where = document.where(("controls", role))
    method = library.method(name, where).spec
    card = library.track(spec.track)
    if method.kind not in card.kinds:
        takes = ", ".join(card.kinds)
        raise UserError(f"{where}: control '{name}' is a {method.kind}; track '{card.track}' takes {takes}.")
    if method.derived != (role == "derived"):
        right = "derived" if method.derived else "ceiling or floor"
        raise UserError(f"{where}: '{name}' belongs under controls.{right}, not controls.{role}.")
