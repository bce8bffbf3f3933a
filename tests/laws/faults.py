"""Planted faults: wrong claims about a network, groups that are none, engines that err."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

import paramsym as ps
from paramsym.groups import Group, MatrixGroup
from tests.laws.networks import dense
from tests.laws.subject import Params, Subject
from tests.laws.subjects import subject

# -- wrong claims -----------------------------------------------------------------------------


def claims(name: str, change: Callable[[ps.Family], ps.Family]) -> Subject:
    """A registered subject with its first family changed."""
    first, *others = subject(name).symmetry
    return subject(name).replaced(change(first), *others)


def with_degree(family: ps.Family, degree: float) -> ps.Family:
    """The readers' degree changed."""
    ports = tuple(replace(p, degree=degree) if p.dual else p for p in family.ports)
    return replace(family, ports=ports)


def without_port(family: ps.Family, parameter: str) -> ps.Family:
    """The ports on one parameter left out."""
    return replace(family, ports=tuple(p for p in family.ports if p.parameter != parameter))


def flipped(family: ps.Family, parameter: str) -> ps.Family:
    """A reader taken for a writer, or the reverse."""
    ports = (replace(p, dual=not p.dual) if p.parameter == parameter else p for p in family.ports)
    return replace(family, ports=tuple(ports))


def shifted_rows(family: ps.Family, parameter: str, by: int) -> ps.Family:
    """The rows of one port displaced, as by a wrong layout of heads."""
    ports = (
        replace(p, index=(p.index + by) % p.row_count) if p.parameter == parameter else p
        for p in family.ports
    )
    return replace(family, ports=tuple(ports))


def with_group(family: ps.Family, group: Group) -> ps.Family:
    return replace(family, group=group)


def without_frames(family: ps.Family) -> ps.Family:
    return replace(family, ports=tuple(replace(p, frame=None) for p in family.ports))


def with_last_term(family: ps.Family, **changes: Any) -> ps.Family:
    """The last of the family's terms changed."""
    *terms, last = family.terms
    return replace(family, terms=(*terms, replace(last, **changes)))


def with_redundant_scalings() -> Subject:
    """Scalings beside the general linear group that contains them: one direction counted twice."""
    sound = dense("identity", (3, 5, 2))
    (family,) = sound.symmetry
    scalings = replace(family, name="scalings", group=ps.PositiveScaling(5))
    return sound.replaced(family, scalings)


# -- groups that are none -----------------------------------------------------------------------


@dataclass(frozen=True)
class Matrices(MatrixGroup):
    """GL(n), written anew, for the faulty groups to inherit from."""

    @property
    def dim(self) -> int:
        return self.n**2 * self.copies

    @property
    def symmetric_dim(self) -> int:
        return self.n * (self.n + 1) // 2 * self.copies

    def project(self, P: Tensor) -> Tensor:
        return P

    def symmetric(self, M: Tensor) -> Tensor:
        return (M + M.mT) / 2


class Reversed(Matrices):
    """The product in the wrong order."""

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return h @ g


class Transposing(Matrices):
    """The transpose taken for the inverse."""

    def inverse(self, g: Tensor) -> Tensor:
        return g.mT


class Hurried(Matrices):
    """One-parameter subgroups at twice their speed."""

    def exp(self, M: Tensor) -> Tensor:
        return super().exp(2 * M)


# -- engines that err -----------------------------------------------------------------------------


class Faulty:
    """A symmetry of which some methods, or its families, are replaced; the rest is delegated.

    Replacements are called with the sound symmetry first.
    """

    def __init__(self, sound: ps.Symmetry, **replaced: Callable[..., Any]) -> None:
        self._sound, self._replaced = sound, replaced

    def __getattr__(self, name: str) -> Any:
        if name in self._replaced:
            replaced = self._replaced[name]
            return replaced(self._sound) if name == "families" else partial(replaced, self._sound)
        return getattr(self._sound, name)

    def __iter__(self) -> Iterator[ps.Family]:
        return iter(self._sound)

    def __len__(self) -> int:
        return len(self._sound)

    def __getitem__(self, name: str) -> ps.Family:
        return self._sound[name]

    def select(self, *names: str) -> "Faulty":
        return Faulty(self._sound.select(*names), **self._replaced)


def engine(name: str, **replaced: Callable[..., Any]) -> Subject:
    """A registered subject on an engine with faulty methods."""
    faulty = Faulty(subject(name).symmetry, **replaced)
    return replace(subject(name), symmetry=cast("ps.Symmetry", faulty))


def scaled(method: str, factor: float) -> Callable[..., Any]:
    """A method whose results, tensors or dicts of them, are off by a factor."""

    def wrong(sound: ps.Symmetry, *args: Any) -> Any:
        right = getattr(sound, method)(*args)
        return factor * right if isinstance(right, Tensor) else times(right, factor)

    return wrong


def times(params: Params, factor: float) -> dict[str, Tensor]:
    return {k: factor * p for k, p in params.items()}


def reversed_word(sound: ps.Symmetry, g: ps.GroupElement, params: Params) -> dict[str, Tensor]:
    """The last letter first."""
    return sound.act(ps.GroupElement(g.names[::-1], g.groups[::-1], g.tensors[::-1]), params)


def overwriting(sound: ps.Symmetry, g: ps.GroupElement, params: Params) -> dict[str, Tensor]:
    """`act` that writes into its argument."""
    moved = sound.act(g, params)
    for name, tensor in params.items():
        tensor.copy_(moved[name])
    return moved


def reading_values(sound: ps.Symmetry, g: ps.GroupElement, params: Params) -> dict[str, Tensor]:
    """`act` that always checks values, and so cannot be batched."""
    return sound.act(g, params, check=True)


def coarse(sound: ps.Symmetry, g: ps.GroupElement, params: Params) -> dict[str, Tensor]:
    """`act` that goes through bfloat16 wherever the parameters are not in float64."""
    low = {k: p if p.dtype == torch.float64 else p.bfloat16() for k, p in params.items()}
    return {k: p.to(params[k]) for k, p in sound.act(g, low).items()}


def promoting(sound: ps.Symmetry, g: ps.GroupElement, params: Params) -> dict[str, Tensor]:
    """`act` that returns float32 whatever it is given."""
    return sound.act(g, {k: p.float() for k, p in params.items()})


class _Inconsistent(torch.autograd.Function):
    """The identity, whose forward derivative is not its backward derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return grad_outputs[0]

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Tensor) -> Tensor:
        return 2 * grad_inputs[0]


def inconsistent(sound: ps.Symmetry, g: ps.GroupElement, params: Params) -> dict[str, Tensor]:
    """`act` with a wrong forward derivative."""
    return {k: cast("Tensor", _Inconsistent.apply(p)) for k, p in sound.act(g, params).items()}


def forgetful(sound: ps.Symmetry) -> tuple[ps.Family, ...]:
    """`families`, of which every port has degree 1."""
    return tuple(with_degree(family, 1.0) for family in sound.families)
