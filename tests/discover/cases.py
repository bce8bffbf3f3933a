"""One small model through discovery: the families expected, and the numbers that prove them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import paramsym as ps
from tests.discover.checking import (
    Args,
    assert_sound,
    detached,
    generic,
    groups,
    nullity,
    without_eps,
)

Families = dict[str, int]
"""Group, as it prints → number of families with it."""


@dataclass(frozen=True)
class Case:
    """A model, and what discovery must say of it.

    Attributes:
        name: For the test's name.
        model: Makes it.
        shapes: Shapes of the inputs, batch first.
        families: Groups expected.
        gap: Directions known to be missed: nullity of the Jacobian minus dimension of the orbit.
            `None` where the nullity cannot be taken.
        barriers: Ops expected to be listed as not analysed.
        unused: Parameters that no output depends on.
        train: Mode in which the model is looked at.
        differentiable: Whether torch has forward derivatives of its ops.
    """

    name: str
    model: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    families: Families
    gap: int | None = 0
    barriers: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    train: bool = True
    differentiable: bool = True

    def __str__(self) -> str:
        return self.name

    def built(self) -> tuple[nn.Module, Args]:
        """The model at generic float64 parameters, and generic inputs."""
        model = generic(self.model()).train(self.train)
        rng = torch.Generator().manual_seed(7)
        return model, tuple(
            torch.randn(shape, generator=rng, dtype=torch.float64) for shape in self.shapes
        )


def check(case: Case) -> ps.Symmetry:
    """Expected families, none withdrawn; invariance; and that nothing else is missing."""
    model, args = case.built()
    symmetry = ps.discover(model, args)
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert groups(symmetry) == Counter(case.families)
    assert {barrier.op for barrier in symmetry.barriers} == set(case.barriers)
    assert symmetry.unused == case.unused
    exact = without_eps(model)
    assert_sound(exact, args, symmetry, differentiable=case.differentiable)
    if case.gap is not None:
        orbit = symmetry.orbit_dim(detached(exact))
        unused = sum(p.numel() for name, p in model.named_parameters() if name in case.unused)
        assert nullity(exact, args) == orbit + unused + case.gap
        assert symmetry.dim == orbit
    return symmetry


def branching(model: nn.Module) -> nn.Module:
    """The model behind a branch on its data, which `torch.export` refuses to trace."""

    def look(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        first = next(x for x in inputs if isinstance(x, Tensor))
        if first.double().sum() > 1e30:
            raise AssertionError("inputs of a test are never this large")

    model.register_forward_pre_hook(look)
    return model
