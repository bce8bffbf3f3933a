"""Hand-written families of transformer blocks explain every flat direction there is.

The laws (tests/laws) run over these models too. Here the rank of their infinitesimal action is held
against the nullity of the Jacobian of all outputs: nothing is missing, nothing is too much.
"""

from collections.abc import Callable

import pytest
import torch

from tests.blocks.gpt2_families import gpt2_subject
from tests.blocks.llama_families import llama_subject
from tests.blocks.nullity import GAP, NullSpace, output_jacobian, tangents
from tests.laws.laws import LAWS
from tests.laws.measure import EPS
from tests.laws.subject import Subject
from tests.laws.subjects import subject

MODELS = [
    pytest.param(lambda: gpt2_subject(layers=1, tied=True), 173, id="gpt2, 1 layer, tied"),
    pytest.param(
        lambda: gpt2_subject(layers=2, tied=False),
        396,
        id="gpt2, 2 layers, untied",
        marks=pytest.mark.slow,
    ),
    pytest.param(lambda: llama_subject(layers=1), 83, id="llama, 1 layer"),
    pytest.param(lambda: llama_subject(layers=2), 129, id="llama, 2 layers"),
]


@pytest.mark.parametrize(("build", "count"), MODELS)
def test_rank_is_nullity(build: Callable[[], Subject], count: int, rng: torch.Generator) -> None:
    model = build()
    parameters = sum(p.numel() for p in model.params.values())
    outputs = model.forward(model.params, model.inputs)[0].numel()
    rows = (1 + 5 * parameters // (2 * outputs), *model.inputs.shape[1:])
    jacobian = output_jacobian(model, torch.randint(0, 13, rows, generator=rng))
    flat = NullSpace.of(jacobian)
    assert flat.null < 1e-3 * GAP < 1e3 * GAP < flat.kept, "the spectrum has no clear gap"
    fields = tangents(model)
    slopes = (fields @ jacobian.T).norm(dim=1)
    assert slopes.max() <= 16 * EPS * parameters * torch.linalg.matrix_norm(jacobian, 2)
    assert model.symmetry.orbit_dim(model.params) == flat.dim == count
    assert model.symmetry.dim == count


@pytest.mark.parametrize("name", ["gpt2", "gpt2 untied", "llama"])
def test_no_family_is_superfluous(name: str) -> None:
    model = subject(name)
    whole = model.symmetry.orbit_dim(model.params)
    names = [family.name for family in model.symmetry]
    for left_out in names:
        others = model.symmetry.select(*(n for n in names if n != left_out))
        assert others.orbit_dim(model.params) < whole, left_out


@pytest.mark.parametrize("law", LAWS)
def test_laws_hold_for_two_layers(law: str, rng: torch.Generator) -> None:
    for model in (gpt2_subject(layers=2, tied=False), llama_subject(layers=2)):
        assert LAWS[law](model, rng) <= 1


@pytest.mark.parametrize(("heads", "kv_heads"), [(2, 2), (4, 2), (4, 1)])
def test_grouped_queries(heads: int, kv_heads: int, rng: torch.Generator) -> None:
    model = llama_subject(layers=1, heads=heads, kv_heads=kv_heads)
    for law in ("invariance", "derivative", "conservation", "dense_action", "orbit_dimension"):
        assert LAWS[law](model, rng) <= 1, law
