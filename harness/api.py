"""The contracts a method fulfils. Every class here is abstract or final; nothing does nothing by default.

Shapes: ``N`` tokens, ``D`` width of the activations, ``F`` latents. Tensors are float32 on one device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Progress(Protocol):
    """What long work reports to; the command line shows it as a bar, Python callers may ignore it."""

    def __call__(self, label: str, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` units of the work called ``label`` are finished."""


def silent(label: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Setting:
    """What the task fixes for every method that meets it; a method may read it and never choose it.

    Attributes:
        width: ``D`` of the activations.
        latents: ``F`` a dictionary may have at most; 0 where the task fits none.
        l0: active latents per token to aim for (``k`` of TopK; a controller's target for penalised methods), or 0.
        seed: seed of everything random in the method; the data never depend on it.
        uses: methods this one is built on, by the names in its YAML (``of`` for a derived control).
        at_blocks: of those that the task does not measure themselves, the ones fitted at each block of ``Answers``.
        vocabulary: ``V``, the next tokens a task tells apart; 0 where it predicts none.
    """

    width: int
    latents: int
    l0: int
    seed: int
    uses: Mapping[str, Method] = field(default_factory=dict)
    at_blocks: Mapping[str, tuple[Method, ...]] = field(default_factory=dict)
    vocabulary: int = 0


class Activations(ABC):
    """Activations of one split at one site, in reading order, with the document each row came from."""

    @property
    @abstractmethod
    def doc_N(self) -> Tensor:
        """int64 ``[N]``: index of the document of each row; rows of one document are adjacent."""

    @property
    @abstractmethod
    def width(self) -> int:
        """``D``."""

    @abstractmethod
    def take(self, index_N: Tensor) -> Tensor:
        """Return rows ``index_N`` (int64, CPU) as float32 ``[n, D]`` on the CPU."""

    @final
    def __len__(self) -> int:
        return int(self.doc_N.shape[0])

    @final
    def batches(self, size: int, passes: int, seed: int) -> Iterator[Tensor]:
        """Yield shuffled float32 batches ``[size, D]``, ``passes`` times over all rows; the tail of a pass is dropped.

        A set smaller than one batch is yielded whole, once a pass.
        """
        generator = torch.Generator().manual_seed(seed)
        n = len(self)
        for _ in range(passes):
            order_N = torch.randperm(n, generator=generator)
            for start in range(0, max(n - size, 0) + 1, size):
                yield self.take(order_N[start : start + size])

    @final
    def documents(self, tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ``(x_ND, doc_N)`` in reading order, about ``tokens`` rows at a time, never cutting a document."""
        doc_N = self.doc_N
        edge = torch.nonzero(doc_N[1:] != doc_N[:-1]).flatten() + 1
        ends = [*edge.tolist(), len(self)]
        start = 0
        for i, end in enumerate(ends):
            last = i == len(ends) - 1
            if last or ends[i + 1] - start > tokens:
                index_N = torch.arange(start, end)
                yield self.take(index_N), doc_N[start:end]
                start = end

    @final
    def mean(self) -> Tensor:
        """Return the mean row, float32 ``[D]``, accumulated in float64."""
        total_D = torch.zeros(self.width, dtype=torch.float64)
        for x_ND, _ in self.documents(8192):
            total_D += x_ND.sum(0, dtype=torch.float64)
        return (total_D / len(self)).float()

    @final
    def scale(self) -> float:
        """Return ``sqrt(D) / mean ||x||``: times this, the mean norm is ``sqrt(D)`` (methods.md 0.4)."""
        total = sum(float(x_ND.norm(dim=1).sum(dtype=torch.float64)) for x_ND, _ in self.documents(8192))
        return math.sqrt(self.width) * len(self) / max(total, 1e-30)


@final
class ArrayActivations(Activations):
    """Activations held in memory: ``x_ND`` float32 and ``doc_N`` int64 (one document where it is not given)."""

    def __init__(self, x_ND: Tensor, doc_N: Tensor | None = None) -> None:
        if x_ND.ndim != 2:
            raise ValueError(f"x_ND must have two dimensions [tokens, width], got shape {tuple(x_ND.shape)}")
        self._x_ND = x_ND
        self._doc_N = torch.zeros(x_ND.shape[0], dtype=torch.int64) if doc_N is None else doc_N

    @property
    def doc_N(self) -> Tensor:
        """int64 ``[N]``."""
        return self._doc_N

    @property
    def width(self) -> int:
        """``D``."""
        return int(self._x_ND.shape[1])

    def take(self, index_N: Tensor) -> Tensor:
        """Return rows ``index_N``."""
        return self._x_ND[index_N].float()


@dataclass(frozen=True)
class Truth:
    """What is known of activations that were drawn: ``x = code @ direction + offset + noise``. On the CPU.

    Attributes:
        direction_GD: the true directions, unit vectors.
        offset_D: what every activation has in common.
        parent_G: int64; the direction without which one never fires, its own number where there is none.
        shared_G: whether it fires in every token of a document, with one size.
        x_ND: every activation of the task: train, validation and test.
        code_NG: their true codes.
    """

    direction_GD: Tensor
    offset_D: Tensor
    parent_G: Tensor
    shared_G: Tensor
    x_ND: Tensor
    code_NG: Tensor


@dataclass(frozen=True)
class Train:
    """What ``fit`` receives. ``extra`` holds exactly what the method's YAML declares under ``needs``.

    Attributes:
        x: activations of the train split.
        val: activations of the validation split, for thresholds and every other choice.
        passes: how often the train split may be gone through.
        device: where to fit.
        progress: call it with (label, done, total).
        extra: by name, only what was declared: ``truth`` (a ``Truth``), ``unembedding`` (an ``Unembedding``),
            ``targets`` and ``val_targets`` (``Targets`` of either split).
    """

    x: Activations
    val: Activations
    passes: int
    device: torch.device
    progress: Progress = silent
    extra: Mapping[str, Any] = field(default_factory=dict)


class Method(ABC):
    """Anything that is compared. A kind of method is an abstract subclass that adds verbs."""

    kind: ClassVar[str]

    @abstractmethod
    def parameter_count(self) -> int:
        """Return the number of fitted scalars."""

    @abstractmethod
    def summary(self) -> dict[str, float]:
        """Return what is worth recording about the fit (final loss, reached L0, threshold, dead latents, …)."""


class Trained(Method):
    """A method that is fitted once, before anything is measured, and kept."""

    @abstractmethod
    def fit(self, train: Train) -> None:
        """Fit in place, from ``train`` alone; the same seed must give the same weights on the CPU."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return everything ``load`` needs, as tensors."""

    @abstractmethod
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned, bit for bit; raises ``ValueError`` on a missing or misshapen tensor."""


class Network(nn.Module, Trained):
    """A fitted method that is a module: what a fit learns is in its parameters and buffers."""

    @final
    def state(self) -> dict[str, Tensor]:
        """Return the module's state, contiguous and on the CPU."""
        return {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}

    @final
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore ``state``; raises ``ValueError`` on a missing or misshapen tensor."""
        try:
            self.load_state_dict(dict(state), strict=True)
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    @final
    def parameter_count(self) -> int:
        """Return the number of scalars in parameters and floating buffers."""
        return sum(value.numel() for value in self.state_dict().values() if value.is_floating_point())


class Dictionary(Network):
    """Maps activations to codes and back, in the model's own units.

    Constructed as ``Class(params, setting)``, ``params`` being an instance of the class's ``Params`` dataclass, filled
    from YAML.
    ``uses`` of the setting are not registered as submodules: they are saved under their own fingerprint.
    """

    kind: ClassVar[str] = "dictionary"
    shared: int = 0
    """Leading latents that code the document instead of the token: they hold one value for all of its tokens (in a
    causal method, one that follows what was read). They do not count in L0; what they cost is ``bits_per_token``."""

    @abstractmethod
    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return codes ``[N, F]``. ``doc_N`` tells which rows share a document; documents come whole."""

    @abstractmethod
    def decode(self, z_NF: Tensor) -> Tensor:
        """Return reconstructions ``[N, D]`` in raw model units, biases included."""

    @abstractmethod
    def directions(self) -> Tensor:
        """Return decoder rows ``[F, D]`` in raw model units per unit of code (used to fold codes)."""


@dataclass(frozen=True)
class Answers:
    """Answers to problems, and what can be read of each: ``n`` answers, ``L`` blocks, ``P`` positions. No labels.

    Attributes:
        prompt: the text before each answer.
        answer: the text of each answer.
        author: who wrote it; None where there is one author.
        activation_nLPD: float32 residual stream of the model under study, read-only.
        confidence_nK: what that model thinks of the answer: ``CONFIDENCE`` names the columns.
        blocks: the blocks, from 0.
        positions: names of the positions.
    """

    prompt: tuple[str, ...]
    answer: tuple[str, ...]
    author: tuple[str | None, ...]
    activation_nLPD: NDArray[np.float32]
    confidence_nK: NDArray[np.float64]
    blocks: tuple[int, ...]
    positions: tuple[str, ...]

    def raw(self) -> Features:
        """Return every activation, block by block and position by position."""
        answers, blocks, positions, width = self.activation_nLPD.shape

        def units(index_k: NDArray[np.int64]) -> NDArray[np.float32]:
            found_kD = np.zeros((len(index_k), width), dtype=np.float32)
            found_kD[np.arange(len(index_k)), index_k % width] = 1.0
            return found_kD

        block_F = np.repeat(np.arange(blocks * positions, dtype=np.int64), width)
        return Features(self.activation_nLPD.reshape(answers, -1), block_F, units)


CONFIDENCE = ("mean log-probability", "least log-probability", "mean entropy", "mean largest probability")
"""Of the tokens of an answer, given what stands before each; nats."""


@dataclass(frozen=True)
class Features:
    """What a probe reads of every answer.

    Attributes:
        value_nF: float64 or float32 ``[n, F]``.
        block_F: int64; block × positions + position that a feature was read at, -1 where at none.
        direction: of feature numbers ``[k]`` the change of the activation at the feature's block and position per unit
            of the feature, float32 ``[k, D]``: a dimension's unit vector, a latent's decoder row in raw model units, a
            component. None where features are not of activations: then they cannot be ablated.
    """

    value_nF: NDArray[Any]
    block_F: NDArray[np.int64]
    direction: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None = None


Labels = Literal["wrong", "kind", "control"]


class ErrorProbe(Method):
    """Says of answers whether they are wrong. It is a recipe: the track fits it anew in every fold.

    Constructed as ``Class(params, setting)``, as a ``Dictionary`` is.
    """

    kind: ClassVar[str] = "error_probe"
    null: ClassVar[bool] = False
    """Whether it is another probe on other labels. It is asked nothing but what it tells: what it reads, and where, the
    other probe is asked."""
    labels: Labels = "wrong"
    """What it is told of the answers it is fitted on: class 0 is right and 1 wrong; or ``kind``, 0 is right and every
    kind of error a class of its own, where a task has several; or ``control``, a label drawn at random for each group,
    on which it is judged too."""

    @abstractmethod
    def features(self, answers: Answers) -> Features:
        """Return what is read of each answer, the same whatever the folds: nothing is fitted here."""

    @abstractmethod
    def fit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Fit in place on the features of some answers.

        Args:
            x_nF: rows of ``features``.
            y_n: class of each, ``0 … K - 1``, of which some may be absent; see ``labels``.
            group_n: answers to one problem share a group; every choice is made across groups.
        """

    def refit(self, x_nF: NDArray[Any], y_n: NDArray[np.int64], group_n: NDArray[np.int64]) -> None:
        """Fit in place on other features of the same answers, keeping what the last ``fit`` chose where it can be kept.

        Whatever cannot be kept is chosen anew, as by ``fit``.
        """
        self.fit(x_nF, y_n, group_n)

    @abstractmethod
    def predict(self, x_nF: NDArray[Any], classes: int) -> NDArray[np.float64]:
        """Return the probability of each class, ``[n, K]``."""


class Unembedding(ABC):
    """The end of a language model, frozen: final norm and unembedding, projected onto the task's vocabulary.

    A task's vocabulary holds ``V`` classes: every token, or its most frequent ones and, last, OTHER for all the rest.
    """

    @property
    @abstractmethod
    def classes(self) -> int:
        """``V``."""

    @abstractmethod
    def logp(self, x_ND: Tensor) -> Tensor:
        """Return log-probabilities ``[N, V]`` (nats) had the model's last block returned ``x_ND``.

        Gradients flow into ``x_ND`` alone. The probability of OTHER is the sum over all tokens behind it.
        """


@dataclass(frozen=True)
class Targets:
    """What follows the activations of one split, row by row.

    Attributes:
        id_N: int64; the token each activation belongs to, an id of the model's tokenizer.
        gold_N: int64; class of the text's next token, -1 where no text of the same document follows.
        logp: returns the model's own log-probabilities of the next token, float32 ``[n, V]``, at rows (int64, CPU), on
            the device of the fit.
    """

    id_N: Tensor
    gold_N: Tensor
    logp: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Read:
    """What a decoder may read of ``N`` tokens. Documents come whole.

    Attributes:
        x_ND: activations at the site.
        id_N: int64; the tokens themselves.
        doc_N: int64; the document of each.
        unembedding: the end of the model.
    """

    x_ND: Tensor
    id_N: Tensor
    doc_N: Tensor
    unembedding: Unembedding


class NextToken(Network):
    """Predicts a language model's next-token distribution from what can be read at one site of it.

    Constructed as ``Class(params, setting)``, as a ``Dictionary`` is; ``V`` is ``setting.vocabulary``. ``uses`` are not
    registered as submodules: they are saved under their own fingerprint.
    """

    kind: ClassVar[str] = "next_token"

    @abstractmethod
    def logp(self, read: Read) -> Tensor:
        """Return log-probabilities of the next token, float32 ``[N, V]`` (nats); each row is a distribution."""

    @classmethod
    @abstractmethod
    def check(cls, params: Any, setting: Setting) -> None:
        """Raise ``UserError``, naming an alternative, where a fit would be too large.

        Called before anything is fitted; ``uses`` of the setting is empty then.
        """


class OverCodes(NextToken):
    """A decoder that reads the codes of a dictionary and nothing else, so that latents explain what it predicts."""

    @property
    @abstractmethod
    def dictionary(self) -> Dictionary:
        """Whose codes it reads."""

    @abstractmethod
    def predict(self, given_NK: Tensor, unembedding: Unembedding) -> Tensor:
        """Return log-probabilities of the next token, ``[N, V]``, of codes ``[N, K]``; differentiable in the codes."""


ARMS = ("true", "random", "shuffled", "zero", "sup_cont", "exact_pg")
"""Of a reward's control: the reward itself; rewards drawn at random from those of all samples; the rewards of other
samples; none; as many further steps of supervision; the policy gradient without sampling."""


@dataclass(frozen=True)
class Arm:
    """One arm of a reward's control, as a method is asked to train it.

    Attributes:
        name: one of ``ARMS``.
        beta: weight of ``ln π(a) − ln π₀(a)``, which keeps the policy near the decoder it starts from.
    """

    name: str
    beta: float

    @property
    def sampled(self) -> bool:
        """Whether it learns from sampled tokens."""
        return self.name not in ("sup_cont", "exact_pg")


@dataclass(frozen=True)
class Taught:
    """What one arm came to.

    Attributes:
        decoder: the trained decoder; the method itself stays as it was.
        moved: norm of all that was added to the weights.
        gradient: mean norm of the gradient by the policy's own term.
        spread: standard deviation of what the samples were given.
    """

    decoder: NextToken
    moved: float
    gradient: float
    spread: float


class Rewarded(NextToken):
    """A decoder that is trained by a reward, from a decoder that was not. Its YAML says ``reward: true``.

    Whether the reward did anything is asked by training it again with something else in the reward's place: ``taught``
    must give every arm of a seed the same start, states, order, steps and optimiser.
    """

    @abstractmethod
    def start(self, train: Train) -> NextToken:
        """Return the decoder that every arm starts from."""

    @abstractmethod
    def taught(self, arm: Arm, train: Train) -> Taught:
        """Return what one arm makes of the start; ``train`` holds all that the track offers."""


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
