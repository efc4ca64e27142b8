"""From a checked call to the data file: fit or find the method, read the text, explain each prediction."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from harness.api import Dictionary, Explainer, Named, OverCodes, Sentence
from harness.errors import CellError, UserError
from harness.explaining.faithful import faithfulness
from harness.explaining.making import Text
from harness.explaining.reading import as_message, batch_of, read_ids
from harness.explaining.subjects import ByDecoder, ByModel, Subject
from harness.lm.model import LanguageModel
from harness.run.cells import Cell
from harness.run.fitting import Fitter
from harness.run.plan import PlannedGroup
from harness.run.tracks import make_track, site_of
from harness.specs.explained import ActiveLatent, Explained, Guess, NamedLatent, Prediction, Token
from harness.specs.features import Feature
from harness.tracks.contract import Resources
from harness.tracks.explained import tell
from harness.tracks.importance import Chosen, Importance
from harness.tracks.next_tokens import Predictions as Decoded
from harness.training.ranking import MOST, in_words, strongest

SHOWN = 5
# Pieces of a label that are shown.
_WORDS = 4


class Explaining:
    """Explains what follows one text, by one method fitted as a task says."""

    def __init__(self, group: PlannedGroup, resources: Resources) -> None:
        self.group, self.resources, self.cell = group, resources, group.cells[0]
        self.track = make_track(group, resources)
        self.site = site_of(self.track)

    @property
    def model(self) -> LanguageModel:
        """The language model."""
        return self.site.model

    @cached_property
    def fitter(self) -> Fitter:
        """Finds fits, or makes them."""
        return Fitter(self.track, self.resources.cache / "fits")

    @cached_property
    def method(self) -> Dictionary | Explainer | OverCodes:
        """The method, fitted; raises ``UserError`` where that fails."""
        try:
            method = self.fitter.fit(self.cell).method
        except CellError as error:
            raise UserError(f"method '{self.cell.entry.found.slug}': {error}") from error
        if not isinstance(method, (Dictionary, Explainer, OverCodes)):
            raise TypeError(f"a {method.kind} explains nothing; calls are checked before")
        return method

    @property
    def dictionary(self) -> Dictionary:
        """The dictionary whose latents explain."""
        return self.method if isinstance(self.method, Dictionary) else self.method.dictionary

    @cached_property
    def dictionary_cell(self) -> Cell:
        """The cell that the dictionary was fitted as: the method's own, or one that it is built on."""
        todo = [self.cell]
        while todo:
            cell = todo.pop(0)
            if self.fitter.fit(cell).method is self.dictionary:
                return cell
            todo += cell.uses.values()
        return self.cell

    def read(self, asked: Text) -> list[int]:
        """Return the ids of the text as the model reads it."""
        text = as_message(self.model, asked.text) if asked.chat else asked.text
        return read_ids(self.model, text, self.site.task, asked.tokens)

    def words(self, ids: list[int]) -> list[str]:
        """Return the text of every token."""
        return [str(self.model.tokenizer.decode([token])) for token in ids]

    def explain_all(
        self, ids: list[int], tokens: int, labels: Mapping[int, Feature]
    ) -> tuple[list[Explained], list[int]]:
        """Explain each of so many predictions, as the language model goes on; also return the ids that it says.

        There are fewer where it ends its text; raises ``UserError`` where the method breaks its contract.
        """
        explained, after = list[Explained](), list[int]()
        ends = ([self.model.eos_id], [self.model.bos_id])
        while len(explained) < tokens and after[-1:] not in ends:
            try:
                one, following = self.explain([*ids, *after], labels)
            except CellError as error:
                raise UserError(f"method '{self.cell.entry.found.slug}': {error}") from error
            explained.append(one)
            after.append(following)
            self.resources.progress("explaining predictions", len(explained), tokens)
        return explained, after

    def explain(self, ids: list[int], labels: Mapping[int, Feature]) -> tuple[Explained, int]:
        """Explain what follows the tokens; also return the id that the language model says next."""
        importance = Importance(self.site)
        chosen = importance.read(batch_of(self.model, ids, self.site.task), [(0, len(ids) - 1)])
        if not chosen.points:
            raise UserError(
                f"--text: the activation at its last token, '{self.words(ids[-1:])[0]}', is an outlier of more than "
                f"ten median norms, and task '{self.site.task.spec.task}' gives those no code. Give another text."
            )
        subject = self._subject(importance, chosen)
        model_V = subject.logp_V if isinstance(subject, ByModel) else importance.next_logp(chosen.points[0])
        said_F, sentence = self._said(subject)
        named = [one for one in sentence if isinstance(one, Named)]
        explained = Explained(
            position=len(ids) - 1,
            prediction=self._prediction(subject, model_V),
            model=None if isinstance(subject, ByModel) else self._top(model_V),
            full=subject.full,
            none=float(subject.without((subject.code_F != 0)[None])[0]),
            left_out=self._left_out(chosen),
            latents=_latents(subject, None if isinstance(self.method, Dictionary | OverCodes) else said_F, labels),
            sentence=_plain(sentence),
            faithfulness=faithfulness(subject, said_F, named),
        )
        return explained, chosen.points[0].id

    def _subject(self, importance: Importance, chosen: Chosen) -> Subject:
        if isinstance(self.method, OverCodes):
            return ByDecoder(self.method, chosen, self._decoded)
        return ByModel(importance, chosen, self.dictionary)

    @cached_property
    def _decoded(self) -> Decoded:
        return Decoded(self.site)

    def _said(self, subject: Subject) -> tuple[Tensor, Sentence]:
        """Return what the method says each latent is worth, and its explanation in words."""
        if isinstance(self.method, Explainer):
            tell(self.method, subject.asked)  # holds it to its contract
            return self.method.importance(subject.asked)[0], self.method.sentences(subject.asked)[0]
        effect_F = subject.asked.ablated()[0]
        return effect_F, in_words(strongest(effect_F, MOST))

    def _top(self, logp_V: Tensor) -> Prediction:
        """Return the language model's likeliest tokens."""
        p_k, id_k = logp_V.exp().topk(SHOWN)
        guesses = [Guess(text=self.words([i])[0], id=i, p=p) for p, i in zip(p_k.tolist(), id_k.tolist(), strict=True)]
        return Prediction(top=guesses, entropy=entropy(logp_V))

    def _prediction(self, subject: Subject, model_V: Tensor) -> Prediction:
        """Return the likeliest tokens of what is explained, the model's probability beside a decoder's."""
        if isinstance(subject, ByModel):
            return self._top(subject.logp_V)
        kept_K, beside_V = self._decoded.classes.kept_K, self._decoded.classes.logp(model_V[None])[0].exp()
        p_k, class_k = subject.logp_V.exp().topk(min(SHOWN, len(subject.logp_V)))
        guesses = []
        for p, i in zip(p_k.tolist(), class_k.tolist(), strict=True):
            other = kept_K is not None and i == len(kept_K)
            token = None if other else i if kept_K is None else int(kept_K[i])
            text = None if token is None else self.words([token])[0]
            guesses.append(Guess(text=text, id=token, p=p, beside=float(beside_V[i])))
        return Prediction(top=guesses, entropy=entropy(subject.logp_V))

    def _left_out(self, chosen: Chosen) -> float:
        """Return how much of the activation, as a distance from the mean, its reconstruction does not give back."""
        row, t = chosen.at[0]
        x_1D = chosen.x_BTD[row, t][None].float()
        given_1D = self.dictionary.decode(chosen.codes(self.dictionary)).to(x_1D)
        return float((x_1D - given_1D).square().sum() / (x_1D - self.site.mean_D.to(x_1D)).square().sum())


def entropy(logp_V: Tensor) -> float:
    """Return the entropy of a distribution, nats."""
    p_V = logp_V.double().exp()
    return float(-(p_V * logp_V.double().clamp_min(-1e4)).sum())


def _latents(subject: Subject, said_F: Tensor | None, labels: Mapping[int, Feature]) -> list[ActiveLatent]:
    """Return the active latents, the largest absolute effect first; ``said_F`` is the method's own importance."""
    effect_F, code_F = subject.asked.ablated()[0], subject.code_F
    attribution_F = subject.asked.slope(0)[0] * code_F
    active_m = torch.nonzero(code_F).flatten()
    order_m = active_m[effect_F[active_m].abs().argsort(descending=True, stable=True)]
    total = float(effect_F.abs().sum(dtype=torch.float64))
    norm_m = subject.asked.direction_FD[order_m].norm(dim=1)
    return [
        ActiveLatent(
            index=index,
            activation=_figures(code_F[index] * norm),
            effect=_figures(effect_F[index]),
            share=_figures(effect_F[index].abs() / total) if total else None,
            attribution=_figures(attribution_F[index]),
            importance=None if said_F is None else _figures(said_F[index]),
            **_label(labels.get(index)),
        )
        for index, norm in zip(order_m.tolist(), norm_m, strict=True)
    ]


def _label(feature: Feature | None) -> dict[str, Any]:
    if feature is None or feature.label is None:
        return {"label": None, "lower": None}
    items = [Token(kind=item.kind, text=item.text) for item in feature.label.items[:_WORDS]]
    return {"label": items, "lower": feature.label.detection.lower}


def _plain(sentence: Sentence) -> list[str | NamedLatent]:
    return [
        NamedLatent(latent=one.latent, supports=one.supports) if isinstance(one, Named) else one for one in sentence
    ]


def _figures(value: Tensor) -> float:
    """Return a number with six figures, which is more than a page shows."""
    return float(f"{float(value):.6g}")
