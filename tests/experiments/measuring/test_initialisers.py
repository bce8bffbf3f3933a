"""The moments of Q that initialisers imply, against many draws."""

import math

import pytest
import torch

from paramsym.experiments.measuring.initialisers import INITIALISERS

DRAWS = 600
WIDTHS = [(5, 3, 4), (3, 6, 2), (2, 5, 5)]


@pytest.mark.parametrize("name", INITIALISERS)
@pytest.mark.parametrize("widths", WIDTHS)
def test_moments_are_those_of_draws(name: str, widths: tuple[int, int, int]) -> None:
    """With plain products of the weights; each within five standard errors."""
    generator = torch.Generator().manual_seed(3)
    initialiser = INITIALISERS[name]
    expected = initialiser.moments(*widths)
    neurons, matrices = [], []
    for _ in range(DRAWS):
        first, second = initialiser.draw(widths, "relu", generator).layers
        V, b = first.get_parameter("weight"), first.get_parameter("bias")
        U = second.get_parameter("weight")
        neurons.append((V.square().sum(1) + b.square() - U.square().sum(0)).detach())
        first, second = initialiser.draw(widths, "identity", generator).layers
        V, U = first.get_parameter("weight"), second.get_parameter("weight")
        matrices.append((V @ V.T - U.T @ U).square().sum().detach() / widths[1])
    Q, matrix = torch.stack(neurons), torch.stack(matrices)
    scale = (expected.written + expected.read) ** 2
    for values, value in (
        (Q.mean(1), expected.mean),
        ((Q - expected.mean).square().mean(1), expected.variance),
        ((Q.mean(1) - expected.mean).square(), expected.of_mean),
        (matrix, expected.matrix),
    ):
        error = float(values.std()) / math.sqrt(DRAWS)
        assert abs(float(values.mean()) - value) <= 5 * error + 1e-12 * scale


@pytest.mark.parametrize("name", INITIALISERS)
def test_the_generator_decides_the_draw(name: str) -> None:
    first, same, other = (
        INITIALISERS[name].draw((3, 4, 2), "relu", torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    for (key, p), q, r in zip(
        first.named_parameters(), same.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(p, q)
        assert "bias" in key or not torch.equal(p, r)


def test_orthogonal_square_weights_are_balanced() -> None:
    expected = INITIALISERS["orthogonal"].moments(6, 4, 5)
    assert (expected.mean, expected.variance, expected.matrix) == (0, 0, 0)
