"""Track names become tracks."""

from __future__ import annotations

import importlib

from harness.errors import UserError
from harness.metrics.contract import all_metrics
from harness.run.plan import PlannedGroup
from harness.tracks.contract import Group, Resources, Track
from harness.tracks.site import Site


def make_track(group: PlannedGroup, resources: Resources) -> Track:
    """Import the module of the task's track and build its ``TRACK`` for one group."""
    module = importlib.import_module(f"harness.tracks.{group.task.spec.track}")
    metrics = all_metrics()
    chosen = [metrics[name] for name in group.task.spec.metrics]
    # A control on another language model has no value there, so nothing is measured for it.
    parts = frozenset(part for m in chosen if not (group.again and m.within_model) for part in m.needs)
    track: Track = module.TRACK(Group(group.task, group.corpus, group.fit_corpus, group.origin, parts), resources)
    return track


def site_of(track: Track) -> Site:
    """Return where a track reads activations; raises ``UserError`` for one that has no text."""
    site = getattr(track, "site", None)
    if not isinstance(site, Site):
        spec = track.task.spec
        raise UserError(f"task '{spec.task}' (track '{spec.track}') has no text to show contexts of.")
    return site
