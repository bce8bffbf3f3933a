"""Every law over every registered subject."""

import pytest
import torch

from tests.laws.laws import LAWS
from tests.laws.subjects import SUBJECTS, subject


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", SUBJECTS)
def test_law_holds(name: str, law: str, rng: torch.Generator) -> None:
    ratio = LAWS[law](subject(name), rng)
    assert ratio <= 1, f"{law} on {name}: residual is {ratio:.1e} of its bound"
