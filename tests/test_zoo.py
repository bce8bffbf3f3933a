"""Every built-in model: repeatable, and its symmetry found and verified."""

import pytest
import torch

from paramsym.discovery import discover
from paramsym.zoo import BUILTIN

FOUND = {
    "mlp": ["T₊(32)", "T₊(16)"],
    "mlp-linear": ["GL(8)", "R^8", "GL(6)", "R^6"],
    "mlp-radial": ["O(12)"],
    "cnn": ["T₊(8)", "T₊(16)", "T₊(32)", "GL(8)", "R^8"],
}


@pytest.mark.parametrize("name", BUILTIN)
def test_discovered_and_verified(name: str) -> None:
    model, args = BUILTIN[name]()
    symmetry = discover(model, args)
    assert len(symmetry) > 0
    assert all(family.verified for family in symmetry)
    assert symmetry.verification is not None
    assert symmetry.verification.holds
    assert not symmetry.verification.withdrawn
    assert not symmetry.barriers
    assert not symmetry.unused


@pytest.mark.parametrize("name", FOUND)
def test_groups(name: str) -> None:
    model, args = BUILTIN[name]()
    found = [str(family.group) for family in discover(model, args, verify=False)]
    assert found == FOUND[name]


def test_residual_scalings() -> None:
    model, args = BUILTIN["resnet-tiny"]()
    symmetry = discover(model, args, verify=False)
    # One scale for every channel of a convolution before a batch norm, and one for every channel
    # of a ReLU: 8 (stem) + 8 (stream) + 3·8 (block 1) + 16·5 (block 2). And the biases of the two
    # batch norms that are added in block 2: what one gains the other may lose, 16.
    assert symmetry.dim == symmetry.group_dim == 136


@pytest.mark.parametrize("name", BUILTIN)
def test_a_factory_repeats_itself(name: str) -> None:
    torch.manual_seed(1)
    first, args = BUILTIN[name]()
    torch.manual_seed(2)
    second, again = BUILTIN[name]()
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q)
    assert all(torch.equal(a, b) for a, b in zip(args, again, strict=True))


@pytest.mark.parametrize("name", BUILTIN)
def test_a_line_describes_it(name: str) -> None:
    lines = (BUILTIN[name].__doc__ or "").strip().splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(".")
