"""Shared settings of the tests: explicit randomness, repeatable property tests."""

import pytest
import torch
from hypothesis import HealthCheck, settings

# Full messages for the assertions of shared checks, which other tests may import first.
pytest.register_assert_rewrite("tests.discover.checking", "tests.discover.cases")

settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


@pytest.fixture
def rng() -> torch.Generator:
    """A fresh generator with a fixed seed, so that no test depends on another's draws."""
    return torch.Generator().manual_seed(20230501)
