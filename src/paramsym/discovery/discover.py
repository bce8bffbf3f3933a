"""The way from a model to its symmetry."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn
from torch.export import ExportedProgram

from paramsym.discovery.buffers import with_buffers
from paramsym.discovery.collecting import old_objects_at_rest
from paramsym.discovery.displacing import displaced_biases
from paramsym.discovery.facts import Facts
from paramsym.discovery.fixed_statistics import fixed_norms
from paramsym.discovery.front_ends import record
from paramsym.discovery.gradients import altered_gradients
from paramsym.discovery.labels import FIXED
from paramsym.discovery.likening import own_arguments, understood
from paramsym.discovery.losses import seen_by
from paramsym.discovery.matrix_families import fixing_families, mixing_families
from paramsym.discovery.mixing import fixing, mixing
from paramsym.discovery.naming import distinct_names
from paramsym.discovery.orienting import oriented
from paramsym.discovery.permuting import discrete_families
from paramsym.discovery.pinning import pins
from paramsym.discovery.points import Points, without_eps
from paramsym.discovery.recording import Recording
from paramsym.discovery.scaling import scalings
from paramsym.discovery.scaling_families import scaling_families
from paramsym.discovery.shifting.assembly import shift_families_of
from paramsym.discovery.shifting.centred import centred_values
from paramsym.discovery.shifting.in_front import biases_in_front
from paramsym.discovery.shifting.walk import run_of
from paramsym.discovery.verify import verify
from paramsym.discovery.walk import walk
from paramsym.symmetry import Barrier, Symmetry


def discover(
    model: nn.Module | ExportedProgram,
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    loss: str | None = None,
    class_axis: int = -1,
    buffers: bool | Collection[str] = False,
    verify: bool = True,
    seed: int = 0,
) -> Symmetry:
    """Find the continuous symmetries of a model's parameters.

    The model is recorded in its current mode (`model.train()` or `model.eval()`), and its
    parameters, buffers, gradients, and the random state are left as they are. Every family is
    checked numerically in float64 before it is returned; ops that are not understood stop the
    analysis where they stand and are listed as barriers.

    Args:
        model: A module, or a program from `torch.export`.
        args: Example inputs, as for `torch.export.export`; absent where all have names. Their
            shapes are the ones analysed.
        kwargs: Keyword inputs.
        loss: What the outputs matter for; by themselves as they are. `"cross_entropy"`: only the
            probabilities count that the first output's logits give, so that logits may shift
            together.
        class_axis: Axis of the first output along which the classes lie.
        buffers: Buffers that move with the parameters: `True` for the running statistics that
            batch normalisation reads in evaluation, or names. They then belong to the parameters of
            the symmetry, as frozen ones (a family that moves one has no law), and to the dicts
            that it takes: `symmetry.params(model)`. In training mode nothing reads them.
        verify: Check the families numerically. On the meta device nothing can be checked.
        seed: Seed of the check.

    Returns:
        The symmetry, as plain data.

    Raises:
        TypeError: If `model` or `args` is of another kind.
        ValueError: If the model has no parameters, or parameters that are not finite, or rejects
            the inputs; if the loss is not known, or has no such axis; or if there is no buffer of
            a name.
    """
    with old_objects_at_rest():
        recording = with_buffers(record(model, args, dict(kwargs or {})), buffers)
        recording = seen_by(loss, recording, class_axis)
        return analyse(recording, check=verify and not is_meta(recording), seed=seed)


def _depends_on_mode_in_a_call(recording: Recording) -> bool:
    """Whether a call had batch statistics or attention's dropout on, or dropout on or off: what
    functional ones show."""
    for call in recording.records:
        given = call.bind()
        flag = any(given.get(name) is True for name in ("train", "training", "use_input_stats"))
        without_effect = given.get("p") == 0 or given.get("running_mean", "none") is None
        drops = "train" in given and given.get("p") not in (None, 0)
        if (flag and not without_effect) or drops or given.get("dropout_p"):
            return True
    return False


def is_meta(recording: Recording) -> bool:
    """Whether a tensor of the model or an input has no values."""
    tensors = [*recording.state.values(), *recording.inputs.values()]
    return any(tensor.device.type == "meta" for tensor in tensors)


def analyse(recording: Recording, *, check: bool, seed: int) -> Symmetry:
    """The symmetry of a recorded run."""
    meaning = understood(recording)
    told, offsets = displaced_biases(meaning)
    run = run_of(meaning)
    found = walk(told, centred_values(run, meaning))
    facts, parameters = found.facts, found.parameters
    for name in offsets.keys() & parameters.keys():
        facts.isolate(parameters[name].layers[0].labels.ravel()[offsets[name] != 0])
    spaces = mixing(facts, parameters)
    linear = spaces.cells.classes[~spaces.cells.orthogonal[spaces.cells.of]]
    buffers = {p.name for p in recording.parameters if p.is_buffer}
    moving = [x.labels.ravel() for k, v in parameters.items() if k in buffers for x in v.layers]
    none = np.empty(0, dtype=np.int64)
    classes, basis = scalings(
        facts,
        spaces.classes,
        linear,
        np.concatenate([none, *moving]),
    )
    labels = np.concatenate([none, *facts.eps_guarded])
    guarded = set(classes.of[labels[labels != FIXED]].tolist())
    families = mixing_families(parameters, spaces)
    norms = fixed_norms(facts, meaning, biases_in_front(run))
    families += scaling_families(
        parameters, classes, basis, guarded, facts.displaced, norms, offsets
    )
    families = oriented(families, facts, parameters, recording)
    shifts = shift_families_of(run)
    families += shifts
    families += fixing_families(parameters, fixing(facts, parameters), shifts)
    order = {name: i for i, name in enumerate(parameters)}
    families.sort(key=lambda family: min(order[name] for name in family.moves))
    families = distinct_names(families)
    exact = without_eps(recording, own_arguments(facts.vanishing, recording))
    points = Points(exact, seed) if check else None
    verification = None
    if points is not None:
        families, verification = verify(families, recording, points, seed)
    discrete = discrete_families(recording, families, points=points, seed=seed)
    if verification is not None:
        verification = replace(
            verification,
            withdrawn=(*verification.withdrawn, *discrete.withdrawn),
            discrete=discrete.defect,
            discrete_tolerance=discrete.tolerance,
        )
    altered = altered_gradients(recording)
    return Symmetry(
        families=tuple(families),
        parameters=tuple(
            replace(p, altered_gradient=altered.get(p.name, "")) for p in recording.parameters
        ),
        barriers=_barriers(facts),
        unused=recording.unused,
        mode=recording.mode,
        mode_dependent=recording.mode_dependent or _depends_on_mode_in_a_call(recording),
        verification=verification,
        discrete=discrete.families,
        pins=pins(facts, recording, parameters, classes, families),
    )


def _barriers(facts: Facts) -> tuple[Barrier, ...]:
    where: dict[tuple[str, str], list[str]] = {}
    counts: dict[tuple[str, str], int] = {}
    for (op, reason, module), count in facts.barriers.items():
        where.setdefault((op, reason), []).append(module or "(model)")
        counts[op, reason] = counts.get((op, reason), 0) + count
    return tuple(Barrier(op, counts[op, why], tuple(where[op, why]), why) for op, why in counts)
