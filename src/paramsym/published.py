"""Published architectures by name, as configurations of `transformers`: `gpt2`, `llama-2-7b`, …

Shapes only. No weights are downloaded; a model that is built from one has random ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final


@final
@dataclass(frozen=True)
class Published:
    """An architecture.

    Attributes:
        model_type: What `transformers` calls its kind of configuration.
        auto: The class of `transformers` that makes the model.
        settings: Settings that differ from the configuration's defaults.
    """

    model_type: str
    auto: str
    settings: Mapping[str, Any] = field(default_factory=dict)


_CAUSAL = "AutoModelForCausalLM"
_MASKED = "AutoModelForMaskedLM"
_SEQUENCES = "AutoModelForSeq2SeqLM"
_IMAGES = "AutoModelForImageClassification"

_TINY = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_THOUSAND = {"num_labels": 1000}


def _gpt2(width: int, depth: int, heads: int) -> Published:
    return Published("gpt2", _CAUSAL, {"n_embd": width, "n_layer": depth, "n_head": heads})


def _shape(width: int, inner: int, depth: int, heads: int, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        **more,
    }


PUBLISHED: dict[str, Published] = {
    "tiny-gpt2": Published(
        "gpt2",
        _CAUSAL,
        {"vocab_size": 64, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4},
    ),
    "tiny-llama": Published("llama", _CAUSAL, {**_TINY, "num_key_value_heads": 2}),
    "tiny-bert": Published("bert", _MASKED, _TINY),
    "tiny-vit": Published(
        "vit", _IMAGES, _shape(32, 64, 2, 4, image_size=32, patch_size=8, num_labels=10)
    ),
    "gpt2": _gpt2(768, 12, 12),
    "gpt2-medium": _gpt2(1024, 24, 16),
    "gpt2-large": _gpt2(1280, 36, 20),
    "gpt2-xl": _gpt2(1600, 48, 25),
    "opt-125m": Published("opt", _CAUSAL),
    "pythia-160m": Published(
        "gpt_neox", _CAUSAL, _shape(768, 3072, 12, 12, vocab_size=50304, rotary_pct=0.25)
    ),
    "llama-125m": Published("llama", _CAUSAL, _shape(768, 2048, 12, 12, vocab_size=32000)),
    "llama-2-7b": Published("llama", _CAUSAL, {"max_position_embeddings": 4096}),
    "llama-2-13b": Published(
        "llama", _CAUSAL, _shape(5120, 13824, 40, 40, max_position_embeddings=4096)
    ),
    "llama-3-8b": Published(
        "llama",
        _CAUSAL,
        _shape(
            4096,
            14336,
            32,
            32,
            num_key_value_heads=8,
            vocab_size=128256,
            max_position_embeddings=8192,
        ),
    ),
    "mistral-7b": Published("mistral", _CAUSAL),
    "qwen2-0.5b": Published(
        "qwen2",
        _CAUSAL,
        _shape(896, 4864, 24, 14, num_key_value_heads=2, tie_word_embeddings=True),
    ),
    "gemma-2b": Published(
        "gemma", _CAUSAL, _shape(2048, 16384, 18, 8, num_key_value_heads=1, head_dim=256)
    ),
    "mamba-130m": Published(
        "mamba", _CAUSAL, {"hidden_size": 768, "num_hidden_layers": 24, "vocab_size": 50280}
    ),
    "bert-base": Published("bert", _MASKED),
    "bert-large": Published("bert", _MASKED, _shape(1024, 4096, 24, 16)),
    "roberta-base": Published(
        "roberta",
        _MASKED,
        {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
    ),
    "distilbert-base": Published("distilbert", _MASKED),
    "t5-small": Published("t5", _SEQUENCES, {"decoder_start_token_id": 0}),
    "bart-base": Published(
        "bart",
        _SEQUENCES,
        {
            "d_model": 768,
            "encoder_layers": 6,
            "decoder_layers": 6,
            "encoder_attention_heads": 12,
            "decoder_attention_heads": 12,
            "encoder_ffn_dim": 3072,
            "decoder_ffn_dim": 3072,
        },
    ),
    "vit-base-16": Published("vit", _IMAGES, _THOUSAND),
    "vit-large-16": Published("vit", _IMAGES, _shape(1024, 4096, 24, 16, **_THOUSAND)),
    "swin-tiny": Published("swin", _IMAGES, _THOUSAND),
    "convnext-tiny": Published("convnext", _IMAGES, _THOUSAND),
    "resnet-50": Published("resnet", _IMAGES, _THOUSAND),
    "whisper-tiny": Published("whisper", "AutoModelForSpeechSeq2Seq"),
    "clip-base-32": Published("clip", "AutoModel"),
}
"""Architectures by the names that people know them by; those that start with `tiny-` are ours."""
