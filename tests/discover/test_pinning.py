"""Which op keeps a parameter still."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from paramsym import Symmetry, discover
from paramsym.still import OUTPUTS
from paramsym.storage import from_dict, to_dict

Function = Callable[[Tensor], Tensor]


class Between(nn.Module):
    """Two layers and a function between them."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.a, self.b, self.function = nn.Linear(3, 4), nn.Linear(4, 2), function

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.function(self.a(x)))


def between(function: Function) -> Symmetry:
    return discover(Between(function), (torch.randn(5, 3),))


def pinning(symmetry: Symmetry, parameter: str, axis: int) -> dict[str, str]:
    """Ops that pin an axis, with their reasons."""
    pins = [p for p in symmetry.pins if (p.parameter, p.axis) == (parameter, axis)]
    return {pin.op: pin.reason for pin in pins}


@pytest.mark.parametrize(
    ("function", "op", "reason"),
    [
        (torch.tanh, "tanh", "lets no scale and no mixing through"),
        (torch.sigmoid, "sigmoid", "lets no scale and no mixing through"),
        (nn.GELU(), "gelu", "lets no scale and no mixing through"),
        (lambda z: torch.relu(z) + 1.0, "add", "lets no scale and no mixing through"),
        (lambda z: torch.relu(z) + z.pow(2), "add", "equates different powers of its scale"),
        (lambda z: torch.logcumsumexp(torch.relu(z), -1), "logcumsumexp", "no rule for this op"),
    ],
)
def test_what_stands_between_two_layers_pins_both_sides(
    function: Function, op: str, reason: str
) -> None:
    symmetry = between(function)
    for parameter, axis in (("a.weight", 0), ("a.bias", 0), ("b.weight", 1)):
        found = pinning(symmetry, parameter, axis)
        assert set(found) == {op}, (parameter, found)
        # What follows sees only that nothing scales any more.
        expected = (reason, "its result scales with nothing that it reads")
        assert found[op].startswith(expected), (parameter, found)


def test_a_stopped_gradient_pins_where_it_meets_parameters() -> None:
    symmetry = between(lambda z: torch.relu(z.detach()))
    for parameter, axis in (("a.weight", 0), ("a.bias", 0), ("b.weight", 1)):
        (reason,) = pinning(symmetry, parameter, axis).values()
        assert reason.startswith("stops the gradient")


def test_what_moves_is_not_pinned() -> None:
    symmetry = between(torch.relu)
    assert {(p.parameter, p.axis) for p in symmetry.pins} == {
        ("a.weight", 1),
        ("b.weight", 0),
        ("b.bias", 0),
    }
    assert pinning(symmetry, "a.weight", 1) == {"linear": "meets data or constants there"}
    assert pinning(symmetry, "b.bias", 0) == {OUTPUTS: "what the model returns must not change"}


def test_both_of_two_ops_are_named_with_their_modules() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.left, self.right = nn.Linear(3, 4), nn.Tanh(), nn.Softplus()
            self.b, self.c = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            z = self.a(x)
            return self.b(self.left(z)) + self.c(self.right(z))

    symmetry = discover(Both(), (torch.randn(5, 3),))
    pins = [p for p in symmetry.pins if (p.parameter, p.axis) == ("a.bias", 0)]
    assert {(p.op, p.calls, p.where, p.rows) for p in pins} == {
        ("tanh", 1, ("left",), 4),
        ("softplus", 1, ("right",), 4),
    }


def test_parts_of_an_axis_are_pinned_by_different_ops() -> None:
    def halves(z: Tensor) -> Tensor:
        return torch.cat([torch.tanh(z[:, :1]), torch.sigmoid(z[:, 1:3]), torch.relu(z[:, 3:])], 1)

    symmetry = between(halves)
    pins = [p for p in symmetry.pins if (p.parameter, p.axis) == ("a.weight", 0)]
    assert [(p.op, p.rows) for p in pins] == [("sigmoid", 2), ("tanh", 1)]
    text = str(symmetry.explain("a.weight"))
    assert "no family acts along axis 0 (3 of 4)\n" in text
    assert "    2 pinned by sigmoid in (model): lets no scale" in text


def test_positions_of_a_kernel_keep_their_places() -> None:
    symmetry = discover(nn.Conv2d(2, 3, (1, 5)), (torch.randn(1, 2, 6, 6),))
    found = {pin.axis: (pin.op, pin.rows) for pin in symmetry.pins if pin.parameter == "weight"}
    assert found == {0: (OUTPUTS, 3), 1: ("conv2d", 2), 3: ("conv2d", 5)}
    reason = pinning(symmetry, "weight", 3)["conv2d"]
    assert reason == "what stands along this axis keeps its place"


def test_a_number_is_pinned() -> None:
    class Offset(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.scale * x)

    symmetry = discover(Offset(), (torch.randn(3),))
    assert set(pinning(symmetry, "scale", 0)) == {"tanh"}


def test_calls_are_counted_and_the_first_modules_named() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 4)
            self.acts = nn.ModuleList(nn.Tanh() for _ in range(5))

        def forward(self, x: Tensor) -> Tensor:
            z = self.a(x)
            return torch.stack([act(z).sum() for act in self.acts])

    symmetry = discover(Many(), (torch.randn(5, 3),))
    (pin,) = [p for p in symmetry.pins if p.parameter == "a.bias"]
    assert (pin.calls, pin.where) == (5, ("acts.0", "acts.1", "acts.2"))
    assert str(pin).startswith("tanh ×5 in acts.0, acts.1, acts.2, …: ")


def test_pins_are_saved_and_older_files_have_none() -> None:
    symmetry = between(torch.tanh)
    data = to_dict(symmetry)
    assert from_dict(data).pins == symmetry.pins != ()
    del data["pins"]
    assert from_dict(data).pins == ()
