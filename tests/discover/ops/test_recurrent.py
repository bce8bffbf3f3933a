"""LSTM, GRU and RNN."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.discover.cases import Case, check
from tests.discover.checking import Net


def around(kind: type[nn.RNNBase], **options: Any) -> nn.Module:
    """A recurrent layer between two linear ones."""
    layer = kind(4, 3, **options)
    sides = 2 if options.get("bidirectional") else 1

    def run(net: Net, x: Tensor) -> Tensor:
        return net.out(net.layer(net.into(x))[0])

    width = sides * (options.get("proj_size") or 3)
    return Net(
        run,
        into=nn.Linear(3, 4, bias=False),
        layer=layer,
        out=nn.Linear(width, 40, bias=False),
    )


INTO = {"GL(4)": 1}
# Shifts: what the bias of the input takes, that of the state gives back, gate by gate; of GRUs two
# gates of three.


def by_cell(cell: nn.Module) -> nn.Module:
    """Three steps of a cell from a state of zeros."""

    def run(net: Net, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 3, dtype=x.dtype)
        states = (state, state) if isinstance(cell, nn.LSTMCell) else state
        for _ in range(3):
            states = net.cell(net.into(x), states)
        return net.out(states[0] if isinstance(states, tuple) else states)

    return Net(run, into=nn.Linear(3, 4, bias=False), cell=cell, out=nn.Linear(3, 40, bias=False))


CASES = [
    Case("lstm cell", lambda: by_cell(nn.LSTMCell(4, 3)), ((9, 3),), INTO, gap=None),
    Case("gru cell", lambda: by_cell(nn.GRUCell(4, 3)), ((9, 3),), INTO, gap=None),
    Case("tanh cell", lambda: by_cell(nn.RNNCell(4, 3)), ((9, 3),), INTO, gap=None),
    Case(
        "relu cell",
        lambda: by_cell(nn.RNNCell(4, 3, nonlinearity="relu")),
        ((9, 3),),
        INTO | {"T₊(3)": 1},
        gap=None,
    ),
    Case("lstm", lambda: around(nn.LSTM), ((5, 9, 3),), INTO | {"R^12": 1}, gap=None),
    Case("gru", lambda: around(nn.GRU), ((5, 9, 3),), INTO | {"R^6": 1}, gap=None),
    Case("rnn", lambda: around(nn.RNN, bias=False), ((5, 9, 3),), INTO),
    Case(
        "two layers, both ways, with dropout",
        lambda: around(nn.LSTM, num_layers=2, bidirectional=True, dropout=0.3),
        ((5, 9, 3),),
        INTO | {"R^12": 4},
        gap=None,
    ),
    Case(
        "batch first",
        lambda: around(nn.GRU, batch_first=True),
        ((9, 5, 3),),
        INTO | {"R^6": 1},
        gap=None,
    ),
    Case(
        "relu",
        lambda: around(nn.RNN, nonlinearity="relu"),
        ((5, 9, 3),),
        INTO | {"T₊(3)": 1, "R^3": 1},
        gap=None,
    ),
    Case(
        "relu, two layers, both ways",
        lambda: around(nn.RNN, nonlinearity="relu", num_layers=2, bidirectional=True),
        ((5, 9, 3),),
        INTO | {"T₊(3)": 4, "R^3": 4},
        gap=None,
    ),
    Case(
        "projected",
        lambda: around(nn.LSTM, proj_size=2),
        ((5, 9, 3),),
        INTO | {"GL(2)": 1, "R^12": 1},
        gap=None,
    ),
    Case(
        "projected, two layers, both ways",
        lambda: around(nn.LSTM, proj_size=2, num_layers=2, bidirectional=True),
        ((5, 9, 3),),
        INTO | {"GL(2)": 4, "R^12": 4},
        gap=None,
    ),
]


def from_zero(net: Net, x: Tensor) -> Tensor:
    """A state that data forget entry by entry, and that starts at zero."""
    h = torch.zeros(len(x), 4, dtype=x.dtype)
    for step in x.unbind(1):
        h = torch.sigmoid(step) * h + net.enter(step)
    return net.leave(h)


CASES.append(
    Case(
        "a state that starts at zero: its coordinates scale",
        lambda: Net(
            from_zero, enter=nn.Linear(4, 4, bias=False), leave=nn.Linear(4, 3, bias=False)
        ),
        ((60, 3, 4),),
        {"T₊(4)": 1},
    )
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)


def test_a_given_state_stands_still() -> None:
    """A state from outside is in the space of the projection, and is data."""
    torch.manual_seed(0)
    layer = nn.LSTM(3, 4, proj_size=2)

    def run(net: Net, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        return net.out(net.layer(x, (h, c))[0])

    model = Net(run, layer=layer, out=nn.Linear(2, 5, bias=False))
    check(Case("state", lambda: model, ((5, 9, 3), (1, 9, 2), (1, 9, 4)), {"R^16": 1}, gap=None))
