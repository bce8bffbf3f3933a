"""Modules under FSDP2: moved, trained, resharded, in mixed precision."""

import math
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

import paramsym as ps
from tests.blocks.gpt2 import Gpt2
from tests.blocks.gpt2_families import Gpt2Families
from tests.blocks.llama import Llama
from tests.blocks.llama_families import LlamaFamilies
from tests.blocks.randomize import randomized
from tests.laws.measure import EPS, distance
from tests.sharded.layouts import gathered, generator, mesh
from tests.sharded.processes import Processes


def _perceptron() -> tuple[nn.Module, ps.Symmetry, Tensor]:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 7), nn.Linear(7, 2)).double()
    randomized(model, 1)
    x = torch.randn(6, 3, dtype=torch.float64, generator=generator())
    return model, ps.discover(model, (x,)), x


def _convolutions() -> tuple[nn.Module, ps.Symmetry, Tensor]:
    layers = (nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 3))
    model = nn.Sequential(*layers).double()
    randomized(model, 1)
    x = torch.randn(4, 1, 4, 4, dtype=torch.float64, generator=generator())
    return model, ps.discover(model, (x,)), x


def _gpt2() -> tuple[nn.Module, ps.Symmetry, Tensor]:
    model = Gpt2(layers=1)
    randomized(model, 1)
    tokens = torch.randint(0, 13, (4, 6), generator=generator())
    return model, ps.Symmetry.of(Gpt2Families(model).all(), model), tokens


def _llama() -> tuple[nn.Module, ps.Symmetry, Tensor]:
    model = Llama(layers=1, kv_heads=1, heads=2)
    randomized(model, 1)
    tokens = torch.randint(0, 13, (4, 6), generator=generator())
    return model, ps.Symmetry.of(LlamaFamilies(model).all(), model), tokens


MODELS: dict[str, Callable[[], tuple[nn.Module, ps.Symmetry, Tensor]]] = {
    "perceptron": _perceptron,
    "convolutions": _convolutions,
    "gpt2": _gpt2,
    "llama": _llama,
}


def _sharded(model: nn.Module, **how: object) -> None:
    """Blocks first, then the rest, as one does."""
    on = mesh(2)
    for part in model.modules():
        if type(part).__name__ in ("Block", "Layer", "Conv2d"):
            fully_shard(part, mesh=on, **how)  # pyright: ignore[reportCallIssue,reportArgumentType]
    fully_shard(model, mesh=on, **how)  # pyright: ignore[reportCallIssue,reportArgumentType]


def _parameters(model: nn.Module) -> dict[str, Tensor]:
    return {k: p.detach() for k, p in model.named_parameters()}


def _loss(model: nn.Module, x: Tensor) -> Tensor:
    return model(x).square().mean()


def _step(optimizer: torch.optim.Optimizer, model: nn.Module, x: Tensor) -> None:
    _loss(model, x).backward()
    optimizer.step()
    optimizer.zero_grad()


def _gap(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    return distance(gathered(found), expected)


def moving_and_training(name: str) -> list[float]:
    """Move a sharded model and a whole one, train both for a step, and compare all there is."""
    (whole, symmetry, x), (model, _, _) = MODELS[name](), MODELS[name]()
    _sharded(model)
    # Before any forward pass, which leaves the parameters of the root gathered.
    steps = [torch.optim.SGD(each.parameters(), lr=1e-2) for each in (whole, model)]
    g = symmetry.sample(generator=generator(), discrete=True)
    before = whole(x).detach()
    symmetry.act_(g, whole)
    symmetry.act_(g, model)
    params = _parameters(model)
    assert all(isinstance(p, DTensor) for p in params.values())
    gaps = [_gap(params, _parameters(whole)), float((model(x).detach() - before).abs().max())]
    for optimizer, each in zip(steps, (whole, model), strict=True):
        _step(optimizer, each, x)
    params = _parameters(model)
    gaps.append(_gap(params, _parameters(whole)))
    gaps.append(_gap(symmetry.conserved(params), symmetry.conserved(_parameters(whole))))
    return gaps


@pytest.mark.parametrize("name", list(MODELS))
def test_a_sharded_model_moves_and_trains_as_a_whole_one(name: str, pair: Processes) -> None:
    for gaps in pair.run(moving_and_training, name):
        # A few hundred products and sums of numbers near one, through a gradient and back.
        assert max(gaps) <= 1e4 * EPS, gaps


def gradient_moments() -> float:
    """⟨∇L, M·θ⟩ = 0 of sharded gradients, relative to ‖∇L‖‖θ‖ (Proposition 3.4)."""
    model, symmetry, x = _gpt2()
    _sharded(model)
    _loss(model, x).backward()
    gradient = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    params = _parameters(model)
    moments = symmetry.moment(params, gradient)
    sizes = [
        math.sqrt(sum(float(p.square().sum()) for p in gathered(tree).values()))
        for tree in (params, gradient)
    ]
    return max(float(P.abs().max()) for P in moments.values()) / math.prod(sizes)


def test_gradients_are_orthogonal_to_the_orbit(pair: Processes) -> None:
    assert max(pair.run(gradient_moments)) <= 1e3 * EPS


def gathered_parameters_are_moved() -> tuple[bool, float]:
    """After a forward pass the parameters of the root are gathered: what is written there is lost,
    unless the module is resharded first."""
    (whole, symmetry, _), (model, _, _) = _perceptron(), _perceptron()
    _sharded(model)
    assert isinstance(model, FSDPModule)
    model.unshard()
    was_gathered = not any(isinstance(p, DTensor) for p in model.parameters())
    g = symmetry.sample(generator=generator())
    symmetry.act_(g, model)
    symmetry.act_(g, whole)
    model.unshard()
    model.reshard()
    return was_gathered, _gap(_parameters(model), _parameters(whole))


def test_gathered_parameters_are_moved(pair: Processes) -> None:
    for was_gathered, gap in pair.run(gathered_parameters_are_moved):
        assert was_gathered
        assert gap <= 1e2 * EPS


def mixed_precision() -> tuple[set[torch.dtype], float]:
    """Computation in bfloat16, masters in float64: what is moved and conserved are the masters."""
    (whole, symmetry, x), (model, _, _) = _perceptron(), _perceptron()
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    _sharded(model, mp_policy=policy)
    _loss(model, x.bfloat16()).backward()
    g = symmetry.sample(generator=generator())
    symmetry.act_(g, model)
    symmetry.act_(g, whole)
    params = _parameters(model)
    found, expected = symmetry.conserved(params), symmetry.conserved(_parameters(whole))
    gap = max(_gap(params, _parameters(whole)), _gap(found, expected))
    return {p.dtype for p in params.values()}, gap


def test_mixed_precision(pair: Processes) -> None:
    for dtypes, gap in pair.run(mixed_precision):
        assert dtypes == {torch.float64}
        assert gap <= 1e3 * EPS
