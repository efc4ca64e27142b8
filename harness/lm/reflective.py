"""``planted-reflection``: a two-block Llama whose weights are written down, not learnt, so that all it does is known.

Embeddings have one norm, so that the first block reads them as they are. Its first head averages words of reflection
with weights that shrink with distance; its second reads off the creature behind ``so``, and itself elsewhere. The
second block attends to nothing: its units open where ``r`` and the right number's component exceed the threshold
together. The whole residual stream is turned by a random rotation, so that no coordinate is special.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.data.riddles import CREATURES, NUMBERS, REFLECTIONS
from harness.lm.reflective_design import DESIGN, EOS, PAD, STATES, UNKNOWN, WORDS, Design, log_odds, state_of

# Places of the components before the rotation; what follows tells tokens of one state apart.
_R, _WORD = len(STATES), len(STATES) + 1
_FIRST, _RIGHT = _WORD + 1, _WORD + 1 + len(NUMBERS)
_OWN = _RIGHT + len(NUMBERS)
# Steepness of the units' gates: silu(z) is max(z, 0) but for |z| of a few.
_STEEP = 50.0
# The second head: nats by which a creature is ahead behind ``so``, and nats a token of distance costs, there and else.
_CALL, _NEAREST, _ITSELF = 60.0, 0.5, 8.0
# Of what words of reflection own, the share they have in common.
_COMMON = 0.4


def reflective_model(design: Design = DESIGN) -> LlamaForCausalLM:
    """Return the model in float32 on the CPU; its weights come from the design alone, on every call the same."""
    config = LlamaConfig(
        num_hidden_layers=2,
        hidden_size=design.width,
        num_attention_heads=design.heads,
        intermediate_size=2 * len(NUMBERS),
        vocab_size=len(WORDS),
        max_position_embeddings=design.context,
        rope_theta=design.theta,
        rms_norm_eps=1e-12,
        pad_token_id=WORDS.index(PAD),
        bos_token_id=None,
        eos_token_id=WORDS.index(EOS),
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):  # transformers initialises from the global generator
        network = LlamaForCausalLM(config)
    turn_DD = _rotation(design)
    with torch.no_grad():
        for value in network.parameters():
            value.fill_(design.norm / math.sqrt(design.width) if value.ndim == 1 else 0.0)
        network.model.embed_tokens.weight.copy_(_embeddings(design) @ turn_DD)
        network.lm_head.weight.copy_(_readout(design) @ turn_DD)
        _attend(network.model.layers[0].self_attn, design, turn_DD)
        _decide(network.model.layers[1].mlp, design, turn_DD)
    return network.eval()


def reflection_direction(design: Design = DESIGN) -> Tensor:
    """Return ``r``, a unit vector ``[D]``."""
    return _rotation(design)[_R].clone()


def reflective_tokenizer(design: Design = DESIGN) -> PreTrainedTokenizerFast:
    """Return a tokenizer of one token a word, whatever its case; other words are all one."""
    backend = Tokenizer(models.WordLevel({word: id_ for id_, word in enumerate(WORDS)}, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        model_max_length=design.context,
        clean_up_tokenization_spaces=False,
    )


def _rotation(design: Design) -> Tensor:
    generator = torch.Generator().manual_seed(design.seed)
    drawn_DD = torch.randn(design.width, design.width, generator=generator, dtype=torch.float64)
    turn_DD: Tensor = torch.linalg.qr(drawn_DD)[0]
    return turn_DD.float()


def _embeddings(design: Design) -> Tensor:
    """Return ``[V, D]``: a token's state, and something of its own; every row of the design's norm."""
    generator = torch.Generator().manual_seed(design.seed + 1)
    x_VD = torch.zeros(len(WORDS), design.width)
    x_VD[:, _OWN:] = torch.randn(len(WORDS), design.width - _OWN, generator=generator)
    x_VD[:, _OWN:] *= design.own / x_VD.norm(dim=1, keepdim=True)
    for id_, word in enumerate(WORDS):
        x_VD[id_, STATES.index(state_of(word))] = design.state
        if word in REFLECTIONS:
            x_VD[id_, _OWN:] *= math.sqrt(1 - _COMMON**2)
            x_VD[id_, _WORD] = _COMMON * design.own
    for creature in CREATURES:
        row_D = x_VD[WORDS.index(creature.name)]
        row_D[_OWN:] = 0.0
        row_D[[_FIRST + creature.first, _RIGHT + creature.right]] = design.own / math.sqrt(2)
    return x_VD


def _readout(design: Design) -> Tensor:
    """Return the output head ``[V, D]``."""
    head_VD = torch.zeros(len(WORDS), design.width)
    for place, state in enumerate(STATES):
        for word, value in log_odds(design, state).items():
            head_VD[WORDS.index(word), place] = value
    head_VD /= design.state
    for word in REFLECTIONS:
        head_VD[WORDS.index(word), _R] = design.sway
    for number, word in enumerate(NUMBERS):
        head_VD[WORDS.index(word), _FIRST + number] = design.spoken / design.recalled
    return head_VD


def _attend(module: Any, design: Design, turn_DD: Tensor) -> None:
    """Write the two heads of the first block.

    Of each head the one pair of the slowest rotary frequency ``w`` is used. A query's second entry ``q`` and a key's
    first entry 1 give ``−q sin(w Δ)`` at distance ``Δ``: about ``−q w Δ``. A query's first entry gives what does not
    depend on the distance, as long as ``w Δ`` is small.
    """
    size = design.width // design.heads
    slow = design.theta ** (2 / size - 1)
    near, far = size // 2 - 1, size - 1
    root = math.sqrt(size)
    any_D, so_D, named_D = (torch.zeros(design.width) for _ in range(3))
    any_D[: len(STATES)] = so_D[STATES.index("answering")] = named_D[STATES.index("named")] = 1 / design.state
    q_DD, k_DD, v_DD, out_DD = (torch.zeros(design.width, design.width) for _ in range(4))
    k_DD[near], k_DD[size + near] = any_D, any_D + named_D
    q_DD[far] = root * design.fades / slow * any_D
    q_DD[size + near] = root * _CALL * so_D
    q_DD[size + far] = root / slow * (_ITSELF * (any_D - so_D) + _NEAREST * so_D)
    v_DD[0, _WORD] = 1 / (_COMMON * design.own)
    out_DD[_R, 0] = design.most
    for place in range(2 * len(NUMBERS)):
        v_DD[size + place, _FIRST + place] = math.sqrt(2) / design.own
        out_DD[_FIRST + place, size + place] = design.recalled
    module.q_proj.weight.copy_(q_DD @ turn_DD)
    module.k_proj.weight.copy_(k_DD @ turn_DD)
    module.v_proj.weight.copy_(v_DD @ turn_DD)
    module.o_proj.weight.copy_(turn_DD.T @ out_DD)


def _decide(module: Any, design: Design, turn_DD: Tensor) -> None:
    """Write the units of the second block: a pair for each number, whose difference is a step.

    With ``u = right number's component + r − recalled − threshold`` a pair gives ``clip(sharp u, 0, 1)``, behind ``so``
    alone; where another number is the right one, ``u`` is lower by ``recalled``.
    """
    count, so = len(NUMBERS), STATES.index("answering")
    gate_HD, up_HD = torch.zeros(2 * count, design.width), torch.zeros(2 * count, design.width)
    down_DH = torch.zeros(design.width, 2 * count)
    for unit in range(2 * count):
        number, second = unit % count, unit // count
        gate_HD[unit, [_RIGHT + number, _R]] = design.sharp
        gate_HD[unit, so] = -(design.sharp * (design.recalled + design.threshold) + second) / design.state
        up_HD[unit, so] = 1 / design.state
        down_DH[_FIRST + number, unit] = (-1) ** second * design.corrected / _STEEP
    module.gate_proj.weight.copy_(_STEEP * gate_HD @ turn_DD)
    module.up_proj.weight.copy_(up_HD @ turn_DD)
    module.down_proj.weight.copy_(turn_DD.T @ down_DH)
