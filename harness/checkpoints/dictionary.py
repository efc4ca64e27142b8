"""The dictionary that a checkpoint holds, whatever its format; it is used as it is and never fitted."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.api import Dictionary, Setting, Train
from harness.checkpoints.card import Card, OneLayer
from harness.checkpoints.detect import Checkpoint, format_of
from harness.checkpoints.tensors import read_tensors
from harness.errors import UserError


class ForeignDictionary(Dictionary):
    """``f = activation((x - b_dec) W_enc^T + b_enc)``, ``xhat = f W_dec + b_dec``, in the checkpoint's own units.

    Attributes:
        W_enc, b_enc, W_dec, b_dec, threshold, r_mag, b_mag: as in ``OneLayer``; those the activation does not need are
            absent.
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    threshold: Tensor
    r_mag: Tensor
    b_mag: Tensor

    def __init__(self, layer: OneLayer) -> None:
        super().__init__()
        self.activation, self.centred, self.k = layer.activation, layer.centred, layer.k
        for name, value in _tensors(layer).items():
            self.register_buffer(name, value.contiguous())

    def fit(self, train: Train) -> None:
        """Nothing is fitted."""
        self.to(train.device)

    def encode(self, x_ND: Tensor, doc_N: Tensor) -> Tensor:
        """Return codes ``[N, F]``, equal to those of the library the checkpoint was saved by, to rounding."""
        if self.centred:
            x_ND = x_ND - self.b_dec
        if self.activation == "gated":
            return self._gated(x_ND @ self.W_enc.T)
        pre_NF = torch.addmm(self.b_enc, x_ND, self.W_enc.T)
        if self.activation == "threshold":
            return torch.where(pre_NF > self.threshold, pre_NF.relu(), 0.0)
        if self.activation == "relu":
            return pre_NF.relu()
        return self._largest(pre_NF.relu())

    def _gated(self, project_NF: Tensor) -> Tensor:
        magnitude_NF = (project_NF * self.r_mag.exp() + self.b_mag).relu()
        return torch.where(project_NF + self.b_enc > 0, magnitude_NF, 0.0)

    def _largest(self, code_NF: Tensor) -> Tensor:
        k = self.k
        if k is None:
            raise ValueError(f"a {self.activation} dictionary needs k")
        if self.activation == "topk":
            index_NK = code_NF.topk(k, dim=1, sorted=False).indices
        else:
            group = code_NF.shape[1] // k
            first_K = torch.arange(0, code_NF.shape[1], group, device=code_NF.device)
            index_NK = code_NF.view(-1, k, group).argmax(2) + first_K
        return torch.zeros_like(code_NF).scatter(1, index_NK, code_NF.gather(1, index_NK))

    def decode(self, z_NF: Tensor) -> Tensor:
        """Return reconstructions ``[N, D]``."""
        return torch.addmm(self.b_dec, z_NF, self.W_dec)

    def directions(self) -> Tensor:
        """Return decoder rows ``[F, D]``."""
        return self.W_dec.clone()

    def summary(self) -> dict[str, float]:
        """Return nothing: nothing was fitted."""
        return {}

    def portable(self) -> OneLayer:
        """Return what it was built from."""
        return OneLayer(self.activation, self.centred, k=self.k, **dict(self.named_buffers()))


def _tensors(layer: OneLayer) -> dict[str, Tensor]:
    return {name: value for name, value in vars(layer).items() if isinstance(value, Tensor)}


def load_dictionary(checkpoint: Checkpoint, setting: Setting | None = None) -> ForeignDictionary:
    """Read a checkpoint's weights; raises ``UserError`` on shapes that contradict its card or the task's width."""
    card = checkpoint.card
    form = format_of(card.folder)
    layer = form.arrange(card, read_tensors(card.folder / form.weights))
    latents, width = _shape(card, layer.W_dec)
    if setting is not None and width != setting.width:
        raise UserError(f"{card.folder}: decoder rows are {width} wide, activations {setting.width}")
    if card.k is not None and card.k > latents:
        raise UserError(f"{card.folder}: k={card.k} is more than the {latents} latents there are")
    _check_shapes(card, layer, latents, width)
    return ForeignDictionary(layer)


def _shape(card: Card, W_dec: Tensor) -> tuple[int, int]:
    if W_dec.ndim != 2:
        raise UserError(f"{card.folder}: the decoder has {W_dec.ndim} dimensions, expected 2")
    latents, width = W_dec.shape
    for what, stated, found in (("width", card.width, width), ("latents", card.latents, latents)):
        if stated is not None and stated != found:
            raise UserError(f"{card.folder}: the config says {stated} for {what}, the weights say {found}")
    return latents, width


def _check_shapes(card: Card, layer: OneLayer, latents: int, width: int) -> None:
    wanted = {"W_enc": (latents, width), "W_dec": (latents, width), "b_dec": (width,)}
    for name, value in _tensors(layer).items():
        shape, allowed = tuple(value.shape), wanted.get(name, (latents,))
        # One threshold may stand for all.
        if shape != allowed and not (name == "threshold" and shape == ()):
            raise UserError(f"{card.folder}: {name} has shape {list(shape)}, expected {list(allowed)}")
        if not bool(torch.isfinite(value).all()):
            raise UserError(f"{card.folder}: {name} holds numbers that are not finite")
