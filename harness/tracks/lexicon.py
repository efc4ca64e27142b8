"""The words a task scores: its vocabulary, random ones as frequent, and keywords, under the model's tokenizer.

All of it depends on the tokens of the test split alone, never on codes, and so is the same for every method.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from harness.data.vocabulary import Entry, entries, surface_forms, tokenized
from harness.specs.reasoning import Reasoning
from harness.tracks.codes import Codes
from harness.tracks.marks import Text, Words, random_entries
from harness.tracks.selection import Split


class Lexicon:
    """Vocabularies for one test split; raises ``UserError`` on a vocabulary file that does not fit."""

    def __init__(self, options: Reasoning, tokenizer: Any, test: Text) -> None:
        self.options, self.test = options, test
        self._tokenizer = tokenizer
        self._entries = entries(options.vocabulary, tokenizer)
        forms = dict.fromkeys(form for word in options.keywords for form in surface_forms(word))
        self._keywords = tokenized("keywords", list(forms), tokenizer)

    @cached_property
    def _counted(self) -> Words:
        """The vocabulary in the test split, before any word is dropped."""
        return self._words(self.test, self._entries)

    @cached_property
    def vocabularies(self) -> tuple[tuple[Entry, ...], ...]:
        """The vocabulary, its words that are too rare left out, and the random ones that match their frequencies."""
        counts, options = self._counted, self.options
        kept = [i for i, count in enumerate(counts.count_R) if count >= options.min_occurrences]
        own, words = tuple(self._entries[i] for i in kept), counts.only(kept)
        # Two tasks with neighbouring seeds share no random vocabulary.
        seeds = [1000 * options.seed + number for number in range(options.random_vocabularies)]
        drawn = (random_entries(self.test, words, self._entries, self._wordlike, seed) for seed in seeds)
        return (own, *(tuple(found) for found in drawn))

    @property
    def dropped(self) -> dict[str, int]:
        """The words that are too rare in the test split, with their occurrences."""
        counts = dict(zip(self._counted.names, self._counted.count_R, strict=True))
        return {word: count for word, count in counts.items() if count < self.options.min_occurrences}

    def split(self, text: Text, codes: Codes) -> Split:
        """Return a split with its words found."""
        words = tuple(self._words(text, vocabulary) for vocabulary in self.vocabularies)
        return Split(text, codes, words, text.words([self._keywords], 0, 0).position_R[0])

    def _words(self, text: Text, found: tuple[Entry, ...]) -> Words:
        return text.words(found, *self.options.window)

    def _wordlike(self, id_: int) -> bool:
        return str(self._tokenizer.decode([id_])).strip().isalpha()
