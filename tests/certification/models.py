"""Small configurations of the architectures whose certificate is printed by `make certify`.

Lengths equal the number of positions, so that every entry of every table is reached.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

Made = tuple[nn.Module, tuple[Tensor, ...]]
TOKENS, LENGTH, WIDTH, INNER, IMAGE, LABELS = 13, 6, 8, 10, 6, 4
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
SHAPE: dict[str, Any] = {
    "vocab_size": TOKENS,
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": LENGTH,
}
GROUPED = {**SHAPE, "num_key_value_heads": 1, **SPECIAL}
TOWER = {k: v for k, v in SHAPE.items() if k not in ("vocab_size", "max_position_embeddings")}
# The class token, and the end of a text, are read alone: in a single layer their query is constant.
DEEPER = {**TOWER, "num_hidden_layers": 2}

MODELS: dict[str, Callable[[], Made]] = {}
"""Factories by name, in the order of the table. They raise ImportError without `transformers`."""


def model(name: str, **settings: Any) -> Callable[[Callable[..., Made]], Callable[..., Made]]:
    def register(make: Callable[..., Made]) -> Callable[..., Made]:
        MODELS[name] = lambda: make(**settings)
        return make

    return register


def made(name: str) -> Made:
    """The model of that name, in evaluation mode unless it says otherwise, under seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MODELS[name]()


# -- networks of torch -----------------------------------------------------------------------------


class Layers(nn.Module):
    """A multilayer perceptron with any function between its layers."""

    def __init__(self, activation: Callable[[Tensor], Tensor], *widths: int, bias: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(widths))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu-squared": lambda x: torch.relu(x) ** 2,
    "gelu": nn.functional.gelu,
    "tanh": torch.tanh,
    "identity": lambda x: x,
    "radial": lambda x: x * torch.tanh(x.norm(dim=-1, keepdim=True)),
}


def mlp(activation: str, *widths: int, bias: bool = True) -> Made:
    network = Layers(ACTIVATIONS[activation], *widths, bias=bias).eval()
    return network, (torch.randn(2, widths[0]),)


for _name in ACTIVATIONS:
    _widths = (5, 4, 3) if _name == "radial" else (5, 7, 6, 3)
    model(f"mlp-{_name}")(lambda name=_name, widths=_widths: mlp(name, *widths))


@model("cnn")
def cnn() -> Made:
    layers: list[nn.Module] = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(4, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten()]
    layers += [nn.Linear(45, 6), nn.ReLU(), nn.Linear(6, 3)]
    return nn.Sequential(*layers).eval(), (torch.randn(1, 2, 6, 6),)


# -- networks of transformers ----------------------------------------------------------------------


class Picked(nn.Module):
    """A model of `transformers`, with positional inputs and one tensor as output."""

    def __init__(self, network: nn.Module, inputs: tuple[str, ...], output: str) -> None:
        super().__init__()
        self.network, self.inputs, self.output = network, inputs, output
        if hasattr(network.config, "use_cache"):
            network.config.use_cache = False

    def forward(self, *tensors: Tensor) -> Tensor:
        given = dict(zip(self.inputs, tensors, strict=True))
        return getattr(self.network(**given), self.output)


def transformer(
    cls: str,
    config: str,
    *,
    inputs: tuple[str, ...] = ("input_ids",),
    output: str = "logits",
    lengths: tuple[int, ...] = (LENGTH,),
    types: int | None = None,
    train: bool = False,
    **settings: Any,
) -> Made:
    import transformers

    network = getattr(transformers, cls)(getattr(transformers, config)(**settings))
    tokens = tuple(torch.randint(2, TOKENS, (1, length)) for length in lengths)
    tokens += () if types is None else (torch.randint(types, (1, lengths[0])),)
    return Picked(network, inputs, output).train(train), tokens


def pictures(cls: str, config: str, size: int, *, batch: int = 1, **settings: Any) -> Made:
    output = settings.pop("output", "logits")
    network, _ = transformer(cls, config, inputs=("pixel_values",), output=output, **settings)
    return network, (torch.randn(batch, 3, size, size),)


model(
    "bert",
    cls="BertForMaskedLM",
    config="BertConfig",
    inputs=("input_ids", "token_type_ids"),
    types=2,
    **SHAPE,
)(transformer)

GPT2: dict[str, Any] = {
    "cls": "GPT2LMHeadModel",
    "config": "GPT2Config",
    "vocab_size": TOKENS,
    "n_positions": LENGTH,
    "n_embd": WIDTH,
    "n_inner": INNER,
    "n_head": 2,
    **SPECIAL,
}
model("gpt2", **GPT2, n_layer=1)(transformer)
model("gpt2-untied", **GPT2, n_layer=1, tie_word_embeddings=False)(transformer)
model("gpt2-untied-2", **GPT2, n_layer=2, tie_word_embeddings=False)(transformer)
LLAMA: dict[str, Any] = {"cls": "LlamaForCausalLM", "config": "LlamaConfig", **GROUPED}
model("llama", **LLAMA)(transformer)
model("llama-2", **{**LLAMA, "num_hidden_layers": 2})(transformer)
model("llama-tied", **LLAMA, tie_word_embeddings=True)(transformer)
model("qwen3", cls="Qwen3ForCausalLM", config="Qwen3Config", **GROUPED, head_dim=4)(transformer)
model(
    "mixtral",
    cls="MixtralForCausalLM",
    config="MixtralConfig",
    **GROUPED,
    num_local_experts=3,
    num_experts_per_tok=2,
    experts_implementation="batched_mm",
)(transformer)
model(
    "vit",
    cls="ViTForImageClassification",
    config="ViTConfig",
    size=IMAGE,
    **DEEPER,
    image_size=IMAGE,
    patch_size=3,
    num_labels=LABELS,
)(pictures)
RESNET: dict[str, Any] = {
    "cls": "ResNetForImageClassification",
    "config": "ResNetConfig",
    "embedding_size": 4,
    "depths": [1, 1],
    "num_labels": LABELS,
}
BASIC = {**RESNET, "hidden_sizes": [4, 6], "layer_type": "basic"}
model("resnet", **BASIC, size=32)(pictures)
model("resnet-train", **BASIC, size=16, batch=3, train=True)(pictures)
# In narrower ones some of the two or three channels of a bottleneck are dead, or on for all inputs.
model(
    "resnet-bottleneck",
    **{**RESNET, "embedding_size": 8},
    size=32,
    hidden_sizes=[16, 24],
    layer_type="bottleneck",
)(pictures)
model(
    "convnext",
    cls="ConvNextForImageClassification",
    config="ConvNextConfig",
    size=16,
    hidden_sizes=[4, 6],
    num_stages=2,
    depths=[1, 1],
    num_labels=LABELS,
    patch_size=2,
    image_size=16,
)(pictures)
T5: dict[str, Any] = {
    "cls": "T5ForConditionalGeneration",
    "config": "T5Config",
    "inputs": ("input_ids", "decoder_input_ids"),
    "lengths": (LENGTH, LENGTH),
    "vocab_size": TOKENS,
    "d_model": WIDTH,
    "d_kv": 4,
    "d_ff": INNER,
    "num_layers": 1,
    "num_heads": 2,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "relative_attention_num_buckets": 4,
    "relative_attention_max_distance": 5,
}
model("t5", **T5)(transformer)
model("t5-gated", **T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)(transformer)
model(
    "clip-text",
    cls="CLIPTextModelWithProjection",
    config="CLIPTextConfig",
    output="text_embeds",
    **{**SHAPE, "num_hidden_layers": 2},
    projection_dim=5,
    **{**SPECIAL, "eos_token_id": TOKENS - 1},
)(transformer)
model(
    "clip-vision",
    cls="CLIPVisionModelWithProjection",
    config="CLIPVisionConfig",
    size=IMAGE,
    output="image_embeds",
    **DEEPER,
    image_size=IMAGE,
    patch_size=3,
    projection_dim=5,
)(pictures)


@model("whisper")
def whisper() -> Made:
    shape = {
        f"{side}_{key}": value
        for side in ("encoder", "decoder")
        for key, value in (("layers", 1), ("attention_heads", 2), ("ffn_dim", INNER))
    }
    network, (tokens,) = transformer(
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        inputs=("input_features", "decoder_input_ids"),
        vocab_size=TOKENS,
        num_mel_bins=3,
        d_model=WIDTH,
        **shape,
        max_source_positions=4,
        max_target_positions=LENGTH,
        decoder_start_token_id=1,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        **SPECIAL,
    )
    return network, (torch.randn(1, 3, 8), tokens)


model(
    "mamba",
    cls="MambaForCausalLM",
    config="MambaConfig",
    vocab_size=TOKENS,
    hidden_size=4,
    state_size=3,
    num_hidden_layers=1,
    expand=2,
    conv_kernel=2,
    time_step_rank=2,
    **SPECIAL,
)(transformer)
