"""Laws over dense networks whose widths, depth, degree, biases and dtype Hypothesis draws."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.activations import ACTIVATIONS, Activation, relu_power
from tests.laws.laws import LAWS
from tests.laws.networks import dense
from tests.laws.precision_laws import agreement
from tests.laws.subject import Subject

WIDTHS = st.lists(st.integers(1, 6), min_size=3, max_size=5).map(tuple)

DRAWN_LAWS = (
    "product",
    "inverse",
    "invariance",
    "noether",
    "derivative",
    "adjoint",
    "conservation",
    "quantity",
    "drift",
    "angular_momentum",
    "dense_action",
    "dense_moment",
    "json_round_trip",
)


@st.composite
def activations(draw: st.DrawFn) -> Activation:
    """A named activation, or ReLU^α for any α in [1, 3]."""
    if draw(st.booleans()):
        return ACTIVATIONS[draw(st.sampled_from(sorted(ACTIVATIONS)))]
    alpha = draw(st.floats(1.0, 3.0))
    return Activation(relu_power(alpha), "scaling", alpha)


@st.composite
def networks(draw: st.DrawFn) -> Subject:
    """A generic dense network with the families of its hidden spaces."""
    bias, seed = draw(st.booleans()), draw(st.integers(0, 2**16))
    return dense(draw(activations()), draw(WIDTHS), bias=bias, seed=seed)


@pytest.mark.parametrize("law", DRAWN_LAWS)
@given(network=networks(), seed=st.integers(0, 2**16))
def test_law_holds(law: str, network: Subject, seed: int) -> None:
    assert LAWS[law](network, torch.Generator().manual_seed(seed)) <= 1


@given(network=networks())
def test_dimensions_are_ranks(network: Subject) -> None:
    for law in ("orbit_dimension", "law_dimension"):
        assert LAWS[law](network, torch.Generator()) <= 1, law


@given(
    network=networks(),
    seed=st.integers(0, 2**16),
    low=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    mixed=st.booleans(),
)
def test_dtypes(network: Subject, seed: int, low: torch.dtype, mixed: bool) -> None:
    dtypes = {k: torch.float32 if mixed and p.ndim == 1 else low for k, p in network.params.items()}
    assert agreement(network, torch.Generator().manual_seed(seed), dtypes) <= 1
