"""The comparisons are seen to fail on mistakes that sharded code invites."""

from collections.abc import Callable, Sequence
from functools import partial
from unittest import mock

import pytest
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from paramsym import moment_map, rows, sharded, symmetry
from tests.laws.measure import EPS
from tests.laws.subjects import subject
from tests.sharded.agreement import acting, conserving
from tests.sharded.layouts import FLAT, mesh, placed
from tests.sharded.processes import Processes
from tests.sharded.test_fully_shard import gathered_parameters_are_moved


def _local_sums(sums: Tensor, like: Tensor, axes: Sequence[int] = ()) -> Tensor:
    """What `.item()` and `to_local()` of a partial sum give: this process's share."""
    return sharded.summed(sums, like, axes) if axes else sums


def _first_share(sums: Tensor, like: Tensor, axes: Sequence[int] = ()) -> Tensor:
    return sharded.summed(sums if dist.get_rank() == 0 else 0 * sums, like, axes)


def _other_part(values: Tensor, like: DTensor) -> Tensor:
    """Rows of another process."""
    return sharded.part_of(values.flip(0), like)


def _faulty(name: str) -> float:
    """The residual with the mistake, in units of the rounding bound."""
    on = mesh(2)
    place = partial(placed, layout=FLAT["rows"], on=on)
    relu, linear = subject("dense relu"), subject("dense identity")
    faults: dict[str, tuple[object, str, object, Callable[[], float]]] = {
        "no sum over processes, matrices": (
            *(moment_map, "summed", _local_sums),
            lambda: conserving(linear, place),
        ),
        "one process's sum, matrices": (
            *(moment_map, "summed", _first_share),
            lambda: conserving(linear, place),
        ),
        "one process's sum, scalings": (
            *(rows, "summed", _first_share),
            lambda: conserving(relu, place),
        ),
        "scales of another process": (
            *(rows, "part_of", _other_part),
            lambda: acting(relu, place),
        ),
        "parameters left gathered": (
            *(symmetry, "is_fully_sharded", lambda _: False),
            lambda: gathered_parameters_are_moved()[1] / EPS,
        ),
    }
    owner, attribute, fault, measure = faults[name]
    assert measure() <= 1e2
    with mock.patch.object(owner, attribute, fault):
        return measure()


@pytest.mark.parametrize(
    "name",
    [
        "no sum over processes, matrices",
        "one process's sum, matrices",
        "one process's sum, scalings",
        "scales of another process",
        "parameters left gathered",
    ],
)
def test_fault_is_seen(name: str, pair: Processes) -> None:
    assert all(ratio > 1e6 for ratio in pair.run(_faulty, name))
