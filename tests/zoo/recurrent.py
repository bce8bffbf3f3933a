"""Recurrent networks and transformers of torch itself."""

from typing import cast

import torch
from torch import Tensor, nn

from tests.zoo.registry import Made, model, tokens


class Tagger(nn.Module):
    """Embedded tokens, a recurrent network, logits."""

    def __init__(self, cell: type[nn.RNNBase], **options: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.cell = cell(8, 10, 2, batch_first=True, **options)
        self.head = nn.Linear(20 if options.get("bidirectional") else 10, 30)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.cell(self.embed(ids))[0])


@model("lstm", ci=True)
def lstm() -> Made:
    return Tagger(nn.LSTM).eval(), (tokens(5, 30),)


@model("lstm-bidirectional")
def lstm_bidirectional() -> Made:
    return Tagger(nn.LSTM, bidirectional=True).eval(), (tokens(5, 30),)


@model("gru", ci=True)
def gru() -> Made:
    return Tagger(nn.GRU).eval(), (tokens(5, 30),)


@model("rnn-relu")
def rnn_relu() -> Made:
    network = Tagger(nn.RNN).eval()
    network.cell = nn.RNN(8, 10, 2, nonlinearity="relu", batch_first=True)
    return network, (tokens(5, 30),)


@model("lstm-cells")
def lstm_cells() -> Made:
    """The same cell at every step, in a loop."""

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.LSTMCell(6, 9), nn.Linear(9, 3)

        def forward(self, x: Tensor) -> Tensor:
            state = None
            for step in x.unbind(1):
                state = self.cell(step, state)
            return self.head(cast(tuple[Tensor, Tensor], state)[0])

    return Loop().eval(), (torch.randn(2, 4, 6),)


@model("torch-transformer")
def torch_transformer() -> Made:
    network = nn.Transformer(24, 4, 1, 1, 40, batch_first=True).eval()
    return network, (torch.randn(2, 6, 24), torch.randn(2, 5, 24))


@model("torch-encoder", ci=True)
def torch_encoder() -> Made:
    layer = nn.TransformerEncoderLayer(24, 4, 40, batch_first=True, norm_first=True, dropout=0.0)
    stack = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return nn.Sequential(stack, nn.Linear(24, 3)).train(), (torch.randn(2, 6, 24),)
