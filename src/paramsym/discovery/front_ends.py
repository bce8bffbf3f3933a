"""Three ways to record a run: without values, by the exporter, and with values."""

from dataclasses import replace
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import ExportedProgram

from paramsym.discovery.composites import taken_apart
from paramsym.discovery.dispatching import record_run
from paramsym.discovery.exporting import export, from_program
from paramsym.discovery.noting import NotFollowedError
from paramsym.discovery.ops import RULES
from paramsym.discovery.recording import Recording, rejected
from paramsym.discovery.watching import watch
from paramsym.discovery.writing import functional, writes_through_views
from paramsym.parameters import not_finite


def record(
    model: nn.Module | ExportedProgram, args: tuple[Any, ...] | None, kwargs: dict[str, Any]
) -> Recording:
    """The run of a model as data, in the first way that can follow it; raises as `discover`."""
    recording = _recorded(model, args, kwargs)
    if not recording.outputs:
        raise ValueError(
            "the model returns no tensor, so that there is no function to keep. Let it return its "
            "outputs as tensors, alone, in containers or in objects that hold them."
        )
    return _without_empty_parameters(recording)


def _without_empty_parameters(recording: Recording) -> Recording:
    """The run with parameters that have no entries as constants, on which no output depends."""
    empty = {name for name, tensor in recording.state.items() if tensor.numel() == 0}
    if not empty:
        return recording
    ids = recording.parameter_ids
    nothing = {i: recording.state[name] for i, name in ids.items() if name in empty}
    return replace(
        recording,
        parameter_ids={i: name for i, name in ids.items() if i not in nothing},
        constants={**recording.constants, **nothing},
    )


def _recorded(
    model: nn.Module | ExportedProgram, args: tuple[Any, ...] | None, kwargs: dict[str, Any]
) -> Recording:
    if isinstance(model, ExportedProgram):
        return _converted(taken_apart(model, RULES), args=args, kwargs=kwargs)
    if not isinstance(model, nn.Module):
        hint = _instead_of(model)
        raise TypeError(
            "`model` must be a torch.nn.Module or a torch.export.ExportedProgram; "
            f"got {model if isinstance(model, type) else type(model).__name__}.{hint}"
        )
    if isinstance(args, Tensor):
        raise TypeError("`args` must be a tuple of inputs; got a tensor. Pass `(x,)`.")
    if args is None and kwargs:
        args = ()
    if not isinstance(args, tuple | list):
        hint = " Inputs by name are `kwargs`." if isinstance(args, dict) else ""
        raise TypeError(
            "`args` must be a tuple of example inputs, as for `model(*args)`; "
            f"got {type(args).__name__}.{hint}"
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


def _instead_of(model: object) -> str:
    if isinstance(model, type):
        return " Pass an instance, not the class."
    if callable(model):
        return " Write a module around it that holds its parameters."
    return " Load it into its module first." if isinstance(model, dict) else ""


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
    except NotFollowedError as error:
        raise ValueError(f"the model cannot be followed: {error}.") from error
    except Exception as error:
        if isinstance(error, NotImplementedError) and "HigherOrderOperator" in str(error):
            raise ValueError(
                "the model cannot be followed: it has an op that calls functions, such as "
                "torch.cond. Let it use Python's own control flow."
            ) from error
        if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
            raise ValueError(
                "`model` is made by torch.jit, or has such a part, whose code cannot be followed. "
                "Pass the module that it was made from."
            ) from error
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
        raise ValueError(
            "`model` has no parameters, so there is no parameter space to look at. Packed weights "
            "of quantised layers are none: pass the model from before."
        )


def _depends_on_mode(model: nn.Module) -> bool:
    dropout = nn.modules.dropout._DropoutNd
    norms = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    return any(
        isinstance(m, nn.RReLU)
        or (isinstance(m, dropout) and m.p > 0)
        or (isinstance(m, norms) and m.track_running_stats)
        for m in model.modules()
    )
