"""What a call asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.specs.resolve import Overrides


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        methods: names, or paths of YAML files.
        tasks: names, or paths of YAML files.
        seeds: seeds of the contestants; the task's own where empty.
        derived_seeds: seeds on which derived controls are built; every seed where None.
        layers: blocks that replace the task's site, one resolved task each.
        overrides: model, limit and ``--set`` of the task.
        params: ``--set params.…`` of the methods.
        controls: whether the task's controls are run.
        revision: of a hub model.
        dtype: of the language model.
        data_dir: folder of mirrors.
    """

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...] = ()
    derived_seeds: tuple[int, ...] | None = None
    layers: tuple[int, ...] = ()
    overrides: Overrides = field(default_factory=Overrides)
    params: Mapping[str, Any] = field(default_factory=dict)
    controls: bool = True
    revision: str | None = None
    dtype: str = "float32"
    data_dir: Path | None = None
