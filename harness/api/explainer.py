"""Explainers: which latents a prediction is due to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from harness.api.dictionary import Dictionary
from harness.api.fitting import Network


@dataclass(frozen=True)
class Predictions:
    """Predictions of a language model that are to be explained by the latents of one dictionary: ``n`` of them.

    What is explained is ``M``, the log-probability (nats) that the model gives the token it predicts. It is a function
    of the codes at the position that predicts: with other codes the activation there changes by the decoder rows alone,
    so that what the dictionary leaves out stays as it is, and the activations before it stay too.

    Attributes:
        code_nF: codes at the predicting position.
        direction_FD: decoder rows in raw model units.
        id_n: int64; the token that is predicted, an id of the model's tokenizer.
        value_n: ``M``.
        slope: ``dM/df`` of each latent, ``[n, F]``, averaged over that many points of the straight path from no code at
            all to these codes (middles of equal steps; 0: at these codes alone). A backward pass for each point.
        ablated: what ``M`` loses where one latent alone is set to 0, ``[n, F]``; 0 where it is silent. A token's pass
            through the rest of the model for each active latent.
    """

    code_nF: Tensor
    direction_FD: Tensor
    id_n: Tensor
    value_n: Tensor
    slope: Callable[[int], Tensor]
    ablated: Callable[[], Tensor]

    @final
    def __len__(self) -> int:
        return int(self.code_nF.shape[0])


@dataclass(frozen=True)
class Named:
    """A latent named in an explanation, and whether it is said to speak for the prediction or against it."""

    latent: int
    supports: bool


Sentence = tuple[str | Named, ...]
"""An explanation in words: pieces of text, and latents, whose labels are put in where it is shown."""


class Explainer(Network):
    """Says which latents of a dictionary a prediction is due to.

    Constructed as ``Class(params, setting)``, as a ``Dictionary`` is. A fit may look at predictions of the train split
    through ``predictions`` (a ``Callable[[Dictionary], Predictions]``), declared under ``needs``.
    """

    kind: ClassVar[str] = "explainer"

    @property
    @abstractmethod
    def dictionary(self) -> Dictionary:
        """Whose latents it names."""

    @abstractmethod
    def importance(self, asked: Predictions) -> Tensor:
        """Return what each prediction owes each latent, ``[n, F]``, in any unit; 0 where a latent is silent.

        Above 0: it speaks for the prediction. Explanations are ranked by it, the largest first.
        """

    @abstractmethod
    def sentences(self, asked: Predictions) -> list[Sentence]:
        """Return one explanation in words for each prediction; each latent named once, and active."""
