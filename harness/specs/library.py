"""Finds specs by name in the content folders and in the folders the user adds, and checks what one file can tell.

A folder added by ``--include-path DIR`` holds ``DIR/methods``, ``DIR/tasks`` and ``DIR/metrics``, each optional; so
does an installed package that says so (``harness.specs.plugins``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.checkpoints.detect import Checkpoint, find_checkpoint
from harness.content import PACKAGE
from harness.errors import UserError, did_you_mean, unknown
from harness.specs.checking import check
from harness.specs.families import family_of, of_family
from harness.specs.method import OWN, MethodSpec, TrackCard, VariantSpec
from harness.specs.plugins import Places
from harness.specs.reading import Document, read_yaml
from harness.specs.task import TaskSpec
from harness.specs.worlds import Drawn

# A method that is a folder with somebody's dictionary: [LABEL=]path:DIR.
_PATH = re.compile(r"(?:(?P<label>[A-Za-z0-9_.-]+)=)?path:(?P<folder>.*)")


@dataclass(frozen=True)
class FoundMethod:
    """A method's spec and where it was found.

    Attributes:
        spec: the checked YAML, a variant merged into what it varies.
        folder: folder that holds the code (a variant's YAML may lie elsewhere).
        slug: its name in folders and tables; a plug-in's carries a hash of its package's name, or of its path, so two
            plug-ins never collide, and a checkpoint's one of its content.
        checkpoint: the files it is read from, where nothing is fitted.
    """

    spec: MethodSpec
    folder: Path
    slug: str
    checkpoint: Checkpoint | None = None

    @property
    def code_path(self) -> Path | None:
        """The Python file of the method; None where it is another method on another language model."""
        return self.folder / self.spec.code.partition(":")[0] if self.spec.code else None


class Library:
    """The methods, tasks and tracks that can be named."""

    def __init__(self, include: Sequence[Path] = ()) -> None:
        self._places = Places(include)

    def folders(self, kind: str) -> list[Path]:
        """Return the folders that hold one kind of content: the package's own, installed ones, those the user adds."""
        return self._places.folders(kind)

    def origin(self, kind: str, name: str) -> str:
        """Return where a method or task (``kind`` is ``methods`` or ``tasks``) comes from; raises ``UserError``."""
        return self._places.origin(self._locate(kind, name))

    def names(self, kind: str) -> list[str]:
        """Return every name of one kind (``methods`` or ``tasks``), sorted."""
        return sorted(self._files(kind))

    def _files(self, kind: str) -> dict[str, Path]:
        files: dict[str, Path] = {}
        for folder in self.folders(kind):
            for path in sorted(folder.glob("*.yaml")):
                if path.stem in files:
                    raise self._places.defined_twice(kind, path, files[path.stem])
                files[path.stem] = path
        return files

    def _locate(self, kind: str, name: str) -> Path:
        if name.endswith((".yaml", ".yml")):
            if not Path(name).is_file():
                raise UserError(f"{kind[:-1]} file '{name}' does not exist")
            return Path(name).resolve()
        files = self._files(kind)
        if name not in files:
            raise unknown(kind[:-1], name, files)
        return files[name]

    def is_method(self, name: str) -> bool:
        """Return whether a name, or a path of a YAML file, is a method's rather than a task's; raises ``UserError``."""
        if _PATH.fullmatch(name):
            return True
        if family_of(name):
            return False
        if name.endswith((".yaml", ".yml")):
            return "method" in read_yaml(Path(name)).value
        methods, tasks = self.names("methods"), self.names("tasks")
        if name not in methods and name not in tasks:
            raise unknown("method or task", name, [*methods, *tasks])
        return name in methods

    def task(self, name: str) -> TaskSpec:
        """Return a task by name or by path of its YAML; raises ``UserError``."""
        return self.task_document(name)[1]

    def task_document(self, name: str) -> tuple[Document, TaskSpec]:
        """Return a task with the document it was read from, for messages that name a line."""
        family = family_of(name)
        document = self._of_family(*family) if family else read_yaml(self._locate("tasks", name))
        spec = check(document, TaskSpec, "task")
        if not family:
            _name_is_file(spec.task, "task", document)
        self.check_budget(document, spec)
        return document, spec

    def _of_family(self, family: str, name: str) -> Document:
        paths = [path for folder in self.folders("tasks") if (path := folder / "families" / f"{family}.yaml").is_file()]
        if not paths:
            raise UserError(f"--task {family}:{name}: no folder of tasks holds 'families/{family}.yaml'.")
        return of_family(read_yaml(paths[0]), name)

    def check_budget(self, document: Document, spec: TaskSpec) -> None:
        """Check that a task gives every key of data and budget its track needs, and no others; raises ``UserError``."""
        card = self.track(spec.track, document.where(("track",)))
        _check_source(document, spec, card)
        wanted = set(card.test_budget) | (set(card.fit_budget) if card.fits and not spec.corpus else set())
        if isinstance(spec.data, Drawn) and not spec.data.budgeted:
            wanted = set()
        allowed = wanted | set(card.optional_budget)
        given = {key for key, value in spec.budget.model_dump(exclude_unset=True).items() if value is not None}
        for key in sorted(wanted - given):
            raise UserError(f"{document.where(('budget',))}: budget lacks '{key}', which track '{card.track}' needs.")
        for key in sorted(given - allowed):
            corpus = f"the corpus '{spec.corpus}'" if spec.corpus else "a corpus, which the task does not name"
            reason = f"comes from {corpus}" if key in card.fit_budget else f"is not used by track '{card.track}'"
            raise UserError(f"{document.where(('budget', key))}: budget '{key}' {reason}; take it out.")
        judged = spec.answers is not None and spec.answers.generated is not None
        if card.labels and spec.label is None and not judged:
            where = document.where(())
            raise UserError(f"{where}: track '{card.track}' predicts a label: give the task 'label', a template.")
        if spec.step is not None and not card.steps:
            where = document.where(("site", "step"))
            raise UserError(f"{where}: track '{card.track}' measures tokens, not steps; take 'step' out.")
        self._check_own(document, spec, card)
        splits = getattr(spec.data, "splits", None)
        val = splits is not None and splits.val is not None and not spec.chooses
        if spec.corpus and splits is not None and (splits.train is not None or val):
            where = document.where(("data", "splits"))
            raise UserError(f"{where}: train and val come from the corpus '{spec.corpus}'; give 'test' alone.")
        drawn = isinstance(spec.data, Drawn)
        fits = card.fits and bool(card.fit_budget) and spec.corpus is None and not drawn
        if fits and (splits is None or splits.train is None or splits.val is None):
            raise UserError(
                f"{document.where(('data',))}: data needs 'splits' with train and val, or the task a 'corpus'."
            )

    def _check_own(self, document: Document, spec: TaskSpec, card: TrackCard) -> None:
        """Check the keys that only some tracks read."""
        for key in OWN:
            given = getattr(spec, key) is not None
            if given and key not in card.wants:
                raise UserError(f"{document.where((key,))}: '{key}' is not used by track '{card.track}'; take it out.")
            if key in card.wants and not given:
                says = TaskSpec.model_fields[key].description
                raise UserError(f"{document.where(())}: track '{card.track}' needs '{key}': {says}.")
        if spec.vocab is not None and (spec.corpus or not card.vocab):
            where = document.where(("vocab",))
            said = f"comes from the corpus '{spec.corpus}'" if card.vocab else f"is not used by track '{card.track}'"
            raise UserError(f"{where}: 'vocab' {said}; take it out.")
        if spec.ask is not None and spec.label is None and spec.ask.lm_eval is None:
            where = document.where(("ask",))
            raise UserError(f"{where}: somebody has to say what is right: give the task 'label', a template.")
        if spec.site is not None and spec.site.depths is not None and not card.depths:
            where = document.where(("site", "depths"))
            raise UserError(f"{where}: track '{card.track}' reads one block; give 'depth' or 'layer'.")

    def method(self, name: str, where: str = "") -> FoundMethod:
        """Return a method by name, by path of its YAML, or as ``path:DIR`` of a checkpoint; raises ``UserError``."""
        path = _PATH.fullmatch(name)
        if path:
            if not path["folder"]:
                raise UserError(f"{where or '--method'}: '{name}' wants the folder of a dictionary behind it.")
            return _checkpoint(Path(path["folder"]), path["label"], where)
        return self._read_method(self._named(name, where), ())

    def _read_method(self, path: Path, users: tuple[Path, ...]) -> FoundMethod:
        """Read a method's YAML; ``users`` are the variants that led here."""
        document = read_yaml(path)
        if "variant_of" in document.value:
            return self._variant(document, (*users, path))
        spec = check(document, MethodSpec, "method")
        _name_is_file(spec.method, "method", document)
        found = FoundMethod(spec, path.parent, self._places.slug(spec.method, path))
        if found.code_path is not None and not found.code_path.is_file():
            where = document.where(("code",))
            raise UserError(f"{where}: code file '{found.code_path.name}' is not in {path.parent}")
        return found

    def _variant(self, document: Document, users: tuple[Path, ...]) -> FoundMethod:
        variant = check(document, VariantSpec, "method")
        _name_is_file(variant.method, "method", document)
        where = document.where(("variant_of",))
        base_path = document.path.with_name(f"{variant.variant_of}.yaml")
        if not base_path.is_file():
            base_path = self._named(variant.variant_of, where)
        if base_path in users:
            raise UserError(f"{where}: '{variant.variant_of}' is a variant of '{variant.method}' itself")
        base = self._read_method(base_path, users)
        params = merge_params(base.spec.params, variant.params, document.where(("params",)), variant.variant_of)
        update: dict[str, Any] = {"method": variant.method, "title": variant.title, "params": params}
        # A variant of a damaged method is not thereby damaged in the same way.
        update["degrades"] = variant.degrades
        own = {
            "source": variant.source,
            "seeded": variant.seeded,
            "causal": variant.causal,
            "uses": variant.uses,
        }
        update |= {key: value for key, value in own.items() if value is not None}
        return FoundMethod(
            base.spec.model_copy(update=update), base.folder, self._places.slug(variant.method, document.path)
        )

    def _named(self, name: str, where: str) -> Path:
        try:
            return self._locate("methods", name)
        except UserError as error:
            raise UserError(f"{where}: {error}" if where else str(error)) from None

    def track(self, name: str, where: str = "") -> TrackCard:
        """Return the card of a track; raises ``UserError``."""
        cards = {path.stem: path for path in sorted((PACKAGE / "tracks").glob("*.yaml"))}
        if name not in cards:
            raise unknown("track", name, cards, where)
        return _card(cards[name])

    def tracks(self) -> list[str]:
        """Return the names of all tracks."""
        return sorted(path.stem for path in (PACKAGE / "tracks").glob("*.yaml"))


@cache
def _card(path: Path) -> TrackCard:
    """Return the card in a file of the package itself, which nobody changes meanwhile: each task asks for its own."""
    return check(read_yaml(path), TrackCard, "track")


def _check_source(document: Document, spec: TaskSpec, card: TrackCard) -> None:
    """Check that the track takes the data, and that a model is named where and only where one is run."""
    if spec.data.source not in card.sources:
        takes = ", ".join(card.sources)
        where = document.where(("data", "source"))
        raise UserError(f"{where}: track '{card.track}' takes data from {takes}; got source '{spec.data.source}'.")
    read = {"model": spec.model, "text": spec.text, "site": spec.site}
    if spec.ask is not None and spec.ask.lm_eval is not None:
        # lm-eval writes the prompts.
        del read["text"]
    if not isinstance(spec.data, Drawn):
        absent = next((key for key, value in read.items() if value is None), None)
        if absent is not None:
            raise UserError(f"{document.where(())}: task lacks the key '{absent}'.")
        return
    for key in (*read, "mask", "corpus"):
        if key in document.value and document.value[key] is not None:
            where = document.where((key,))
            raise UserError(
                f"{where}: a world is drawn and no language model runs, so '{key}' has no use; take it out."
            )


def merge_params(
    base: dict[str, Any], change: dict[str, Any], where: str, method: str, inside: str = ""
) -> dict[str, Any]:
    """Return ``base`` with ``change`` laid over it; a key that ``base`` does not have is an error."""
    result = dict(base)
    for key, value in change.items():
        name = f"{inside}{key}"
        if key not in base:
            raise UserError(
                f"{where}: method '{method}' has no parameter '{name}'.{did_you_mean(key, base)} "
                f"Allowed: {', '.join(sorted(base)) or '(none)'}."
            )
        if isinstance(base[key], dict) and not isinstance(value, dict):
            raise UserError(f"{where}: parameter '{name}' of method '{method}' holds keys, got {value!r}")
        nested = isinstance(base[key], dict)
        result[key] = merge_params(base[key], value, where, method, f"{name}.") if nested else value
    return result


def _name_is_file(name: str, what: str, document: Document) -> None:
    if name != document.path.stem:
        raise UserError(
            f"{document.where((what,))}: {what} '{name}' must be named like its file, '{document.path.stem}'."
        )


def _checkpoint(folder: Path, label: str | None, where: str) -> FoundMethod:
    """Return the method that a folder with a dictionary is; it takes no parameters."""
    try:
        found = find_checkpoint(folder)
    except UserError as error:
        raise UserError(f"{where or '--method'}: path: {error}") from None
    label = label or folder.resolve().name
    spec = MethodSpec(
        method=re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") or "checkpoint",
        title=f"{label} ({found.card.format}, {found.card.architecture})",
        kind="dictionary",
        code="dictionary.py:ForeignDictionary",
        source=f"{found.card.format} checkpoint",
        seeded=False,
    )
    return FoundMethod(spec, PACKAGE / "checkpoints", f"path:{label}-{found.sha256[:8]}", found)
