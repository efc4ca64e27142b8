"""An explanation decoder: from the active latents of a prediction to a sentence on what they do to it.

It is trained on pairs that are generated: effects of latents on predictions of the train split are measured by exact
ablation, and a fixed rule turns them into sentences. When it explains, it reads the active latents alone: no gradient
is taken and nothing is ablated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from harness.api import Dictionary, Explainer, Predictions, Sentence, Setting, Train
from harness.training.distil import orders
from harness.training.effect_sentences import END, Active, Rule, exchanged, named_effect, read_out, written
from harness.training.explaining import SetEncoder, Shape, Writer
from harness.training.keeping import BestKept
from harness.training.loop import Moment, Optim, descend, stream
from harness.training.ranking import dictionary_of


@dataclass(frozen=True)
class Lesson:
    """Predictions with their right sentences: active latents, effects in typical units, tokens."""

    active: Active
    effect_nK: Tensor
    token_nS: Tensor

    def rows(self, index_b: Tensor) -> Lesson:
        """Return some of the predictions."""
        return Lesson(self.active.rows(index_b), self.effect_nK[index_b], self.token_nS[index_b])


class ExplanationDecoder(Explainer):
    """``min −ln P(sentence | active latents)``, and the error of the effects that it points by."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of ``explanation_decoder`` and its variants."""

        rule: Rule
        """what sentence is right"""
        shape: Shape
        """the network"""
        effects: float
        """weight of the error of guessed effects beside the sentence's"""
        decay: float
        """weight of the squares of what is learned of single latents"""
        passes: int
        """times the predictions are gone through"""
        held_out: float
        """share of the predictions that the moment to stop is chosen on; nothing is learned from them"""
        exchanged: bool
        """whether the latents of a prediction exchange their effects before anything is learned: the null"""
        optim: Optim
        """optimiser; a batch is of predictions"""

    size: Tensor
    effect: Tensor

    def __init__(self, params: Params, setting: Setting) -> None:
        super().__init__()
        self.params, self.setting = params, setting
        # A tuple, so that the dictionary is no submodule: it is saved under its own fingerprint.
        self._dictionary = (dictionary_of(setting.uses),)
        with torch.random.fork_rng():
            torch.manual_seed(stream(setting.seed, "weights"))
            self.encoder = SetEncoder(self.dictionary.directions(), params.shape)
            self.writer = Writer(params.shape, params.rule.most)
        self.register_buffer("size", torch.ones(()))
        self.register_buffer("effect", torch.ones(()))
        self.found: dict[str, float] = {}
        # Nothing is left out at random but while it is fitted.
        self.eval()

    @property
    def dictionary(self) -> Dictionary:
        """The dictionary of its YAML's ``uses``."""
        return self._dictionary[0]

    def fit(self, train: Train) -> None:
        """Ablate latents of predictions of the train split, and learn the sentences that follow."""
        self.to(train.device)
        with torch.random.fork_rng():
            torch.manual_seed(stream(self.setting.seed, "fit"))
            learned, held = self._lessons(train.extra["predictions"](self.dictionary))
            best = BestKept(self, lambda: self._worth(held), max(len(learned.token_nS) // self.params.optim.batch, 1))
            batches = self._batches(learned)
            steps = self.params.passes * best.every
            self.train()
            self.found["final_loss"] = descend(self, [best], batches, steps, self.params.optim, train.progress)
            best.restore()
        self.eval()
        token_nS = self._greedy(held.active)
        named = named_effect(held.active, held.effect_nK, token_nS)
        self.found |= {"steps": best.step, "held_out_objective": -best.value, "held_out_named_effect": named}

    def _lessons(self, asked: Predictions) -> tuple[Lesson, Lesson]:
        """Return the predictions to learn from, and those held out."""
        active = Active.of(asked)
        effect_nK = active.gather(asked.ablated())
        if self.params.exchanged:
            effect_nK = exchanged(active, effect_nK)
        there_nK = active.there_nK
        self.size.copy_(active.size_nK.abs().sum() / there_nK.sum().clamp_min(1))
        self.effect.copy_(((effect_nK**2).sum() / there_nK.sum().clamp_min(1)).sqrt().clamp_min(1e-12))
        lesson = Lesson(self._scaled(active), effect_nK / self.effect, written(active, effect_nK, self.params.rule))
        order_n = torch.randperm(len(asked))
        held = int(self.params.held_out * len(asked))
        return lesson.rows(order_n[held:]), lesson.rows(order_n[:held])

    def _scaled(self, active: Active) -> Active:
        return Active(active.latent_nK, active.size_nK / self.size, active.there_nK)

    def _batches(self, lesson: Lesson) -> Iterator[Lesson]:
        optim = self.params.optim
        seed = stream(self.setting.seed, "order")
        for index_b in orders(len(lesson.token_nS), optim.batch, self.params.passes, seed):
            yield lesson.rows(index_b)

    def loss(self, batch: Lesson, moment: Moment) -> Tensor:
        """Return the objective, a scalar."""
        latent_nK, there_nK = batch.active.latent_nK, batch.active.there_nK
        own_nKH = torch.cat([self.encoder.own(latent_nK), self.encoder.own_effect(latent_nK)], 2)
        return self._objective(batch) + self.params.decay * (own_nKH**2).sum(2)[there_nK].mean()

    def _objective(self, lesson: Lesson) -> Tensor:
        """Return the mean surprise of a token of the right sentences, and the weighed error of guessed effects."""
        heard, there_nK = self.encoder(lesson.active), lesson.active.there_nK
        surprise_nS = -self.writer(heard, lesson.active, lesson.token_nS)
        tokens = ((lesson.token_nS != END).sum(1) + 1).sum()
        wrong = smooth_l1_loss(heard.effect_nK[there_nK], lesson.effect_nK[there_nK])
        objective: Tensor = surprise_nS.sum() / tokens + self.params.effects * wrong
        return objective

    @torch.no_grad()
    def _worth(self, held: Lesson) -> float:
        """Return minus the objective on what is held out, without what keeps weights small."""
        self.eval()
        value = -float(self._objective(held))
        self.train()
        return value

    @torch.no_grad()
    def importance(self, asked: Predictions) -> Tensor:
        """Return the guessed effects that sentences point by, ``[n, F]``, nats."""
        active = Active.of(asked)
        heard = self.encoder(self._scaled(active))
        effect_nF: Tensor = active.scatter(heard.effect_nK * self.effect, asked.code_nF.shape[1])
        return effect_nF

    @torch.no_grad()
    def sentences(self, asked: Predictions) -> list[Sentence]:
        """Return the likeliest sentence, taken token by token."""
        active = self._scaled(Active.of(asked))
        token_nS = self._greedy(active)
        return [read_out(*one) for one in zip(token_nS.tolist(), active.latent_nK.tolist(), strict=True)]

    @torch.no_grad()
    def _greedy(self, active: Active) -> Tensor:
        token_nS: Tensor = self.writer.greedy(self.encoder(active), active)
        return token_nS

    def summary(self) -> dict[str, float]:
        """Return what the fit found; empty where the weights were loaded."""
        return dict(self.found)
