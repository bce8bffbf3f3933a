"""Speech, and state-space and other recurrent language models of `transformers`."""

import torch
import transformers as T
from torch import nn

from tests.zoo.registry import VOCABULARY, Made, model, picked, tokens

SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
WAVES = {
    "vocab_size": 20,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "conv_dim": [16, 16, 16],
    "conv_stride": [5, 2, 2],
    "conv_kernel": [10, 3, 3],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}


def waves(network: nn.Module) -> Made:
    return picked(network, ("input_values",)), (torch.randn(2, 400),)


@model("wav2vec2")
def wav2vec2() -> Made:
    """With weight normalisation in its convolution of positions."""
    return waves(T.Wav2Vec2ForCTC(T.Wav2Vec2Config(**WAVES)))


@model("hubert")
def hubert() -> Made:
    return waves(T.HubertForCTC(T.HubertConfig(**WAVES)))


@model("whisper")
def whisper() -> Made:
    config = T.WhisperConfig(
        vocab_size=VOCABULARY,
        num_mel_bins=10,
        d_model=24,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=40,
        decoder_ffn_dim=40,
        max_source_positions=8,
        max_target_positions=16,
        decoder_start_token_id=1,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        **SPECIAL,
    )
    inputs = ("input_features", "decoder_input_ids")
    network = T.WhisperForConditionalGeneration(config)
    spectra = torch.randn(2, 10, 16)
    return picked(network, inputs, use_cache=False), (spectra, tokens(5))


def language(network: nn.Module) -> Made:
    return picked(network, ("input_ids",), use_cache=False), (tokens(),)


@model("mamba", ci=True)
def mamba() -> Made:
    config = T.MambaConfig(
        vocab_size=VOCABULARY, hidden_size=16, state_size=4, num_hidden_layers=2, **SPECIAL
    )
    return language(T.MambaForCausalLM(config))


@model("mamba2")
def mamba2() -> Made:
    config = T.Mamba2Config(
        vocab_size=VOCABULARY,
        hidden_size=16,
        state_size=4,
        num_hidden_layers=2,
        num_heads=4,
        head_dim=8,
        n_groups=2,
        expand=2,
        chunk_size=4,
        **SPECIAL,
    )
    return language(T.Mamba2ForCausalLM(config))


@model("rwkv")
def rwkv() -> Made:
    config = T.RwkvConfig(
        vocab_size=VOCABULARY,
        hidden_size=24,
        num_hidden_layers=2,
        context_length=32,
        attention_hidden_size=24,
        intermediate_size=40,
        **SPECIAL,
    )
    return language(T.RwkvForCausalLM(config))
