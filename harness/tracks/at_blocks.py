"""What methods are fitted on that a task uses at each of its blocks: its corpus, read at all of them in one pass."""

from __future__ import annotations

from dataclasses import replace

import torch

from harness.api import Train
from harness.lm.blocks import device_of
from harness.tracks.contract import Group, Resources
from harness.tracks.site import Site


class AtBlocks:
    """The corpus of a group's task at each of its blocks; nothing is read before it is asked for."""

    def __init__(self, group: Group, resources: Resources) -> None:
        self.group, self.resources = group, resources
        self._train: dict[int, Train] = {}

    def train(self, block: int) -> Train:
        """Return what a method is fitted on at one block; the first call reads all blocks."""
        if block not in self._train:
            # The same key as where the corpus is a task of its own: what either has read or fitted, both find.
            own = replace(self.group, task=self.group.task.fit_at(block), corpus=self.group.fit_corpus)
            site = Site(own, self.resources)
            if not self._train:
                for split in ("train", "val"):
                    site.activations(split, self.group.task.blocks)
            self._train[block] = site.train()
        return self._train[block]

    def device(self, block: int) -> torch.device:
        """Return where a method at one block runs."""
        model = self.resources.model(self.group.task.model)
        return device_of(model.blocks[block], model.device)
