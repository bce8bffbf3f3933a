"""Is a symmetry all there is? The nullity of the Jacobian against the rank of the action."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from paramsym.certification.certificate import Certificate, FamilyShare, Place
from paramsym.certification.differentiable import differentiable
from paramsym.certification.exceptions import Exceptions, exceptions, independent
from paramsym.certification.generic import generic_params, jittered_params, own_params
from paramsym.certification.inputs import Inputs, InputSampler, check_sampler
from paramsym.certification.jacobian import Jacobian, Params
from paramsym.certification.measuring import Measured, measure
from paramsym.certification.pilot import EPS, PILOT
from paramsym.certification.tangents import echelon
from paramsym.discovery.discover import analyse, is_meta, record
from paramsym.discovery.likening import own_arguments, understood
from paramsym.discovery.points import without_eps
from paramsym.discovery.recording import Recording, replay
from paramsym.discovery.walk import walk
from paramsym.symmetry import Symmetry

MEMORY = 4e9
"""Bytes that the largest matrices may take together."""

DRAWS = {300: 8, 2000: 3}
"""How many random parameters are tried while directions are unexplained, by the size of the model
up to which so many are: a unit may be dead at one, or on for every input. One beyond."""

CANDIDATES, ACTIVE = 12, 0.25
"""Random parameters looked at, and the share of inputs for which an entry should matter."""

PLACES = ("generic", "here")


def certify(
    model: nn.Module | ExportedProgram,
    args: tuple[Any, ...] | None = None,
    symmetry: Symmetry | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
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
            not finite; if the symmetry is that of another model, or the sampler's inputs are; or if
            the matrices would not fit into `memory`.
    """
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
    if symmetry is None:
        symmetry = analyse(recording, check=True, seed=seed)
    _check_same(symmetry, recording)
    vanishing = walk(understood(recording)).facts.vanishing
    limit = differentiable(without_eps(recording, own_arguments(vanishing, recording)))
    jacobian = Jacobian(limit, Inputs(limit, inputs))
    _check_memory(jacobian, symmetry, memory)
    rows = 4 * jacobian.dim + 2000 if max_rows is None else max_rows
    found, params = _best(jacobian, symmetry, at, rows, seed)
    if at == "here" and len(found.idle):
        found = _without_dead_entries(found, jacobian, seed)
    if len(found.rest):
        local = exceptions(jacobian, params, found, seed=seed + 1)
    else:
        local = Exceptions((), found.rest, found.rest, ())
    special = _special_inputs(jacobian, params, local.rest, seed) if inputs else 0
    return _certificate(jacobian, symmetry, found, local, special, at, seed)


def _without_dead_entries(found: Measured, jacobian: Jacobian, seed: int) -> Measured:
    """Entries that enter at other parameters are no idle ones, but dead at these."""
    rows = jacobian.rows(_point(jacobian.recording, "generic", seed), PILOT, seed)
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
    usual = Jacobian(jacobian.recording, Inputs(jacobian.recording))
    try:
        rows = usual.rows(params, max(PILOT, 2 * len(rest)), seed + 2)
    except ValueError:  # the model's domain is smaller than the default inputs
        return 0
    return echelon((rows / rows.norm(dim=1, keepdim=True).clamp_min(EPS)) @ rest.mT).rank


def _best(
    jacobian: Jacobian, symmetry: Symmetry, at: Place, max_rows: int, seed: int
) -> tuple[Measured, Params]:
    """At generic parameters the smallest nullity is the answer: others add directions of their
    own."""
    recording = jacobian.recording
    best: tuple[Measured, Params] | None = None
    points = [_point(recording, at, seed)] if at == "here" else _active_points(jacobian, seed)
    for draw, params in enumerate(points):
        found = measure(
            jacobian, symmetry.families, params, seed=1000 * (seed + draw), max_rows=max_rows
        )
        if best is None or _quality(found) < _quality(best[0]):
            best = found, params
        if not len(found.rest) and not found.undecided:
            break
    assert best is not None
    return best


def _active_points(jacobian: Jacobian, seed: int) -> list[Params]:
    """Random parameters, those first at which few entries matter for few inputs alone.

    A unit that is on for one input in a thousand needs thousands of rows to show what it reads.
    """
    count = next((n for size, n in DRAWS.items() if jacobian.dim <= size), 1)
    scored: list[tuple[float, int, Params]] = []
    for k in range(CANDIDATES):
        params = _point(jacobian.recording, "generic", seed + k)
        active = (jacobian.rows(params, PILOT, seed) != 0).double().mean(0)
        scored.append((float((ACTIVE - active).clamp_min(0).sum()), k, params))
        if scored[-1][0] == 0:
            break
    return [params for _, _, params in sorted(scored, key=lambda s: s[:2])[:count]]


def _quality(found: Measured) -> tuple[int, int, float]:
    return found.nullity, found.undecided, -found.kept


def _point(recording: Recording, at: Place, seed: int) -> Params:
    """Parameters at which the outputs are finite.

    Raises:
        ValueError: If there are none, or no output is a real number.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = {i: x.detach() for i, x in recording.inputs.items()}
    if at == "here":
        candidates = [own_params(recording)]
    else:
        candidates = [generic_params(recording, generator), jittered_params(recording, generator)]
    for params in candidates:
        outputs = replay(recording, params, inputs, seed=seed)
        real = [y for y in outputs if y.is_floating_point() or y.is_complex()]
        if sum(y.numel() for y in real) == 0:
            raise ValueError(
                "the model has no output of real numbers, so that there is no derivative to look "
                "at. Return logits or probabilities instead of choices."
            )
        if all(bool(torch.isfinite(y).all()) for y in real):
            return params
    raise ValueError(
        "the model's outputs are not finite at "
        f"{'its own' if at == 'here' else 'random'} parameters and the given inputs. Pass inputs "
        "for which it computes finite numbers."
    )


def _check_same(symmetry: Symmetry, recording: Recording) -> None:
    known = {p.name: p.shape for p in recording.parameters}
    for p in symmetry.parameters:
        if known.get(p.name) != p.shape:
            got = f"has shape {known[p.name]}" if p.name in known else "is missing"
            raise ValueError(
                f"`symmetry` belongs to another model: its parameter {p.name!r} of shape {p.shape} "
                f"{got} in `model`. Discover the symmetry of this model."
            )


def _check_memory(jacobian: Jacobian, symmetry: Symmetry, memory: float) -> None:
    d, generators = jacobian.dim, symmetry.group_dim
    free = max(d - symmetry.dim, 0)
    needed = 8 * (3.5 * free**2 + 128 * 3 * d + 2 * generators * d)
    needed += 8 * max(
        (f.group.dim * torch.Size(f.group.shape).numel() for f in symmetry), default=0
    )
    if needed > memory:
        raise ValueError(
            f"`certify` needs about {needed / 1e9:.1f} GB for {d} parameters and {generators} "
            f"generators, more than `memory`={memory / 1e9:.1f} GB. Certify a smaller model of the "
            "same architecture (narrower, fewer layers, a smaller vocabulary), or raise `memory`."
        )


def _certificate(
    jacobian: Jacobian,
    symmetry: Symmetry,
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
        for f, r, ok in zip(symmetry.families, found.residuals, holds, strict=True)
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
