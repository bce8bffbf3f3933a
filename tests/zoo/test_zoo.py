"""Real architectures: every family found leaves the function alone, and none is lost.

A dozen and a half run every day; `make zoo` runs all.
"""

import copy
import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from paramsym import Symmetry
from paramsym.discovery import discover
from tests.zoo import golden
from tests.zoo.registry import load, made
from tests.zoo.running import Double, relative

BOUND = 1e-12
"""Relative change of the output that rounding in float64 may make."""
FELT = 1e-8
"""Least change of the output under a random move of the same size, or the check would be empty."""

ALL = [
    pytest.param(name, marks=[] if entry.in_ci else [pytest.mark.slow], id=name)
    for name, entry in load().items()
]


@pytest.mark.parametrize("name", ALL)
def test_an_architecture(name: str) -> None:
    model, args = made(name)
    before = State(model)
    symmetry = discover(model, args)
    faults = [
        *before.changes(model),
        *verification(symmetry),
        *invariance(name, symmetry, model, args),
        *unexplained(symmetry),
    ]
    record = golden.read()
    assert name in record, f"{name} is not in {golden.FILE.name}: run `make golden`"
    lost = golden.differences(record[name], golden.summary(symmetry))
    if lost:
        faults.append("if the following is meant, run `make golden` and commit the file")
    assert not (faults + lost), "\n".join(["", *faults, *lost])


def test_the_record_is_of_this_zoo() -> None:
    assert set(golden.read()) == set(load())


def verification(symmetry: Symmetry) -> Iterator[str]:
    """What discovery says of its own check."""
    check = symmetry.verification
    if check is None:
        yield "unverified"
        return
    if not check.holds:
        yield f"verification does not hold: {check}"
    yield from (f"withdrawn: {name}" for name in check.withdrawn)
    every = (*symmetry.families, *symmetry.discrete)
    yield from (f"unverified: {family.name}" for family in every if not family.verified)


def invariance(
    model_name: str, symmetry: Symmetry, model: nn.Module, args: tuple[Tensor, ...]
) -> Iterator[str]:
    """A joint element, and one confined to each family, on the model itself in float64."""
    run = Double(model, args)
    reference = run(run.params)
    rng = torch.Generator().manual_seed(1)
    idle = load()[model_name].idle
    parts = [symmetry] + [symmetry.select(family.name) for family in symmetry if len(symmetry) > 1]
    for part in parts if len(symmetry) else []:
        name = "all families" if part is symmetry else part.families[0].name
        moved = part.act(part.sample(0.1, generator=rng), run.params, check=True)
        change = relative(run(moved) - reference, reference)
        if not change <= BOUND:
            yield f"{name}: the output changes by {change:.1e}"
        felt = relative(run(shuffled(run.params, moved, rng)) - reference, reference)
        moves = frozenset[str]().union(*(family.moves for family in part))
        entries = sum(int((moved[k] != p).sum()) for k, p in run.params.items())
        if part.group_dim >= entries:
            continue  # a shift of a whole bias: every move of it is one of the family's
        if (felt < FELT) != bool(idle and all(re.search(idle, p) for p in moves)):
            yield f"{name}: random moves of the same size change the output by {felt:.0e}"
    if symmetry.discrete:
        word = symmetry.select(*(family.name for family in symmetry.discrete))
        moved = word.act(word.sample(generator=rng, discrete=True), run.params)
        change = relative(run(moved) - reference, reference)
        if not change <= BOUND:
            yield f"permutations and signs: the output changes by {change:.1e}"


def unexplained(symmetry: Symmetry) -> Iterator[str]:
    """Coordinates that no family moves, and no op pins."""
    for parameter in symmetry.parameters:
        for part in symmetry.explain(parameter.name).still:
            if not part.pins:
                yield f"not explained: axis {part.axis} of {parameter.name}"


def shuffled(
    params: dict[str, Tensor], moved: dict[str, Tensor], rng: torch.Generator
) -> dict[str, Tensor]:
    """As large a move of the same parameters, in a direction that means nothing."""
    out = dict(params)
    for name, p in params.items():
        if moved[name] is not p:
            noise = torch.randn(p.shape, generator=rng, dtype=torch.float64)
            out[name] = p + noise * ((moved[name] - p).norm() / noise.norm())
    return out


class State:
    """Everything of a model, and of torch, that discovery must leave alone."""

    def __init__(self, model: nn.Module) -> None:
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        self.random = torch.get_rng_state()
        self.tensors = copy.deepcopy(self.of(model))
        self.modes = [module.training for module in model.modules()]

    @staticmethod
    def of(model: nn.Module) -> dict[str, Tensor]:
        found = {f"parameter {k}": p.detach() for k, p in model.named_parameters()}
        found |= {f"buffer {k}": b for k, b in model.named_buffers()}
        found |= {
            f"gradient {k}": p.grad for k, p in model.named_parameters() if p.grad is not None
        }
        return found

    def changes(self, model: nn.Module) -> Iterator[str]:
        now = self.of(model)
        if now.keys() != self.tensors.keys():
            yield f"tensors came or went: {sorted(now.keys() ^ self.tensors.keys())}"
        for name in now.keys() & self.tensors.keys():
            if not torch.equal(now[name], self.tensors[name]):
                yield f"changed: {name}"
        if not torch.equal(torch.get_rng_state(), self.random):
            yield "changed: torch's random state"
        if [module.training for module in model.modules()] != self.modes:
            yield "changed: training mode of a module"
