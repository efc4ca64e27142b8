"""Whether a dictionary is measured where it was trained."""

from __future__ import annotations

from harness.checkpoints.card import Card
from harness.errors import UserError


def check_site(name: str, card: Card, width: int, layer: int) -> None:
    """Raise ``UserError`` where a dictionary cannot be meant for the output of block ``layer``, ``width`` wide."""
    if card.width is not None and card.width != width:
        raise UserError(f"method '{name}' reads activations {card.width} wide; those of the model are {width} wide.")
    trained = card.trained
    if trained.hook is None:
        return
    if trained.layer is None or trained.layer < 0:
        raise UserError(f"method '{name}' was trained at '{trained.hook}', which is not the output of a block.")
    if trained.layer != layer:
        raise UserError(
            f"method '{name}' was trained at '{trained.hook}', the output of block {trained.layer}; the task reads "
            f"block {layer}. Give --layers {trained.layer}."
        )


def site_notes(card: Card, model: str, latents: int | None) -> list[str]:
    """Return what a reader of the record should know: another model, no stated site, more latents than the task's.

    Models go by many names, so a name that differs is said and not refused.
    """
    notes = []
    trained = card.trained
    if trained.hook is None:
        notes.append(f"the {card.format} files do not say at which site the dictionary was trained")
    if trained.model is None:
        notes.append(f"the {card.format} files do not say on which model the dictionary was trained")
    elif _last(trained.model) != _last(model):
        notes.append(f"the dictionary was trained on '{trained.model}', not on '{model}'")
    if latents is not None and card.latents is not None and card.latents > latents:
        notes.append(f"the dictionary has {card.latents} latents, the task allows {latents}")
    return notes


def _last(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2].casefold()
