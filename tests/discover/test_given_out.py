"""What a model gives out is kept, wherever it stands."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from paramsym.discovery import discover
from paramsym.discovery.given_out import tensors_in


class Holder:
    """An object that torch knows nothing of."""

    def __init__(self, value: Any) -> None:
        self.value, self.itself = value, self


@dataclasses.dataclass(slots=True)
class Slots:
    value: Any
    name: str = ""


class Returning(nn.Module):
    """Two layers; what is returned is made of the hidden layer and the output."""

    def __init__(self, make: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.a, self.b, self.make = nn.Linear(3, 4), nn.Linear(4, 2), make

    def forward(self, x: Tensor) -> Any:
        h = torch.relu(self.a(x))
        return self.make(h, self.b(h))


X = torch.randn(5, 3)


@pytest.mark.parametrize("hold", [Holder, Slots, lambda h: [Holder({"h": (h,)})]])
def test_what_an_object_holds_is_kept(hold: Callable[[Tensor], Any]) -> None:
    """The hidden layer is given out too, so that nothing may scale it."""
    assert len(discover(Returning(lambda _, y: (y, hold(y))), (X,))) == 1
    assert len(discover(Returning(lambda h, y: (y, hold(h))), (X,))) == 0


def test_a_distribution_is_its_tensors() -> None:
    found = discover(Returning(lambda _, y: Normal(y, y.exp())), (X,))
    assert [family.name for family in found] == ["a → b"]


def test_every_tensor_once_for_each_place() -> None:
    x, y = torch.zeros(2), torch.ones(2)
    held = [Holder(x), {"y": Slots((y, Holder(Slots(x))))}, None, 3, "text", nn.Linear(2, 2), Slots]
    assert [t.tolist() for t in tensors_in(held)] == [[0, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("nothing", [None, 1.0, "text", {}, Holder(3)])
def test_a_model_that_returns_no_tensor(nothing: Any) -> None:
    with pytest.raises(ValueError, match="returns no tensor, so that there is no function"):
        discover(Returning(lambda *_: nothing), (X,), verify=False)
