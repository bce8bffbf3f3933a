"""Canonical points of whole architectures: their gains, shifts, rotations, orders and signs."""

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.discrete.groups import Permutations, Signs
from paramsym.orbit.canonical_gains import DEGENERATE, held_gains
from tests.zoo.registry import made

FAMILIAR = ("gpt2", "llama", "bert", "vit", "cnn", "lstm")
OTHERS = (
    "qwen2", "gemma", "phi", "mixtral", "gpt-neox", "gpt-j", "falcon", "t5", "clip", "swin",
    "convnext", "resnet", "unet", "mamba2", "albert", "gru", "deberta-v2", "whisper", "detr",
    "segformer",
)  # fmt: skip
"""RoPE in part, gains 1 + γ, experts, norms without biases, towers, layer scales, signs that only
products of entries determine, shared layers, tables with fewer rows than columns, weights that
nothing reaches, projections with fewer columns than rows."""

SEEDS = (1, 2)


@dataclass(frozen=True, eq=False)
class Case:
    """A model with its exact symmetry, at parameters that are not those of initialisation."""

    model: nn.Module
    args: tuple[Tensor, ...]
    symmetry: ps.Symmetry
    start: dict[str, Tensor]
    trained: dict[str, Tensor]

    def outputs(self, params: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            return torch.func.functional_call(self.model, params, self.args)


@cache
def case(name: str) -> Case:
    model, args = made(name)
    model = model.double()
    args = tuple(x.double() if x.is_floating_point() else x for x in args)
    found = ps.discover(model, args, verify=False)
    exact = [f.name for f in found if not f.exactness.as_eps_vanishes]
    symmetry = found.select(*exact, *(f.name for f in found.discrete))
    start = {k: p.detach().clone() for k, p in found.params(model).items()}
    rng = torch.Generator().manual_seed(0)
    trained = {
        k: p + 0.05 * torch.randn(p.shape, generator=rng, dtype=p.dtype) for k, p in start.items()
    }
    return Case(model, args, symmetry, start, trained)


def moved(case: Case, params: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    g = case.symmetry.sample(0.3, generator=rng, discrete=True)
    return case.symmetry.act(g, params)


def relative(p: Tensor, q: Tensor, scale: float) -> float:
    return float((p - q).norm()) / scale if p.is_floating_point() else 0.0


def norm(params: dict[str, Tensor]) -> float:
    return float(torch.stack([p.norm() for p in params.values() if p.is_floating_point()]).norm())


def check_orbit(case: Case, params: dict[str, Tensor], seeds: tuple[int, ...]) -> None:
    found = ps.canonical(case.symmetry, params)
    assert found.is_unique, (found.ties, found.unfixed)
    size = norm(found.params)
    bound = 64 * torch.finfo(torch.float64).eps * found.condition
    assert bound < DEGENERATE
    for seed in seeds:
        there = moved(case, params, seed)
        again = ps.canonical(case.symmetry, there)
        bound = max(bound, 64 * torch.finfo(torch.float64).eps * again.condition)
        assert max(relative(p, again.params[k], size) for k, p in found.params.items()) <= bound
        verdict = ps.same_orbit(case.symmetry, params, there)
        assert verdict.holds
        assert verdict.element is not None
        back = case.symmetry.act(verdict.element, params)
        assert max(relative(p, back[k], norm(there)) for k, p in there.items()) <= bound
    there = moved(case, params, seeds[0])
    assert ps.orbit_distance(case.symmetry, params, there) <= bound * size


@pytest.mark.parametrize("name", FAMILIAR)
def test_all_points_of_an_orbit_have_one(name: str) -> None:
    it = case(name)
    check_orbit(it, it.trained, SEEDS)
    check_orbit(it, it.start, SEEDS[:1])


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_others(name: str) -> None:
    it = case(name)
    check_orbit(it, it.trained, SEEDS[:2])


@pytest.mark.parametrize("name", ["gpt-j"])
def test_at_initialisation_readers_without_biases_rest(name: str) -> None:
    """Biases of LayerNorms are zero there, so that only the sums of readers move."""
    it = case(name)
    assert any(isinstance(f.group, ps.HyperplaneFixing) for f in it.symmetry)
    check_orbit(it, it.start, SEEDS[:1])


@pytest.mark.parametrize("name", ["gpt2", "vit", "cnn", "lstm"])
def test_the_function_stays(name: str) -> None:
    it = case(name)
    found = ps.canonical(it.symmetry, it.trained)
    before, after = it.outputs(it.trained), it.outputs(found.params)
    assert float((after - before).abs().max() / before.abs().max()) <= 1e-12


@pytest.mark.parametrize("name", FAMILIAR)
def test_a_weight_that_changed_is_seen(name: str) -> None:
    """One entry of every matrix that something moves, in turn; then a random element."""
    it = case(name)
    matrices = [k for k, p in it.trained.items() if p.ndim > 1]
    for k in matrices[1 :: max(1, len(matrices) // 2)]:
        other = {n: p.clone() for n, p in it.trained.items()}
        other[k].view(-1)[1] += 1e-4
        verdict = ps.same_orbit(it.symmetry, it.trained, moved(it, other, 5))
        assert verdict.holds is False, (k, verdict.reason)
        assert ps.orbit_distance(it.symmetry, it.trained, other) > 1e-6


@pytest.mark.parametrize("name", ["gpt2", "cnn"])
def test_in_single_precision(name: str) -> None:
    """Biases that are zero at initialisation are rounding after a move, and decide no sign."""
    it = case(name)
    start = {k: p.float() if p.is_floating_point() else p for k, p in it.start.items()}
    verdict = ps.same_orbit(it.symmetry, start, moved(it, start, 3))
    assert verdict.holds
    assert 1e-9 < verdict.distance < 1e-5


def test_elements_are_drawn_from_all_components() -> None:
    it = case("llama")
    rng = torch.Generator().manual_seed(4)
    g = it.symmetry.sample(0.1, generator=rng, discrete=True)
    kinds = {type(group) for group in g.groups}
    assert {Permutations, Signs} <= kinds
    flips = [t for t, group in zip(g.tensors, g.groups, strict=True) if isinstance(group, Signs)]
    assert any(bool((t < 0).any()) for t in flips)


def test_a_gain_of_zero_is_told() -> None:
    """A rotation does not act there, nor does the scaling that makes a gain 1."""
    it = case("cnn")
    params = {k: p.clone() for k, p in it.trained.items()}
    (gain,) = held_gains(it.symmetry)
    params[gain.port.parameter][0] = 0.0
    assert gain.family.name in ps.canonical(it.symmetry, params).unfixed


class PostNorm(nn.Module):
    """A stream that attention reads before any norm, so that its mean may depend on the rest."""

    def __init__(self, bias: bool, norm_first: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.first = nn.LayerNorm(6, eps=0.0) if norm_first else nn.Identity()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True, bias=bias)
        self.norm = nn.Identity() if norm_first else nn.LayerNorm(6, eps=0.0)
        self.head = nn.Linear(6, 3, bias=bias)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.first(self.embed(tokens))
        return self.head(self.norm(x + self.attention(x, x, x, need_weights=False)[0]))


def post_norm(**options: bool) -> tuple[ps.Symmetry, dict[str, Tensor], nn.Module]:
    torch.manual_seed(0)
    model = PostNorm(**options).double()
    found = ps.discover(model, (torch.randint(0, 20, (2, 4)),), verify=False)
    exact = [f.name for f in found if not f.exactness.as_eps_vanishes]
    assert any(isinstance(found[name].group, ps.HyperplaneFixing) for name in exact)
    symmetry = found.select(*exact, *(f.name for f in found.discrete))
    return symmetry, {k: p.detach().clone() for k, p in model.named_parameters()}, model


def test_sums_of_embeddings_rest() -> None:
    """Maps along the mean of a stream are fixed where it is written by embeddings alone."""
    symmetry, params, model = post_norm(bias=False, norm_first=False)
    found = ps.canonical(symmetry, params)
    assert found.is_unique, (found.ties, found.unfixed)
    tokens = torch.randint(0, 20, (2, 4))
    before, after = (torch.func.functional_call(model, p, tokens) for p in (params, found.params))
    assert float((after - before).abs().max() / before.abs().max()) <= 1e-12
    g = symmetry.sample(0.3, generator=torch.Generator().manual_seed(1), discrete=True)
    there = ps.canonical(symmetry, symmetry.act(g, params))
    for k, p in found.params.items():
        assert float((p - there.params[k]).abs().max()) <= 1e-10
    assert ps.same_orbit(symmetry, params, symmetry.act(g, params)).holds


def test_sums_that_shifts_move_too_are_told() -> None:
    """Biases behind take up what all rows of an embedding have in common."""
    symmetry, params, _ = post_norm(bias=True, norm_first=False)
    (family,) = (f for f in symmetry if isinstance(f.group, ps.HyperplaneFixing))
    assert ps.canonical(symmetry, params).unfixed == (family.name,)


def test_norms_whose_writers_move_are_told() -> None:
    """A bias that does not have mean zero fixes all that a hyperplane's maps do; one of mean zero
    does not, where other writers have sums."""
    symmetry, params, _ = post_norm(bias=False, norm_first=True)
    (family,) = (f for f in symmetry if isinstance(f.group, ps.HyperplaneFixing))
    assert ps.canonical(symmetry, params).unfixed == (family.name,)
    rng = torch.Generator().manual_seed(1)
    params["first.bias"] = torch.randn(6, generator=rng, dtype=torch.float64)
    there = symmetry.act(symmetry.sample(0.3, generator=rng, discrete=True), params)
    ends = [ps.canonical(symmetry, p) for p in (params, there)]
    assert all(end.is_unique for end in ends)
    for k, p in ends[0].params.items():
        assert float((p - ends[1].params[k]).abs().max()) <= 1e-10
