"""The order of coordinates, and parameters that are none."""

import pytest
import torch

from paramsym.landscape import coordinates


def test_order(rng: torch.Generator) -> None:
    params = {
        "b": torch.arange(6.0).view(2, 3),
        "a": torch.arange(6.0, 8.0),
        "c": torch.tensor(8.0),
    }
    order = coordinates(params)
    assert order.dim == 9
    vector = order.flatten(params)
    torch.testing.assert_close(vector, torch.arange(9.0))
    back = order.unflatten(vector)
    assert list(back) == ["b", "a", "c"]
    for name, p in params.items():
        torch.testing.assert_close(back[name], p)


def test_a_tensor_under_two_names_is_one_parameter() -> None:
    shared = torch.arange(4.0)
    order = coordinates({"a": shared, "b": torch.zeros(2), "c": shared})
    assert (order.dim, dict(order.aliases)) == (6, {"c": "a"})
    back = order.unflatten(torch.arange(6.0))
    assert back["c"] is back["a"]


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="`params` must be a dict of tensors"):
        coordinates([torch.ones(2)])  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"`params\['a'\]` must be a floating-point tensor"):
        coordinates({"a": torch.ones(2).int()})
    with pytest.raises(TypeError, match=r"`params\['a'\]` must be a floating-point tensor"):
        coordinates({"a": 1.0})  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"`params\['a'\]` must be finite"):
        coordinates({"a": torch.ones(2) / 0})
    for nothing in ({}, {"a": torch.ones(0)}):
        with pytest.raises(ValueError, match="`params` must hold at least one number"):
            coordinates(nothing)
    with pytest.raises(ValueError, match=r"`vector` must have shape \(2,\).*got \(3,\)"):
        coordinates({"a": torch.ones(2)}).unflatten(torch.ones(3))
