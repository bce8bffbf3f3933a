"""Is a symmetry all there is? The nullity of the Jacobian against the rank of the action."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from paramsym.certification.certificate import Certificate, FamilyShare, Place
from paramsym.certification.exceptions import Exceptions, exceptions, independent
from paramsym.certification.inputs import Inputs, InputSampler
from paramsym.certification.jacobian import Jacobian, Params
from paramsym.certification.measuring import Measured
from paramsym.certification.pilot import EPS, PILOT
from paramsym.certification.points import best_point, point
from paramsym.certification.setting import Setting, TooLarge, bytes_needed, setting_of
from paramsym.certification.tangents import echelon
from paramsym.certification.within import matching
from paramsym.family import Family
from paramsym.symmetry import Symmetry

MEMORY = 4e9
"""Bytes that the largest matrices may take together."""


def certify(
    model: nn.Module | ExportedProgram,
    args: tuple[Any, ...] | None = None,
    symmetry: Symmetry | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    parameters: Iterable[str] | None = None,
    inputs: InputSampler | None = None,
    at: Place = "generic",
    max_rows: int | None = None,
    memory: float = MEMORY,
    seed: int = 0,
) -> Certificate:
    """Compare the flat directions of a model with those that a symmetry gives.

    A direction v of parameter space is flat at θ if the derivative of all outputs along it is zero
    for all inputs. Everything runs in float64 on the CPU, without the ε of normalisations. At
    generic parameters the answer is that of the architecture; at the model's own ones dead units,
    weights of low rank and the like add directions, which are found and named where they can be.

    Args:
        model: A module, or a program from `torch.export`.
        args: Example inputs, as for `discover`. Their shapes are the ones that count; a batch of
            one is enough.
        symmetry: What is to be compared; by default what `discover` finds.
        kwargs: Keyword inputs.
        parameters: Only directions that move no other parameters than these: names, or patterns as
            in a shell. The count is exact for those directions, and says nothing of others;
            `certify_blocks` looks at all parameters in this way, block by block.
        inputs: A function of a `torch.Generator` that returns one set of inputs, a tuple like
            `args` or a pair (args, kwargs). By default real inputs are normal at several scales,
            integers that number the rows of an embedding are uniform over all of them, and
            everything else stays as given.
        at: `"generic"` for random parameters of the same structure (tied ones tied), `"here"` for
            the model's own.
        max_rows: Largest number of rows of the Jacobian to try; by default four times the number of
            parameters, and 2000.
        memory: Bytes that the largest matrices may take together.
        seed: Seed of every draw.

    Raises:
        TypeError: As `discover`; or if `symmetry` or `inputs` is of another kind.
        ValueError: As `discover`; if the model is on the meta device; if outputs or derivatives are
            not finite; if the symmetry is that of another model, or the sampler's inputs are; if
            `parameters` matches none; or, `TooLarge`, if the matrices would not fit into `memory`.
    """
    setting = setting_of(model, args, symmetry, kwargs=kwargs, inputs=inputs, at=at, seed=seed)
    if isinstance(parameters, str):
        raise TypeError(
            f"`parameters` must be several names or patterns; got {parameters!r}. "
            f"Write [{parameters!r}]."
        )
    names = None if parameters is None else matching(setting.every.sizes, parameters)
    needed = bytes_needed(setting, names)
    if needed > memory:
        jacobian, families = setting.block(names)
        generators = sum(family.group.dim for family in families.inside)
        raise TooLarge(
            f"`certify` needs about {needed / 1e9:.1f} GB for {jacobian.dim} parameters and "
            f"{generators} generators, more than `memory`={memory / 1e9:.1f} GB. Certify a smaller "
            "model of the same architecture (narrower, fewer layers, a smaller vocabulary), look "
            "block by block with `certify_blocks`, or raise `memory`."
        )
    return certified(setting, names, max_rows=max_rows)


def certified(
    setting: Setting, names: Iterable[str] | None, *, max_rows: int | None = None
) -> Certificate:
    """The certificate of all parameters, or of some."""
    at, seed = setting.at, setting.seed
    jacobian, families = setting.block(names)
    rows = 4 * jacobian.dim + 2000 if max_rows is None else max_rows
    found, params = best_point(jacobian, families, at, rows, seed)
    if at == "here" and len(found.idle):
        found = _without_dead_entries(found, jacobian, seed)
    if len(found.rest):
        local = exceptions(jacobian, params, found, seed=seed + 1)
    else:
        local = Exceptions((), found.rest, found.rest, ())
    sampled = jacobian.inputs.sampler is not None
    special = _special_inputs(jacobian, params, local.rest, seed) if sampled else 0
    made = _certificate(jacobian, families.inside, found, local, special, at, seed)
    if names is None:
        return made
    scope = {"within": tuple(jacobian.sizes), "left_out": families.left_out}
    return replace(made, unused=0, **scope)


def _without_dead_entries(found: Measured, jacobian: Jacobian, seed: int) -> Measured:
    """Entries that enter at other parameters are no idle ones, but dead at these."""
    rows = jacobian.rows(point(jacobian.recording, "generic", seed), PILOT, seed)
    alive = (rows[:, found.idle] != 0).any(0)
    dead, idle = found.idle[alive], found.idle[~alive]
    fields = found.tangents.matrix.clone()
    fields[:, idle] = 0.0
    known = replace(found, idle=idle)
    entries = torch.eye(jacobian.dim, dtype=torch.float64)[dead]
    return replace(
        known,
        idle_dim=len(idle) + echelon(fields).rank - found.rank,
        rest=independent(torch.cat([entries, found.rest]), known.known()),
    )


def _special_inputs(jacobian: Jacobian, params: Params, rest: Tensor, seed: int) -> int:
    """How many of these directions inputs of the default kind would remove."""
    if not len(rest):
        return 0
    usual = Jacobian(jacobian.recording, Inputs(jacobian.recording), jacobian.within)
    try:
        rows = usual.rows(params, max(PILOT, 2 * len(rest)), seed + 2)
    except ValueError:  # the model's domain is smaller than the default inputs
        return 0
    return echelon((rows / rows.norm(dim=1, keepdim=True).clamp_min(EPS)) @ rest.mT).rank


def _certificate(
    jacobian: Jacobian,
    families: Sequence[Family],
    found: Measured,
    local: Exceptions,
    special: int,
    at: Place,
    seed: int,
) -> Certificate:
    recording = jacobian.recording
    numel = {p.name: p.numel for p in recording.parameters}
    holds = [r <= found.tolerance for r in found.residuals]
    own = dict(zip(found.families, range(len(found.families)), strict=True))
    shares = tuple(
        FamilyShare(f.name, str(f.group), found.tangents.own_rank(own[f]) if ok else 0, r, ok)
        for f, r, ok in zip(families, found.residuals, holds, strict=True)
    )
    order = {i: k for k, i in enumerate(recording.inputs)}
    held = () if jacobian.inputs.sampler else jacobian.inputs.held
    return Certificate(
        parameters=jacobian.dim,
        unused=sum(numel[name] for name in recording.unused),
        rows=found.rows,
        nullity=found.nullity,
        rank=found.rank,
        idle=found.idle_dim,
        local=local.families,
        extra=len(local.rest),
        undecided=found.undecided,
        grew=found.grew,
        kept=found.kept,
        dropped=found.dropped,
        tolerance=found.tolerance,
        families=shares,
        unexplained=jacobian.unflatten(local.rest),
        local_directions=jacobian.unflatten(local.directions),
        special_inputs=special,
        units=local.units,
        held=tuple(sorted(order[i] for i in held)),
        at=at,
        mode=recording.mode,
        seed=seed,
    )
