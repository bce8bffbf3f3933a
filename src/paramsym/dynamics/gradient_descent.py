"""Gradient descent of many runs at once: all seeds, learning rates and starts in one program."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from operator import index
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from paramsym.dynamics.objectives import Functional, Loss, Objective, Params
from paramsym.dynamics.records import Records
from paramsym.dynamics.saving import Saving
from paramsym.dynamics.stepping import Rule, State

CHECK = 1000
"""After so many steps, at the latest, runs are looked at for divergence."""

POINTS = 100
"""About how many steps are recorded by default."""


@final
@dataclass(frozen=True, eq=False)
class Descent:
    """What `gradient_descent` returns; without `runs`, the axes of runs are absent.

    Attributes:
        steps: Recorded steps, `[T]`, int64; step k is after k updates.
        loss: Loss at each of them, `[T, runs]`; not finite from where a run diverged.
        recorded: What was asked for, {name: `[T, runs, …]`}; from where a run diverged NaN, or zero
            where the values are integers or truth values.
        params: Parameters after the last step, with their leading axis of runs.
        diverged_at: The first step at which a run was seen to be no longer finite, in its
            parameters or its loss, `[runs]`, int64; −1 where it never was. Looked at at recorded
            steps, every 1,000 steps, and at the end.
    """

    steps: Tensor
    loss: Tensor
    recorded: dict[str, Tensor]
    params: dict[str, Tensor]
    diverged_at: Tensor | int


@torch.no_grad()
def gradient_descent(
    loss: Loss | Objective,
    params: Params,
    *,
    lr: float | Tensor,
    steps: int,
    runs: int | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    at: Iterable[int] | None = None,
    record: Mapping[str, Loss] | None = None,
    checkpoint: Path | None = None,
    every: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Descent:
    """Gradient descent θ' = θ − η∇L(θ), of many runs in one tensor program.

    The update is that of torch.optim.SGD without dampening: b' = βb + g + λθ, θ' = θ − ηs with
    s = b', or g + λθ + βb' for Nesterov's kind. It is done in the dtype of the parameters.

    Args:
        loss: Of one run's parameter dict, differentiable by torch and deterministic; it is
            vectorised over runs by `torch.func.vmap`. Or an `Objective` of all runs, such as
            `paramsym.dynamics.two_layer.TwoLayer`, whose gradients are analytic and fused.
        params: Parameters at the start, all of one floating-point dtype on one device; left as they
            are.
        lr: Learning rate η, positive; one for all runs, or `[runs]`.
        steps: Number of updates.
        runs: Number of runs; every parameter then has a leading axis of that size. `None` is one
            run without such an axis.
        momentum: β, at least 0 and below 1.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: λ, of the coupled kind.
        at: Increasing steps at which to record, from 0, the start, to `steps`. By default about
            100, evenly in the logarithm, with 0 and the last.
        record: What to record besides the loss: functions of one run's parameters that return a
            tensor; vectorised over runs.
        checkpoint: A file to save to, and to go on from if it is there. The result is then the same
            to the last bit, on the same machine, as without an interruption. Where the loss and
            the functions of `record` are told apart by no more than their names and the losses at
            the start, it is for the caller to keep them the same. Left in place at the end.
        every: Save after every so many steps; by default whenever 30 seconds have passed.
        progress: Called with the number of steps done, every 1,000 steps or more often.

    Raises:
        TypeError: If a parameter, the learning rate or the loss is not of floating-point numbers.
        ValueError: If shapes, dtypes or devices do not fit one another, a number is out of its
            range, `at` is not increasing or out of range, or the checkpoint is damaged or that of
            another descent.
        FileNotFoundError: If the checkpoint's folder does not exist.
        IsADirectoryError: If the checkpoint is a folder.
    """
    rule = Rule(momentum, nesterov, weight_decay)
    _check_params(params, runs)
    rates = _rates(lr, params, runs)
    times = _times(at, steps)
    objective = loss if isinstance(loss, Objective) else Functional(loss)
    many = dict(params) if runs is not None else {k: p[None] for k, p in params.items()}
    state = State(many, rule, objective.transposed)
    records = Records(objective, state.params, _functions(record), len(times))
    advance = state.stepper(objective, rule, rates)
    saving = Saving(checkpoint, every, state, records)
    done = saving.resume(
        {
            "objective": type(objective).__name__,
            **objective.settings(),
            **asdict(rule),
            "lr": rates,
            "steps": steps,
            "at": times,
            "record": sorted(record or ()),
            **{f"params[{name!r}]": p for name, p in many.items()},
        }
    )
    recorded = set(times)
    for end in _ends(times, steps, every):
        if end <= done or records.all_diverged():
            continue
        advance(end - max(done, 0))
        done = end
        if end in recorded:
            records.take(state.params, end)
        elif end % CHECK == 0 or end == steps:
            records.look(state.params, end)
        saving.save(end, last=end == steps or records.all_diverged())
        if progress is not None:
            progress(end)
    return _descent(times, list(params), state, records, runs)


def _descent(
    times: list[int], names: list[str], state: State, records: Records, runs: int | None
) -> Descent:
    def one(tensor: Tensor, axis: int) -> Tensor:
        return tensor if runs is not None else tensor.squeeze(axis)

    rows = {name: one(row, 1) for name, row in records.rows.items()}
    diverged, dense = records.diverged_at, torch.contiguous_format
    return Descent(
        steps=torch.tensor(times),
        loss=rows.pop("loss"),
        recorded=rows,
        params={name: one(state.params[name], 0).clone(memory_format=dense) for name in names},
        diverged_at=diverged if runs is not None else int(diverged),
    )


def _ends(times: list[int], steps: int, every: int | None) -> list[int]:
    """Where to stop, to record, to look or to save, from the first to the last."""
    saves = range(every, steps, every) if every else ()
    return sorted({*times, *range(CHECK, steps, CHECK), *saves, steps})


def _check_params(params: Params, runs: int | None) -> None:
    if not isinstance(params, Mapping) or not params:
        raise TypeError(
            "`params` must be a dict of tensors by name, with one at least; "
            f"got {type(params).__name__}."
        )
    if runs is not None and (isinstance(runs, bool) or not isinstance(runs, int) or runs < 1):
        raise ValueError(f"`runs` must be a positive number of runs, or None; got {runs!r}.")
    first = next(iter(params))
    for name, p in params.items():
        if not isinstance(p, Tensor) or not p.is_floating_point():
            got = p.dtype if isinstance(p, Tensor) else type(p).__name__
            raise TypeError(
                f"`params[{name!r}]` must be a floating-point tensor; got {got}. "
                "Convert it with `.double()`, or leave it out."
            )
        if runs is not None and (p.ndim < 1 or p.shape[0] != runs):
            raise ValueError(
                f"`params[{name!r}]` must have a leading axis of {runs} runs; "
                f"got shape {tuple(p.shape)}."
            )
        if (p.dtype, p.device) != (params[first].dtype, params[first].device):
            raise ValueError(
                f"`params` must be of one dtype on one device; got {first!r} in "
                f"{params[first].dtype} on {params[first].device} and {name!r} in {p.dtype} "
                f"on {p.device}."
            )


def _rates(lr: float | Tensor, params: Params, runs: int | None) -> Tensor:
    like = next(iter(params.values()))
    rates = torch.as_tensor(lr, dtype=like.dtype, device=like.device).detach()
    if rates.ndim > 1 or (rates.ndim == 1 and (runs is None or len(rates) != runs)):
        expected = "a number" if runs is None else f"a number, or one for each of {runs} runs"
        raise ValueError(f"`lr` must be {expected}; got shape {tuple(rates.shape)}.")
    if not bool(((rates > 0) & rates.isfinite()).all()):
        raise ValueError(f"`lr` must be positive and finite; got {rates.tolist()}.")
    return rates.expand(runs or 1)


def _times(at: Iterable[int] | None, steps: int) -> list[int]:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"`steps` must be a whole number, 0 or more; got {steps!r}.")
    if at is None:
        spread = (round(steps ** (k / POINTS)) for k in range(POINTS))
        return sorted({0, steps, *spread}) if steps else [0]
    times = [index(t) for t in at]
    increasing = all(a < b for a, b in pairwise(times))
    if not times or not increasing or times[0] < 0 or times[-1] > steps:
        raise ValueError(
            f"`at` must be increasing steps between 0 and {steps}, one at least; got {times}."
        )
    return times


def _functions(record: Mapping[str, Loss] | None) -> Mapping[str, Loss]:
    if record is not None and "loss" in record:
        raise ValueError("`record` must not have an entry 'loss': the loss is always recorded.")
    return record or {}
