"""Language models that see the whole sequence: BERT and its kin."""

from typing import Any

import transformers as T
from torch import nn

from tests.zoo.registry import VOCABULARY, Made, model, picked, tokens

SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}


def encoder(language_model: nn.Module) -> Made:
    return picked(language_model, ("input_ids",)), (tokens(),)


@model("bert", ci=True)
def bert() -> Made:
    return encoder(T.BertForMaskedLM(T.BertConfig(**SHAPE)))


@model("bert-eager")
def bert_eager() -> Made:
    return encoder(T.BertForMaskedLM(T.BertConfig(**SHAPE, attn_implementation="eager")))


@model("roberta")
def roberta() -> Made:
    return encoder(T.RobertaForMaskedLM(T.RobertaConfig(**SHAPE)))


@model("distilbert")
def distilbert() -> Made:
    config = T.DistilBertConfig(
        vocab_size=VOCABULARY,
        dim=24,
        hidden_dim=40,
        n_layers=2,
        n_heads=4,
        max_position_embeddings=32,
    )
    return encoder(T.DistilBertForMaskedLM(config))


@model("albert", ci=True)
def albert() -> Made:
    """Layers that share their weights."""
    return encoder(T.AlbertForMaskedLM(T.AlbertConfig(**SHAPE, embedding_size=12)))


@model("electra")
def electra() -> Made:
    return encoder(T.ElectraForPreTraining(T.ElectraConfig(**SHAPE, embedding_size=12)))


@model("deberta-v2")
def deberta_v2() -> Made:
    config = T.DebertaV2Config(
        **SHAPE, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8
    )
    return encoder(T.DebertaV2ForMaskedLM(config))
