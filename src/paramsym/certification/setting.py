"""What is certified: a recorded model in the limit that counts, and a symmetry of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn
from torch.export import ExportedProgram

from paramsym.certification.certificate import Place
from paramsym.certification.differentiable import differentiable
from paramsym.certification.inputs import Inputs, InputSampler, check_sampler
from paramsym.certification.jacobian import Jacobian
from paramsym.certification.within import Within, families_within
from paramsym.discovery.discover import analyse, is_meta
from paramsym.discovery.front_ends import record
from paramsym.discovery.likening import own_arguments, understood
from paramsym.discovery.points import without_eps
from paramsym.discovery.recording import Recording
from paramsym.discovery.walk import walk
from paramsym.symmetry import Symmetry

PLACES = ("generic", "here")


class TooLarge(ValueError):
    """The matrices of a certificate would not fit into memory."""


@final
@dataclass(frozen=True)
class Setting:
    """A model that is looked at, and how.

    Attributes:
        every: The Jacobian with all parameters.
        symmetry: What is compared.
        at: Which parameters.
        seed: Seed of every draw.
    """

    every: Jacobian
    symmetry: Symmetry
    at: Place
    seed: int

    def block(self, names: Iterable[str] | None) -> tuple[Jacobian, Within]:
        """The Jacobian with some parameters only, and the families that concern them."""
        if names is None:
            return self.every, Within(self.symmetry.families)
        block = frozenset(names)
        jacobian = Jacobian(self.every.recording, self.every.inputs, block)
        return jacobian, families_within(self.symmetry.families, self.every, block)


def setting_of(
    model: nn.Module | ExportedProgram,
    args: tuple[Any, ...] | None,
    symmetry: Symmetry | None,
    *,
    kwargs: Mapping[str, Any] | None,
    inputs: InputSampler | None,
    at: Place,
    seed: int,
) -> Setting:
    """Record the model in the limit that certificates look at; arguments as of `certify`."""
    check_sampler(inputs)
    if at not in PLACES:
        raise ValueError(f'`at` must be "generic" or "here"; got {at!r}.')
    if symmetry is not None and not isinstance(symmetry, Symmetry):
        raise TypeError(
            f"`symmetry` must be a Symmetry; got {type(symmetry).__name__}. "
            "Leave it out to use what `discover` finds; keyword inputs are named `kwargs=`."
        )
    recording = record(model, args, dict(kwargs or {}))
    if is_meta(recording):
        raise ValueError(
            "`model` is on the meta device, without values, so that nothing can be measured. Build "
            "it on the CPU, with small sizes of the same architecture."
        )
    if not any(p.is_real and p.name not in recording.unused for p in recording.parameters):
        raise ValueError(
            "`model` has no real parameter that its outputs depend on, so that there is nothing to "
            "count. Complex parameters are not looked at: hold them as pairs of real numbers, and "
            "read them with `torch.view_as_complex`."
        )
    if symmetry is None:
        symmetry = analyse(recording, check=True, seed=seed)
    _check_same(symmetry, recording)
    vanishing = walk(understood(recording)).facts.vanishing
    limit = differentiable(without_eps(recording, own_arguments(vanishing, recording)))
    return Setting(Jacobian(limit, Inputs(limit, inputs)), symmetry, at, seed)


def _check_same(symmetry: Symmetry, recording: Recording) -> None:
    known = {p.name: p.shape for p in recording.parameters}
    for p in symmetry.parameters:
        if known.get(p.name) != p.shape:
            got = f"has shape {known[p.name]}" if p.name in known else "is missing"
            raise ValueError(
                f"`symmetry` belongs to another model: its parameter {p.name!r} of shape {p.shape} "
                f"{got} in `model`. Discover the symmetry of this model."
            )


def bytes_needed(setting: Setting, names: Iterable[str] | None) -> float:
    """Bytes that the largest matrices take together, about."""
    jacobian, families = setting.block(names)
    d, inside = jacobian.dim, families.inside
    generators = sum(family.group.dim for family in inside)
    rank = setting.symmetry.dim if names is None else sum(family.dim for family in inside)
    free = max(d - rank, 0)
    needed = 3.5 * free**2 + 128 * 3 * d + 2 * generators * d
    needed += max((f.group.dim * torch.Size(f.group.shape).numel() for f in inside), default=0)
    return 8 * needed
