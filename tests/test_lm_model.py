"""Reading a block, continuing from it and projecting, against the plainest other way of doing the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import accelerate
import pytest
import torch
import transformers
from torch import Tensor, nn

from harness.errors import UserError
from harness.lm.blocks import hidden_of, with_hidden
from harness.lm.info import Identity
from harness.lm.loading import load_model
from harness.lm.model import LanguageModel
from harness.lm.tiny import tiny_model, tiny_tokenizer

BLOCKS, WIDTH, VOCAB = 3, 32, 260
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 256,
    "bos_token_id": None,
    "eos_token_id": 257,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
CONFIGS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2Config(**SIZES),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SIZES),
    "gemma2": lambda: transformers.Gemma2Config(
        **GROUPED, head_dim=8, query_pre_attn_scalar=8, final_logit_softcapping=2.0, sliding_window=4
    ),
    "qwen2": lambda: transformers.Qwen2Config(**GROUPED),
    "llama": lambda: transformers.LlamaConfig(**GROUPED),
    "cohere": lambda: transformers.CohereConfig(**GROUPED, logit_scale=0.25),
    "granite": lambda: transformers.GraniteConfig(**GROUPED, logits_scaling=3.0),
    "opt": lambda: transformers.OPTConfig(**{**SIZES, "word_embed_proj_dim": 16}, ffn_dim=48),
}


def build(name: str) -> LanguageModel:
    if name == "tiny-random":
        return load_model(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = transformers.AutoModelForCausalLM.from_config(CONFIGS[name]())
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(5)  # so that logits are large enough for soft-capping to show
    return LanguageModel(network, tiny_tokenizer(), Identity(name, "random", "none", "float32"))


MODELS = ["tiny-random", *CONFIGS]
_built: dict[str, LanguageModel] = {}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    name: str = request.param
    if name not in _built:
        _built[name] = build(name)
    return _built[name]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Matrices this small only lose time to a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny() -> LanguageModel:
    return build("tiny-random")


def batch() -> tuple[Tensor, Tensor]:
    ids_BT = torch.randint(0, 256, (3, 11), generator=torch.Generator().manual_seed(1))
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[1, 6:] = 0
    mask_BT[2, 1:] = 0
    return ids_BT, mask_BT


@torch.no_grad()
def own_logits(model: LanguageModel, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    logits: Tensor = model.network(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits
    return logits[mask_BT.bool()]


@contextmanager
def naive_hook(block: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def naive_read(model: LanguageModel, layer: int, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    found: list[Tensor] = []

    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        found.append(output if isinstance(output, Tensor) else output[0])

    with naive_hook(model.blocks[layer], hook):
        own_logits(model, ids_BT, mask_BT)
    return found[0]


@contextmanager
def counted(model: LanguageModel) -> Iterator[Counter[int]]:
    """Count how often each block's own forward runs."""
    calls: Counter[int] = Counter()
    before = [vars(block).get("forward") for block in model.blocks]

    def counting(index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls[index] += 1
            return forward(*args, **kwargs)

        return call

    for index, block in enumerate(model.blocks):
        vars(block)["forward"] = counting(index, block.forward)
    try:
        yield calls
    finally:
        for block, own in zip(model.blocks, before, strict=True):
            vars(block).pop("forward")
            if own is not None:
                vars(block)["forward"] = own


def test_resuming_from_what_was_read_gives_the_models_own_logits(model: LanguageModel) -> None:
    ids_BT, mask_BT = batch()
    own_NV = own_logits(model, ids_BT, mask_BT)
    read = model.read(ids_BT, mask_BT, range(model.info.blocks))
    for layer, x_BTD in read.items():
        h_BTD = model.resume(ids_BT, mask_BT, layer, x_BTD)
        found_NV = model.logits(h_BTD[mask_BT.bool()])
        assert found_NV.shape == (int(mask_BT.sum()), model.info.vocab)
        torch.testing.assert_close(found_NV, own_NV, atol=1e-5, rtol=1e-5)


def test_read_equals_a_naive_hook_also_at_the_last_block(model: LanguageModel) -> None:
    ids_BT, mask_BT = batch()
    for layer in range(model.info.blocks):
        x_BTD = model.read(ids_BT, mask_BT, [layer])[layer]
        assert x_BTD.shape == (*ids_BT.shape, model.info.width)
        torch.testing.assert_close(x_BTD, naive_read(model, layer, ids_BT, mask_BT), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["tiny-random", "llama", "gpt2", "gemma2"])
def test_last_block_is_not_the_last_of_hidden_states(name: str) -> None:
    model, (ids_BT, mask_BT) = build(name), batch()
    last = model.info.blocks - 1
    with torch.no_grad():
        states = model.network(input_ids=ids_BT, attention_mask=mask_BT, output_hidden_states=True).hidden_states
    x_BTD = model.read(ids_BT, mask_BT, [0, last])
    torch.testing.assert_close(x_BTD[0], states[1])
    assert (x_BTD[last] - states[-1]).abs().max() > 0.1  # it has passed the final norm


def test_editing_then_resuming_equals_replacing_the_output_in_a_hook(model: LanguageModel) -> None:
    ids_BT, mask_BT = batch()
    for layer in range(model.info.blocks):
        x_BTD = model.read(ids_BT, mask_BT, [layer])[layer]
        edited_BTD = x_BTD + torch.randn(x_BTD.shape, generator=torch.Generator().manual_seed(layer))

        def replace(_module: nn.Module, _args: Any, output: Any, edited_BTD: Tensor = edited_BTD) -> Any:
            return edited_BTD if isinstance(output, Tensor) else (edited_BTD, *output[1:])

        with naive_hook(model.blocks[layer], replace):
            naive_NV = own_logits(model, ids_BT, mask_BT)
        found_NV = model.logits(model.resume(ids_BT, mask_BT, layer, edited_BTD)[mask_BT.bool()])
        torch.testing.assert_close(found_NV, naive_NV, atol=1e-5, rtol=1e-5)
        assert (found_NV - own_logits(model, ids_BT, mask_BT)).abs().max() > 1e-3


def test_read_runs_the_blocks_it_needs_and_resume_the_others(model: LanguageModel) -> None:
    ids_BT, mask_BT = batch()
    blocks = model.info.blocks
    for layer in range(blocks):
        with counted(model) as calls:
            x_BTD = model.read(ids_BT, mask_BT, {0, layer})[layer]
        assert calls == Counter(range(layer + 1))
        with counted(model) as calls:
            model.resume(ids_BT, mask_BT, layer, x_BTD)
        assert calls == Counter(range(layer + 1, blocks))
    with counted(model) as calls:
        model.logits(torch.zeros(2, model.info.width if model.info.name != "opt" else 16))
    assert not calls


class TupleBlock(nn.Module):
    """A block that returns a tuple, as every block did before transformers 5."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Any, None]:
        return self.block(*args, **kwargs), None


class TupleNetwork(transformers.LlamaForCausalLM):  # type: ignore[misc]
    """A Llama whose blocks return tuples."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        body = self.model

        def forward(input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Any:
            h_BTD = body.embed_tokens(input_ids)
            position_ids = torch.arange(input_ids.shape[1])[None]
            angles = body.rotary_emb(h_BTD, position_ids=position_ids)
            for block in body.layers:
                h_BTD = block(h_BTD, attention_mask=None, position_embeddings=angles, position_ids=position_ids)[0]
            return transformers.modeling_outputs.BaseModelOutputWithPast(last_hidden_state=body.norm(h_BTD))

        body.layers = nn.ModuleList(TupleBlock(block) for block in body.layers)
        body.forward = forward


def test_blocks_that_return_tuples_work_the_same() -> None:
    with torch.random.fork_rng():
        network = TupleNetwork(CONFIGS["llama"]())
    model = LanguageModel(network, tiny_tokenizer(), Identity("tuples", "random", "none", "float32"))
    ids_BT, mask_BT = batch()
    own_NV = own_logits(model, ids_BT, mask_BT)
    for layer, x_BTD in model.read(ids_BT, mask_BT, range(BLOCKS)).items():
        assert x_BTD.shape == (*ids_BT.shape, WIDTH)
        found_NV = model.logits(model.resume(ids_BT, mask_BT, layer, x_BTD)[mask_BT.bool()])
        torch.testing.assert_close(found_NV, own_NV, atol=1e-5, rtol=1e-5)


def test_hidden_of_and_with_hidden() -> None:
    x, y = torch.zeros(2, 3, 4), torch.ones(2, 3, 4)
    assert hidden_of(x) is x
    assert hidden_of((x, None)) is x
    assert with_hidden(x, y) is y
    assert with_hidden((x, "cache"), y) == (y, "cache")
    for wrong in (None, {"hidden": x}, (None, x)):
        with pytest.raises(TypeError, match="a decoder block returned"):
            hidden_of(wrong)


def untouched(model: LanguageModel) -> bool:
    modules = list(model.network.modules())
    return not any("forward" in vars(module) or module._forward_hooks for module in modules)


@pytest.mark.parametrize("where", ["mlp", "norm"])
def test_hooks_and_forwards_come_back_after_an_exception(tiny: LanguageModel, where: str) -> None:
    ids_BT, mask_BT = batch()
    x_BTD = tiny.read(ids_BT, mask_BT, [0])[0]
    module: Any = tiny.blocks[1].mlp if where == "mlp" else tiny.network.base_model.norm

    def fails(*_: Any) -> None:
        raise MemoryError("no memory")

    with naive_hook(module, fails):
        with pytest.raises(MemoryError):
            tiny.resume(ids_BT, mask_BT, 0, x_BTD)
        if where == "mlp":
            with pytest.raises(MemoryError):
                tiny.read(ids_BT, mask_BT, [0, 1])
    with naive_hook(tiny.network.get_output_embeddings(), fails), pytest.raises(MemoryError):
        tiny.logits(x_BTD[0])
    assert untouched(tiny)
    tiny.read(ids_BT, mask_BT, [0, 1])
    assert untouched(tiny)


def test_wrong_arguments(tiny: LanguageModel) -> None:
    ids_BT, mask_BT = batch()
    x_BTD = tiny.read(ids_BT, mask_BT, [0])[0]
    with pytest.raises(UserError, match=r"layer 2 is out of range: model 'tiny-random' has blocks 0\.\.1"):
        tiny.read(ids_BT, mask_BT, [0, 2])
    with pytest.raises(UserError, match="layer -1 is out of range"):
        tiny.resume(ids_BT, mask_BT, -1, x_BTD)
    with pytest.raises(ValueError, match="at least one layer"):
        tiny.read(ids_BT, mask_BT, [])
    with pytest.raises(ValueError, match=r"must have shape \(3, 11, 64\), got \(3, 10, 64\)"):
        tiny.resume(ids_BT, mask_BT, 0, x_BTD[:, 1:])
    with pytest.raises(ValueError, match=r"\[B, T\]"):
        tiny.read(ids_BT, mask_BT[:, 1:], [0])
    with pytest.raises(ValueError, match="padded on the right"):
        tiny.read(ids_BT, mask_BT.flip(1), [0])


def test_gradients_flow_from_the_argument_alone(tiny: LanguageModel) -> None:
    ids_BT, mask_BT = batch()
    x_BTD = tiny.read(ids_BT, mask_BT, [0])[0]
    x_BTD += 0  # an ordinary tensor: it may be edited in place
    assert not tiny.resume(ids_BT, mask_BT, 0, x_BTD).requires_grad
    x_BTD.requires_grad_()
    tiny.logits(tiny.resume(ids_BT, mask_BT, 0, x_BTD)[0]).sum().backward()  # type: ignore[no-untyped-call]
    assert x_BTD.grad is not None
    assert x_BTD.grad.abs().sum() > 0
    assert all(value.grad is None for value in tiny.network.parameters())


def test_model_whose_weights_accelerate_moves_around() -> None:
    plain, (ids_BT, mask_BT) = build("tiny-random"), batch()
    network = accelerate.cpu_offload(tiny_model(), torch.device("cpu"))
    forwards = [vars(module).get("forward") for module in network.modules()]
    model = LanguageModel(network, tiny_tokenizer(), Identity("offloaded", "random", "none", "float32"))
    x_BTD = model.read(ids_BT, mask_BT, [0])[0]
    torch.testing.assert_close(x_BTD, plain.read(ids_BT, mask_BT, [0])[0])
    found_NV = model.logits(model.resume(ids_BT, mask_BT, 0, x_BTD)[mask_BT.bool()])
    torch.testing.assert_close(found_NV, own_logits(plain, ids_BT, mask_BT))
    assert [vars(module).get("forward") for module in network.modules()] == forwards


def branches(model: LanguageModel, ids_T: Tensor, layer: int, x_TD: Tensor, last_AD: Tensor) -> Tensor:
    """Return what follows one text for each of ``last_AD`` at its last token."""
    past = model.past(ids_T, layer, x_TD)
    return model.follow([past], torch.zeros(len(last_AD), dtype=torch.int64), last_AD)


@torch.no_grad()
def test_branches_equal_one_pass_each(model: LanguageModel) -> None:
    ids_T = batch()[0][0, :7]
    mask_1T, layer = torch.ones(1, len(ids_T), dtype=torch.int64), 1
    x_TD = model.read(ids_T[None], mask_1T, [layer])[layer][0]
    last_AD = x_TD[-1] + torch.randn(5, model.info.width, generator=torch.Generator().manual_seed(0))
    naive = []
    for one_D in last_AD:
        changed_TD = x_TD.clone()
        changed_TD[-1] = one_D
        naive.append(model.resume(ids_T[None], mask_1T, layer, changed_TD[None])[0, -1])
    torch.testing.assert_close(branches(model, ids_T, layer, x_TD, last_AD), torch.stack(naive), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_tokens_behind_several_texts_equal_one_run_of_each(model: LanguageModel) -> None:
    """Texts of other lengths, one of a single token, beside each other; each twice."""
    ids_BT, layer, draw = batch()[0], 1, torch.Generator().manual_seed(0)
    pasts, changed = [], []
    for row, length in ((0, 7), (1, 4), (0, 1)):
        ids_T = ids_BT[row, :length]
        x_TD = model.read(ids_T[None], torch.ones(1, length), [layer])[layer][0]
        pasts.append(model.past(ids_T, layer, x_TD))
        changed.append(x_TD)
    of_A = torch.tensor([2, 0, 1, 1, 0, 2])
    last_AD = torch.stack([changed[text][-1] for text in of_A.tolist()])
    last_AD = last_AD + torch.randn(last_AD.shape, generator=draw)
    naive = []
    for text, last_D in zip(of_A.tolist(), last_AD, strict=True):
        x_1TD = torch.cat([changed[text][:-1], last_D[None]])[None]
        ids_1T = pasts[text].ids_T[None]
        naive.append(model.resume(ids_1T, torch.ones_like(ids_1T), layer, x_1TD)[0, -1])
    for _ in range(2):
        torch.testing.assert_close(model.follow(pasts, of_A, last_AD), torch.stack(naive), rtol=1e-4, atol=1e-5)


def test_branches_refuse_what_does_not_fit(tiny: LanguageModel) -> None:
    x_TD = torch.zeros(4, tiny.info.width)
    with pytest.raises(ValueError, match="does not fit 3 tokens"):
        branches(tiny, torch.arange(3), 1, x_TD, x_TD[:2])


@torch.no_grad()
def test_branches_do_without_a_mask_that_a_model_misreads() -> None:
    llama = build("llama")
    ids_T = batch()[0][0]
    x_TD = llama.read(ids_T[None], torch.ones(1, len(ids_T)), [1])[1][0]
    last_AD = x_TD[-1] * torch.tensor([[1.0], [2.0]])
    packed_AD = branches(llama, ids_T, 1, x_TD, last_AD)
    body = llama._probe.body
    forward = body.forward

    def deaf(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **{name: value for name, value in kwargs.items() if name != "position_ids"})

    vars(body)["forward"] = deaf
    try:
        llama._verify()
        torch.testing.assert_close(branches(llama, ids_T, 1, x_TD, last_AD), packed_AD, rtol=1e-4, atol=1e-5)
        assert not llama._packs
    finally:
        vars(body).pop("forward")
