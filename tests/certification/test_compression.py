"""Units that can go, and the model without them."""

import pytest
import torch
from torch import nn

from paramsym.certification import Unit, certify, without_units
from tests.certification.test_certify import with_exceptions


def inputs() -> torch.Tensor:
    return torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_the_function_is_the_same_without_them() -> None:
    model = with_exceptions()
    units = certify(model, (torch.randn(1, 3),), at="here").units
    smaller = without_units(model, units, inputs())
    assert len(units) == 3
    assert [p.shape[0] for p in smaller.parameters()] == [3, 3, 2, 2]
    x = 3 * inputs()
    assert torch.allclose(smaller(x), model(x), rtol=1e-12, atol=1e-10)  # biases of 1e3
    # Nothing else can go, and the old model is as it was.
    assert certify(smaller, (torch.randn(1, 3),), at="here").units == ()
    assert model[0].out_features == 6


def test_two_layers_at_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    model = model.double()
    with torch.no_grad():
        for layer in (model[0], model[2]):
            assert isinstance(layer, nn.Linear)
            layer.weight[1], layer.bias[1] = -layer.weight[0], -layer.bias[0]
            layer.weight[3] = 0.0
    units = certify(model, (torch.randn(1, 3),), at="here").units
    assert [(u.unit, u.kind) for u in units] == 2 * [(1, "duplicate"), (3, "constant")]
    smaller = without_units(model, units, inputs())
    assert torch.allclose(smaller(inputs()), model(inputs()), rtol=1e-12, atol=1e-12)


class TestBadInput:
    def test_another_kind_of_model(self) -> None:
        with pytest.raises(TypeError, match=r"must be an nn\.Sequential"):
            without_units(nn.Linear(3, 2), [], inputs())  # pyright: ignore[reportArgumentType]

    @pytest.mark.parametrize("layer", ["0.weight", "1.weight", "head.weight", "2.bias"])
    def test_a_layer_that_does_not_read_units(self, layer: str) -> None:
        with pytest.raises(ValueError, match="must be the weight of an"):
            without_units(with_exceptions(), [Unit(layer, 0, "dead")], inputs())

    def test_units_that_do_something(self) -> None:
        for unit in (
            Unit("2.weight", 2, "dead"),
            Unit("2.weight", 2, "constant"),
            Unit("2.weight", 2, "duplicate", 4),
        ):
            with pytest.raises(ValueError, match=f"is not {unit.kind} on these inputs"):
                without_units(with_exceptions(), [unit], inputs())

    def test_no_bias_for_a_constant(self) -> None:
        model = with_exceptions()
        model[2] = nn.Linear(6, 2, bias=False).double()
        with pytest.raises(ValueError, match="no bias"):
            without_units(model, [Unit("2.weight", 1, "constant")], inputs())
