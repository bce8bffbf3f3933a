"""Rows of parameters in one pass, against sums and products written out."""

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.rows import BLOCK, row_dots, rows_of, scale
from tests.laws.measure import EPS
from tests.laws.subject import normal

SHAPES = [
    (),
    (5,),
    (4, 3),
    (1, 7),
    (6, 2, 3),
    (4, 3, 2, 2),
    (700, 300),
    (3, BLOCK + 5),
    (2 * BLOCK,),
]
"""From a scalar to parameters of several blocks, with short and long first axes."""


def ports_of(shape: tuple[int, ...]) -> list[ps.Port]:
    """A port along every axis."""
    return [ps.Port.along("w", shape or (1,), axis) for axis in range(max(1, len(shape)))]


@pytest.mark.parametrize("shape", SHAPES)
def test_row_dots(shape: tuple[int, ...], rng: torch.Generator) -> None:
    left, right = normal(shape, rng), normal(shape, rng)
    ports = ports_of(shape)
    found = row_dots(ports, {"w": left}, {"w": right})
    for port in ports:
        others = [a for a in range(len(port.view)) if a not in port.axes]
        product = (left * right).reshape(port.view)
        expected = product.sum(others) if others else product
        bound = 4 * EPS * left.numel() ** 0.5 * product.abs().sum(others or [])
        assert bool(((found[rows_of(port)] - expected.flatten()).abs() <= bound.max()).all())


@pytest.mark.parametrize("shape", SHAPES)
def test_scale(shape: tuple[int, ...], rng: torch.Generator) -> None:
    tensor = normal(shape, rng)
    before = tensor.clone()
    ports = ports_of(shape)
    factors = [normal(tuple(port.index.shape[:2]), rng).exp() for port in ports]
    expected = tensor.reshape(ports[0].view)
    for port, factor in zip(ports, factors, strict=True):
        expected = expected * port.spread(factor, 1.0)
    scaled = scale(tensor, list(zip(ports, factors, strict=True)))
    assert scaled.shape == tensor.shape
    torch.testing.assert_close(scaled, expected.reshape(shape), rtol=4 * EPS * 5, atol=0.0)
    assert torch.equal(tensor, before), "the parameter itself must not change"


@pytest.mark.parametrize("batched", ["rows", "columns", "both"])
def test_scale_under_vmap(batched: str, rng: torch.Generator) -> None:
    """One factor may be batched where the other is not, so nothing may be overwritten there."""
    tensor, ports = normal((4, 3), rng), ports_of((4, 3))
    rows, columns = normal((5, 1, 4), rng), normal((5, 1, 3), rng)

    def run(r: Tensor, c: Tensor) -> Tensor:
        return scale(tensor, [(ports[0], r), (ports[1], c)])

    dims = {"rows": (0, None), "columns": (None, 0), "both": (0, 0)}[batched]
    given = [x if d == 0 else x[0] for x, d in zip((rows, columns), dims, strict=True)]
    many = torch.func.vmap(run, in_dims=dims)(*given)
    for i in range(5):
        alone = run(*(x[i] if d == 0 else x for x, d in zip(given, dims, strict=True)))
        torch.testing.assert_close(many[i], alone, rtol=4 * EPS, atol=0.0)


def test_scale_keeps_the_graph(rng: torch.Generator) -> None:
    tensor, ports = normal((4, 3), rng).requires_grad_(), ports_of((4, 3))
    factors = [normal((1, 4), rng).requires_grad_(), normal((1, 3), rng).requires_grad_()]

    def run(w: Tensor, r: Tensor, c: Tensor) -> Tensor:
        return scale(w, [(ports[0], r), (ports[1], c)])

    assert torch.autograd.gradcheck(run, (tensor, *factors))
    assert torch.autograd.gradgradcheck(run, (tensor, *factors))
