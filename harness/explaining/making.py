"""``harness explain``: checks a call, reads and explains its text, and writes what was found into the data file."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.explaining.choosing import FITTING, explaining_method, features_task, fitting_task, read_task
from harness.run.evaluate import Options, Prepared, make_request, prepare
from harness.specs.explained import ExplainedFile, Labels
from harness.specs.identity import digest
from harness.store.files import output_folder
from harness.store.records import check_results

if TYPE_CHECKING:
    from harness.explaining.collect import Explaining

_MOST_TOKENS = 64


@dataclass(frozen=True)
class Text:
    """What is to be explained: what follows a text, as it stands or as a user's message, so many tokens on."""

    text: str
    chat: bool = False
    tokens: int = 1


@dataclass(frozen=True)
class PreparedExplanation:
    """A call that was checked as far as it can be without loading a model."""

    prepared: Prepared
    text: Text
    run: Path
    by_default: bool
    features_task: str | None

    @property
    def data_path(self) -> Path:
        """Where the data file goes."""
        key = self.prepared.groups[0].cells[0].key
        return self.prepared.beside("explained", digest([key, self.text.text, self.text.chat, self.text.tokens]))

    def explain(self, progress: Any, command: str) -> ExplainedFile:
        """Fit what is not fitted, explain every prediction that was asked for, and return the file."""
        started = time.perf_counter()
        resources = self.prepared.resources(progress)
        self._check_class()
        from harness.explaining.collect import Explaining
        from harness.explaining.labels import find_labels

        work = Explaining(self.prepared.groups[0], resources)
        ids = work.read(self.text)
        layer, fits = work.group.task.layer, resources.cache / "fits"
        found = find_labels(self.run, work.dictionary_cell, work.dictionary, layer, fits)
        explained, after = work.explain_all(ids, self.text.tokens, found.features if found else {})
        return ExplainedFile(
            **self._head(work),
            text=self.text.text,
            reading=self._reading(),
            tokens=work.words([*ids, *after]),
            given=len(ids),
            explained=explained,
            labels=self._labels(work, found.path if found else None),
            notes=[*self._ended(len(after)), *work.group.corpus.warnings],
            command=command,
            seconds=round(time.perf_counter() - started, 3),
        )

    def _ended(self, tokens: int) -> list[str]:
        if tokens == self.text.tokens:
            return []
        return [f"the model ended its text after {tokens} of {self.text.tokens} tokens"]

    def _check_class(self) -> None:
        """Refuse a decoder that reads more than codes; raises ``UserError`` before the language model is loaded."""
        from harness.api import Dictionary, Explainer, OverCodes
        from harness.registry import method_class

        found = self.prepared.groups[0].cells[0].entry.found
        if found.checkpoint is None and not issubclass(method_class(found), (Dictionary, Explainer, OverCodes)):
            raise UserError(
                f"--method: '{found.slug}' predicts from more than the codes of a dictionary, so latents cannot "
                "explain what it says; name a decoder over codes, a dictionary or an explainer."
            )

    def _head(self, work: Explaining) -> dict[str, Any]:
        from harness.api import OverCodes
        from harness.run.environment import commit, package_version

        group, cell = work.group, work.cell
        spec, found = group.task.spec, cell.entry.found.spec
        method = {"name": cell.entry.found.slug, "title": found.title, "kind": found.kind, "source": found.source}
        inner = work.dictionary_cell.entry.found
        return {
            "method": {**method, "params": cell.entry.params, "identity": cell.identity},
            "dictionary": {
                "name": inner.slug,
                "title": inner.spec.title,
                "latents": int(work.dictionary.directions().shape[0]),
                "fit": work.dictionary_cell.fit,
            },
            "task": {"name": spec.task, "title": spec.title, "version": spec.version, "track": spec.track},
            "task_by_default": self.by_default,
            "model": work.site.model_part().model_dump(mode="json"),
            "seed": cell.seed,
            "whose": "decoder" if isinstance(work.method, OverCodes) else "model",
            "version": package_version(),
            "commit": commit()[0],
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _reading(self) -> str:
        if self.text.chat:
            return "as a user's message in the model's chat template"
        return "as it stands, without a chat template or the task's own"

    def _labels(self, work: Explaining, source: Path | None) -> Labels:
        """Say where labels come from, or what makes them."""
        layer = work.group.task.layer
        if source is None:
            return Labels(source=None, page=None, command=self._command(work), layer=layer)
        page, folder = source.with_suffix(".html"), self.data_path.parent
        return Labels(
            source=_from(folder, source),
            page=_from(folder, page) if page.is_file() else None,
            command=None,
            layer=layer,
        )

    def _command(self, work: Explaining) -> str | None:
        """Return the call that makes labels of the dictionary's latents."""
        if self.features_task is None:
            return None
        given, spec = self.prepared.options, work.group.task.spec
        words = ["harness", "features", work.dictionary_cell.entry.found.slug, "--task", self.features_task]
        words += ["--model", given["model"]] if "model" in given else []
        words += ["--limit", str(given["limit"])] if "limit" in given else []
        words += ["--layers", ",".join(map(str, given["layers"]))] if given.get("layers") else []
        words += ["--seeds", str(work.dictionary_cell.seed), "--output-path", str(self.run)]
        same = spec.task == self.features_task and work.dictionary_cell is work.cell
        for key, value in given.get("set", {}).items():
            words += ["--set", f"{key}={value}"] if same or key.split(".")[0] in FITTING else []
        return shlex.join(words)


def _from(folder: Path, path: Path) -> str:
    """Return a path as a page in ``folder`` links to it."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def prepare_explanation(
    method: str, text: Text, task: str | None, output_path: str | Path, options: Options, run: str | Path | None
) -> PreparedExplanation:
    """Check a call and plan it; raises ``UserError`` before any model loads."""
    _check_one(method, task, options)
    _check_text(text)
    if run is not None:
        check_results(Path(run), "--run")
    alone: Options = {**options, "controls": False}
    library, _ = make_request(method, task or "any", alone)
    found = explaining_method(library, method)
    chosen = task or fitting_task(library, found)
    spec = read_task(library, chosen)
    prepared = prepare(method, chosen, output_path, alone)
    output_folder(prepared.folder, "--output-path")
    return PreparedExplanation(
        prepared, text, Path(run) if run is not None else prepared.folder, task is None, features_task(library, spec)
    )


def _check_one(method: str, task: str | None, options: Options) -> None:
    """Refuse several of what an explanation has one of."""
    for given, what in ((method, "--method"), (task or "", "--task")):
        if "," in given:
            raise UserError(f"{what}: one {what.strip('-')} explains at a time, got '{given}'")
    for option, numbers in (("--seeds", options.get("seeds", ())), ("--layers", options.get("layers", ()))):
        if len(numbers) > 1:
            raise UserError(f"{option}: an explanation has one, got {', '.join(map(str, numbers))}")


def _check_text(text: Text) -> None:
    if not text.text.strip():
        raise UserError("--text: it is empty; give the text whose next token is to be explained.")
    if (at := _not_a_character(text.text)) is not None:
        raise UserError(f"--text: character {at + 1} is none: these bytes are not UTF-8. Give the text in UTF-8.")
    if not 1 <= text.tokens <= _MOST_TOKENS:
        raise UserError(f"--tokens: 1 to {_MOST_TOKENS} tokens can be explained, got {text.tokens}")


def _not_a_character(text: str) -> int | None:
    """Return where a text first holds a byte that its shell's encoding could not read, if it does."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None
