"""Discrete families of random models hold before they are checked."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn

from paramsym.discovery.naming import distinct_names
from paramsym.discovery.permuting.assembly import assemble
from paramsym.discovery.permuting.checking import check
from paramsym.discovery.permuting.walk import walk
from paramsym.discovery.points import Points
from tests.discover.checking import Args
from tests.discover.discrete_cases import recorded
from tests.discover.graphs import graphs
from tests.discover.sequences import sequences


def assert_sound(drawn: tuple[nn.Module, Args]) -> None:
    """What is claimed before it is checked holds, and no rule fails."""
    recording = recorded(*drawn)
    families = distinct_names(assemble(walk(recording, strict=True)))
    assert check(families, Points(recording, 0), seed=0)[1] == [], drawn[0]


@settings(max_examples=30)
@given(graphs())
def test_random_vectors(drawn: tuple[nn.Module, Args]) -> None:
    assert_sound(drawn)


@settings(max_examples=30)
@given(sequences())
def test_random_sequences(drawn: tuple[nn.Module, Args]) -> None:
    assert_sound(drawn)


@pytest.mark.slow
@settings(max_examples=1000)
@given(graphs())
def test_many_random_vectors(drawn: tuple[nn.Module, Args]) -> None:
    assert_sound(drawn)


@pytest.mark.slow
@settings(max_examples=1000)
@given(graphs(images=True))
def test_many_random_images(drawn: tuple[nn.Module, Args]) -> None:
    assert_sound(drawn)


@pytest.mark.slow
@settings(max_examples=1000)
@given(sequences())
def test_many_random_sequences(drawn: tuple[nn.Module, Args]) -> None:
    assert_sound(drawn)


class Latent(nn.Module):
    """Keys and values of a head stand beside one another in one projection."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv, self.o = nn.Linear(3, 4), nn.Linear(3, 8), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x).unflatten(-1, (2, 2)).transpose(1, 2)
        k, v = self.kv(x).unflatten(-1, (2, 4)).transpose(1, 2).chunk(2, -1)
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def test_parts_of_heads() -> None:
    """Heads change places; keys are no part of their own, and the queries stand still with them."""
    torch.manual_seed(0)
    args = (torch.randn(2, 4, 3),)
    families = assemble(walk(recorded(Latent(), args), strict=True))
    assert [str(family.group) for family in families] == ["S(2)", "Z₂^2"]
    assert all(len(family.ports) >= 2 for family in families)
    assert_sound((Latent(), args))
