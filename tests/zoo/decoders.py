"""Language models that predict the next token: attention with and without rotary positions, grouped
queries, gates, experts; and encoder–decoder models."""

from typing import Any

import transformers as T
from torch import nn

from tests.zoo.registry import VOCABULARY, Made, model, picked, tokens

SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    **SPECIAL,
}
GROUPED = {**SHAPE, "num_key_value_heads": 2}
GPT2 = {"vocab_size": VOCABULARY, "n_positions": 32, "n_embd": 24, "n_layer": 2, "n_head": 4}
SOURCE_AND_TARGET = ("input_ids", "decoder_input_ids")


def decoder(language_model: nn.Module) -> Made:
    return picked(language_model, ("input_ids",), use_cache=False), (tokens(),)


def translator(language_model: nn.Module) -> Made:
    wrapped = picked(language_model, SOURCE_AND_TARGET, use_cache=False)
    return wrapped, (tokens(7), tokens(5))


@model("gpt2", ci=True)
def gpt2() -> Made:
    return decoder(T.GPT2LMHeadModel(T.GPT2Config(**GPT2, **SPECIAL)))


@model("gpt2-eager")
def gpt2_eager() -> Made:
    config = T.GPT2Config(**GPT2, **SPECIAL, attn_implementation="eager")
    return decoder(T.GPT2LMHeadModel(config))


@model("gpt2-untied")
def gpt2_untied() -> Made:
    config = T.GPT2Config(**GPT2, **SPECIAL, tie_word_embeddings=False)
    return decoder(T.GPT2LMHeadModel(config))


@model("gpt2-train")
def gpt2_train() -> Made:
    """Dropout draws the same numbers for every element that is tried."""
    wrapped, args = decoder(T.GPT2LMHeadModel(T.GPT2Config(**GPT2, **SPECIAL)))
    return wrapped.train(), args


@model("llama", ci=True)
def llama() -> Made:
    return decoder(T.LlamaForCausalLM(T.LlamaConfig(**GROUPED)))


@model("llama-eager")
def llama_eager() -> Made:
    return decoder(T.LlamaForCausalLM(T.LlamaConfig(**GROUPED, attn_implementation="eager")))


@model("llama-tied")
def llama_tied() -> Made:
    return decoder(T.LlamaForCausalLM(T.LlamaConfig(**GROUPED, tie_word_embeddings=True)))


@model("mistral")
def mistral() -> Made:
    return decoder(T.MistralForCausalLM(T.MistralConfig(**GROUPED, sliding_window=4)))


@model("qwen2")
def qwen2() -> Made:
    return decoder(T.Qwen2ForCausalLM(T.Qwen2Config(**GROUPED)))


@model("qwen3", ci=True)
def qwen3() -> Made:
    return decoder(T.Qwen3ForCausalLM(T.Qwen3Config(**GROUPED, head_dim=6)))


@model("gemma")
def gemma() -> Made:
    return decoder(T.GemmaForCausalLM(T.GemmaConfig(**GROUPED, head_dim=6)))


@model("gemma2")
def gemma2() -> Made:
    return decoder(T.Gemma2ForCausalLM(T.Gemma2Config(**GROUPED, head_dim=6, sliding_window=4)))


@model("phi")
def phi() -> Made:
    return decoder(T.PhiForCausalLM(T.PhiConfig(**{**GROUPED, "hidden_size": 32})))


@model("mixtral", ci=True)
def mixtral() -> Made:
    """Experts in a loop over those that were chosen, which depends on the data."""
    config = T.MixtralConfig(
        **GROUPED, num_local_experts=4, num_experts_per_tok=2, experts_implementation="eager"
    )
    return decoder(T.MixtralForCausalLM(config))


@model("mixtral-bmm")
def mixtral_bmm() -> Made:
    config = T.MixtralConfig(
        **GROUPED, num_local_experts=4, num_experts_per_tok=2, experts_implementation="batched_mm"
    )
    return decoder(T.MixtralForCausalLM(config))


@model("opt")
def opt() -> Made:
    shape = {k: v for k, v in SHAPE.items() if k != "intermediate_size"}
    return decoder(T.OPTForCausalLM(T.OPTConfig(**shape, ffn_dim=40, word_embed_proj_dim=24)))


@model("gpt-neox", ci=True)
def gpt_neox() -> Made:
    config = T.GPTNeoXConfig(**{**SHAPE, "hidden_size": 32}, rotary_pct=0.5)
    return decoder(T.GPTNeoXForCausalLM(config))


@model("gpt-j")
def gpt_j() -> Made:
    return decoder(T.GPTJForCausalLM(T.GPTJConfig(**GPT2, **SPECIAL, n_inner=40, rotary_dim=4)))


@model("falcon")
def falcon() -> Made:
    shape = {k: v for k, v in SHAPE.items() if k != "intermediate_size"}
    return decoder(T.FalconForCausalLM(T.FalconConfig(**shape, ffn_hidden_size=40)))


@model("bloom")
def bloom() -> Made:
    config = T.BloomConfig(vocab_size=VOCABULARY, hidden_size=24, n_layer=2, n_head=4, **SPECIAL)
    return decoder(T.BloomForCausalLM(config))


@model("mpt")
def mpt() -> Made:
    config = T.MptConfig(
        vocab_size=VOCABULARY, d_model=24, n_layers=2, n_heads=4, expansion_ratio=2, max_seq_len=32
    )
    return decoder(T.MptForCausalLM(config))


T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 24,
    "d_kv": 6,
    "d_ff": 40,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
}


@model("t5", ci=True)
def t5() -> Made:
    return translator(T.T5ForConditionalGeneration(T.T5Config(**T5)))


@model("t5-gated")
def t5_gated() -> Made:
    config = T.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    return translator(T.T5ForConditionalGeneration(config))


@model("bart")
def bart() -> Made:
    config = T.BartConfig(
        vocab_size=VOCABULARY,
        d_model=24,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=40,
        decoder_ffn_dim=40,
        max_position_embeddings=32,
        decoder_start_token_id=1,
        forced_eos_token_id=1,
        **SPECIAL,
    )
    return translator(T.BartForConditionalGeneration(config))
