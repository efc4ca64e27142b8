"""What every track has in common that reads one block of a language model."""

from __future__ import annotations

from functools import cached_property
from typing import final

from harness.api import Train
from harness.specs.record import DataPart, ModelPart
from harness.tracks.contract import Group, Resources, Track
from harness.tracks.site import Site


class SiteTrack(Track):
    """Fits methods on the activations of a site and measures them on its test batches."""

    def __init__(self, group: Group, resources: Resources) -> None:
        super().__init__(group, resources)
        self.site = Site(group, resources)

    def prepare(self) -> None:
        """Read the activations that methods are fitted on."""
        self.train()

    def train(self) -> Train:
        """Return activations of the train and validation splits, reading them at the first call."""
        return self._train

    @cached_property
    def _train(self) -> Train:
        return self.site.train()

    @property
    @final
    def width(self) -> int:
        """``D``, of the model."""
        return self.site.model.info.width

    def units(self) -> tuple[str, ...]:
        """Return the identity of every test batch."""
        return tuple(batch.identity for batch in self.site.test.batches)

    @final
    def model_device(self) -> str:
        """Return where the model runs."""
        return self.site.model.info.device

    @final
    def model_part(self) -> ModelPart:
        """Describe the model and the site."""
        return self.site.model_part()

    def data_part(self) -> DataPart:
        """Describe the documents that were measured."""
        return self.site.data_part()
