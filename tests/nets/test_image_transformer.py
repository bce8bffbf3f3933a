"""The small transformer of images."""

import pytest
import torch

import paramsym as ps
from paramsym.nets import ImageTransformer


def test_it_classifies_and_has_the_symmetries_of_its_parts(rng: torch.Generator) -> None:
    net = ImageTransformer((2, 4, 3), width=8, heads=2, inner=5, blocks=1, generator=rng).eval()
    x = torch.randn(6, 2, 4, 3, generator=rng)
    assert net(x).shape == (6, 10)
    assert not torch.equal(net(x), net(x.flip(2)))  # rows have positions
    groups = [str(family.group) for family in ps.discover(net, (x,))]
    assert groups.count("GL(4) × 2") == 2  # queries and keys, values and outputs
    assert "T₊(5)" in groups


@pytest.mark.parametrize("wrong", [{"shape": (8, 8)}, {"heads": 3}, {"inner": 0}])
def test_bad_sizes(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a multiple of `heads`; got"):
        ImageTransformer(**wrong)  # pyright: ignore[reportArgumentType]
