"""``harness features``: checks a call, collects its layers, compares neighbouring ones, and writes the data file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.content import PACKAGE
from harness.errors import UserError
from harness.features.sizes import Sizes
from harness.run.cells import Cell
from harness.run.evaluate import Options, Prepared, prepare
from harness.run.plan import PlannedGroup
from harness.specs.code import code_hash, with_imports
from harness.specs.identity import digest
from harness.store.features import windows_path
from harness.store.files import output_folder
from harness.store.records import check_results

if TYPE_CHECKING:
    from harness.specs.features import FeatureFile


_CODE = PACKAGE / "features" / "making.py"


@dataclass(frozen=True)
class PreparedFeatures:
    """A call that was checked as far as it can be without loading a model."""

    prepared: Prepared
    run: Path
    sizes: Sizes

    @property
    def data_path(self) -> Path:
        """Where the data file goes."""
        return self.prepared.beside("features", self.key)

    def cells(self, group: PlannedGroup) -> list[Cell]:
        """Return the method's first cell, and that of every floor control of the task beside it."""
        floor = [cell for cell in group.cells[1:] if cell.entry.role == "floor" and cell.of is None]
        first = {cell.entry.found.slug: cell for cell in reversed([group.cells[0], *floor])}
        return [group.cells[0], *(cell for cell in floor if first[cell.entry.found.slug] is cell)]

    @property
    def has_windows(self) -> bool:
        """Whether the windows of every layer's labels are on disk."""
        return all(windows_path(self.data_path, group.task.layer).is_file() for group in self.prepared.groups)

    @property
    def key(self) -> str:
        """Hash of everything that decides what is read; reasoning scores, a judge and ratings are added afterwards."""
        cells = [[cell.key for cell in self.cells(group)] for group in self.prepared.groups]
        return digest([cells, asdict(self.sizes), code_hash(*with_imports(_CODE, "features"))])

    def collect(self, progress: Any, command: str) -> FeatureFile:
        """Fit what is not fitted, stream the test documents of every layer, and return the file.

        The windows of labels are written beside the place of the data file, for a judge to read.
        """
        from harness.features.collect import Collector, Layer
        from harness.features.exhibits import save_exhibits

        resources = self.prepared.resources(progress)
        layers: list[Layer] = [
            Collector(group, self.cells(group), resources, self.sizes).collect() for group in self.prepared.groups
        ]
        for layer in layers:
            save_exhibits(windows_path(self.data_path, layer.features.layer), layer.exhibits)
        return self._file(layers, command)

    def _file(self, layers: Sequence[Any], command: str) -> FeatureFile:
        from harness.features.matching import match
        from harness.run.environment import commit, package_version
        from harness.specs.features import FeatureFile

        group = self.prepared.groups[0]
        cell, spec = group.cells[0], group.task.spec
        found = cell.entry.found.spec
        ordered = sorted(layers, key=lambda layer: layer.features.layer)
        if any(layer.words != layers[0].words for layer in layers):
            raise RuntimeError("layers of one task must read the same tokens")
        method = {"name": cell.entry.found.slug, "title": found.title, "source": found.source}
        return FeatureFile(
            key=self.key,
            method={**method, "params": cell.entry.params, "identity": cell.identity, "causal": found.causal},
            task={"name": spec.task, "title": spec.title, "version": spec.version, "track": spec.track},
            model=layers[0].model,
            seed=cell.seed,
            sizes=asdict(self.sizes),
            version=package_version(),
            commit=commit()[0],
            command=command,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            tokens=layers[0].words,
            layers=[layer.features for layer in ordered],
            matches=[match(a, b) for a, b in itertools.pairwise(ordered)],
        )


def prepare_features(
    method: str, task: str, output_path: str | Path, options: Options, run: str | Path | None
) -> PreparedFeatures:
    """Check a call and plan it; raises ``UserError`` before any model loads."""
    for given, what in ((method, "METHOD"), (task, "--task")):
        if "," in given:
            raise UserError(f"{what}: a page is about one {what.strip('-').lower()}, got '{given}'")
    if len(options.get("seeds", ())) > 1:
        raise UserError(f"--seeds: a page shows one seed, got {', '.join(map(str, options['seeds']))}")
    if run is not None:
        check_results(Path(run), "--run")
    prepared = prepare(method, task, output_path, options)
    kind = prepared.groups[0].cells[0].entry.found.spec.kind
    if kind != "dictionary":
        raise UserError(f"method '{method}' is a {kind}; feature pages show the latents of a dictionary.")
    output_folder(prepared.folder, "--output-path")
    return PreparedFeatures(prepared, Path(run) if run is not None else prepared.folder, Sizes())
