"""The answers that were measured as text, for those who want to read what a probe was right or wrong about."""

from __future__ import annotations

from harness.api import CONFIDENCE
from harness.store.items import Item
from harness.tracks.answer_reader import AnswerReader


def answer_texts(reader: AnswerReader) -> tuple[Item, ...]:
    """Return every answer with its problem, label and the model's confidence, in the order of the parts."""
    answers = reader.answers
    return tuple(
        Item(
            id=document.id,
            group=document.group,
            author=answers.author[row],
            prompt=answers.prompt[row],
            answer=answers.answer[row],
            label=str(document.label),
            numbers=dict(zip(CONFIDENCE, answers.confidence_nK[row].tolist(), strict=True)),
        )
        for row, document in enumerate(reader.documents[taken.document] for taken in reader.taken.sequences)
    )
