"""Three ways to record a run: without values, by the exporter, and with values."""

from typing import Any

import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import ExportedProgram

from paramsym.discovery.composites import taken_apart
from paramsym.discovery.dispatching import record_run
from paramsym.discovery.exporting import export, from_program
from paramsym.discovery.ops import RULES
from paramsym.discovery.recording import Recording, rejected
from paramsym.discovery.watching import watch
from paramsym.discovery.writing import functional, writes_through_views
from paramsym.parameters import not_finite


def record(
    model: nn.Module | ExportedProgram, args: tuple[Any, ...] | None, kwargs: dict[str, Any]
) -> Recording:
    """The run of a model as data, in the first way that can follow it; raises as `discover`."""
    if isinstance(model, ExportedProgram):
        return _converted(taken_apart(model, RULES), args=args, kwargs=kwargs)
    if not isinstance(model, nn.Module):
        hint = " Pass an instance, not the class." if isinstance(model, type) else ""
        raise TypeError(
            "`model` must be a torch.nn.Module or a torch.export.ExportedProgram; "
            f"got {model if isinstance(model, type) else type(model).__name__}.{hint}"
        )
    if isinstance(args, Tensor):
        raise TypeError("`args` must be a tuple of inputs; got a tensor. Pass `(x,)`.")
    if not isinstance(args, tuple | list):
        raise TypeError(
            f"`args` must be a tuple of inputs, as for `model(*args)`; got {type(args).__name__}."
        )
    _check_parameters(model)
    args = tuple(args)
    mode = "train" if model.training else "eval"
    dependent = _depends_on_mode(model)
    given = {"mode": mode, "mode_dependent": dependent}
    watched = _watched(model, args, kwargs, **given)
    if watched is not None:
        return watched
    try:
        program = taken_apart(export(model, args, kwargs), RULES)
        return _converted(program, model=model, args=args, kwargs=kwargs, **given)
    except Exception as error:  # it cannot be exported, or its graph has control flow
        return _record_real_run(model, args, kwargs, mode, dependent, error)


def _watched(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], **given: Any
) -> Recording | None:
    """The recording of a run without values; `None` where it cannot be followed."""
    try:
        recording = watch(model, args, kwargs, RULES, **given)
    except Exception:  # whatever a model may raise that meets no values; the exporter tries again
        return None
    return None if writes_through_views(recording) else recording


def _converted(program: ExportedProgram, **given: Any) -> Recording:
    """The recording of a program, without writes through views, which cannot be followed."""
    recording = from_program(program, **given)
    if writes_through_views(recording):
        recording = from_program(functional(program), **given)
    return recording


def _record_real_run(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    mode: str,
    dependent: bool,
    export_error: Exception,
) -> Recording:
    """For models that cannot be exported; what the model itself rejects is reported as such."""
    try:
        return record_run(model, args, kwargs, mode=mode, mode_dependent=dependent)
    except Exception as error:
        cause = error if type(error) is not type(export_error) else export_error
        raise rejected(pytree.tree_leaves((args, kwargs)), error) from cause


def _check_parameters(model: nn.Module) -> None:
    count = 0
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ValueError(
                f"`model` has a lazy parameter {name!r} without a shape yet. "
                "Run it once on an input before discovery."
            )
        count += 1
        if parameter.device.type == "meta" or not parameter.is_floating_point():
            continue
        bad = not_finite(parameter)
        if bad:
            raise ValueError(
                f"`model` has parameters that are not finite: {bad} of {parameter.numel()} "
                f"entries of {name!r} are NaN or infinite. Load a sound checkpoint."
            )
    if count == 0:
        raise ValueError("`model` has no parameters, so there is no parameter space to look at.")


def _depends_on_mode(model: nn.Module) -> bool:
    dropout = nn.modules.dropout._DropoutNd
    norms = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    return any(
        isinstance(m, nn.RReLU)
        or (isinstance(m, dropout) and m.p > 0)
        or (isinstance(m, norms) and m.track_running_stats)
        for m in model.modules()
    )
