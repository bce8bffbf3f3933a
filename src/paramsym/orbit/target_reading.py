"""What a user asks for: targets of families by name, checked."""

from collections.abc import Mapping

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import Affine
from paramsym.letters import no_family
from paramsym.orbit.coupling import coupled
from paramsym.parameters import check_params
from paramsym.symmetry import Symmetry

Target = float | Mapping[str, Tensor | float]


def read_target(
    symmetry: Symmetry, params: Mapping[str, Tensor], target: Target, others: str
) -> tuple[dict[str, Tensor], list[Family]]:
    """Targets of the families named, float64 of their groups' shapes, and the families to keep.

    Raises:
        TypeError: If `target` is neither a number nor a dict of numbers and tensors.
        ValueError: If a name, shape or value does not fit, or `others` is neither of its values.
    """
    if not isinstance(symmetry, Symmetry):
        raise TypeError(
            "`symmetry` must be a symmetry, as `discover` returns it; "
            f"got {type(symmetry).__name__}."
        )
    if others not in ("keep", "free"):
        raise ValueError(f'`others` must be "keep" or "free"; got {others!r}.')
    lawful = lawful_families(symmetry, params)
    if isinstance(target, int | float) and not isinstance(target, bool):
        target = {family.name: float(target) for family in lawful if is_two_sided(family)}
    if not isinstance(target, Mapping):
        raise TypeError(
            "`target` must be a number, or a dict of tensors or numbers by family name; "
            f"got {type(target).__name__}."
        )
    by_name = {family.name: family for family in lawful}
    wanted = {name: _value_of(symmetry, by_name, name, value) for name, value in target.items()}
    kept = (
        _neighbours([by_name[name] for name in wanted], lawful, wanted) if others == "keep" else []
    )
    return wanted, kept


def lawful_families(symmetry: Symmetry, params: Mapping[str, Tensor]) -> list[Family]:
    """Families with a conserved quantity; those that move frozen parameters have none."""
    check_params(params, symmetry.parameters)
    frozen = {p.name for p in symmetry.parameters if not p.trainable}
    return [f for f in symmetry if f.has_law and not f.moves & frozen]


def is_two_sided(family: Family) -> bool:
    """Whether a family is exact and has writers and readers, so that it reaches every target at
    generic parameters of full rank."""
    exact = not family.exactness.as_eps_vanishes
    return exact and len({port.dual for port in family.ports}) == 2


def _neighbours(
    named: list[Family], lawful: list[Family], wanted: Mapping[str, Tensor]
) -> list[Family]:
    """Exact scalings and matrices coupled with those named, directly or through others."""
    rest = [
        f for f in lawful if f.name not in wanted and f.ports and not f.exactness.as_eps_vanishes
    ]
    kept: list[Family] = []
    front = named
    while front:
        found = [f for f in rest if any(coupled(f, other) for other in front)]
        kept += found
        rest = [f for f in rest if f not in found]
        front = found
    return [family for family in lawful if family in kept]


def _value_of(
    symmetry: Symmetry, lawful: Mapping[str, Family], name: str, value: Tensor | float
) -> Tensor:
    if name not in lawful:
        if any(family.name == name for family in (*symmetry.families, *symmetry.discrete)):
            raise ValueError(
                f"`target[{name!r}]`: this family has no conserved quantity, because its "
                "generators are not symmetric (rotations, permutations, frames), or it moves a "
                f"frozen parameter. Those that have one are {list(lawful)}."
            )
        raise ValueError(
            f"`target[{name!r}]` must be of a family with a conserved quantity: "
            f"{no_family(name, lawful)}"
        )
    family, group = lawful[name], lawful[name].group
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = value * _unit(family)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"`target[{name!r}]` must be a number or floating-point tensor; got {got}.")
    if tuple(value.shape) != group.shape:
        raise ValueError(
            f"`target[{name!r}]` must have shape {group.shape}, as `symmetry.conserved` gives for "
            f"{group}; got {tuple(value.shape)}."
        )
    value = value.detach().double().cpu()
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"`target[{name!r}]` must be finite; it holds NaN or infinite entries.")
    symmetric = group.symmetric(group.project(value))
    bound = 64 * torch.finfo(torch.float32).eps * float(value.abs().max())
    if float((value - symmetric).abs().max()) > bound:
        raise ValueError(
            f"`target[{name!r}]` must be symmetric, as every Q is (for {group}: in the symmetric "
            "part of its algebra); got a part that is not. Pass `(T + T.mT) / 2`, or "
            "`family.group.symmetric(T)`."
        )
    return symmetric


def _unit(family: Family) -> Tensor:
    """Q of the target 1."""
    group = family.group
    if group.diagonal or not family.ports:
        return torch.ones(group.shape, dtype=torch.float64)
    unit = group.symmetric(group.project(group.identity()))
    if isinstance(group, Affine):  # an element of the algebra, without translation
        unit[..., -1, -1] = 0
    return unit
