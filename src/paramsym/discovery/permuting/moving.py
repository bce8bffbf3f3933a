"""A word of permutations and signs, gathered along every axis of a parameter once.

The check moves all parameters several times, which for a large model is most of its work.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from paramsym.action import act
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations
from paramsym.ports import Port

Word = Sequence[tuple[DiscreteFamily, Tensor]]


def move(word: Word, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As `act`; letters on different axes of a parameter commute, those on one are composed."""
    joint = {port.parameter for f, _ in word for port in f.ports if len(port.axes) > 1}
    letters: dict[str, dict[int, list[tuple[DiscreteFamily, Port, Tensor]]]] = {}
    moved = dict(params)
    for family, g in word:
        for port in family.ports:
            if port.parameter in joint or port.view != tuple(params[port.parameter].shape):
                only = DiscreteFamily(family.name, family.group, (port,))
                moved[port.parameter] = act([(only, g)], moved)[port.parameter]
            else:
                on_axis = letters.setdefault(port.parameter, {})
                on_axis.setdefault(port.axes[0], []).append((family, port, g))
    for name, axes in letters.items():
        for axis, composed in axes.items():
            moved[name] = _gathered(moved[name], axis, composed)
    return moved


def _gathered(
    tensor: Tensor, axis: int, letters: Sequence[tuple[DiscreteFamily, Port, Tensor]]
) -> Tensor:
    order = torch.arange(tensor.shape[axis])
    signs = torch.ones(tensor.shape[axis], dtype=torch.float64)
    for family, port, g in letters:
        where = port.index.flatten()
        if isinstance(family.group, Permutations):
            source = family.group.apply(g, port.index).flatten()
            order, signs = (x.index_copy(0, where, x[source]) for x in (order, signs))
        else:
            change = family.group.apply(g, torch.ones(port.index.shape, dtype=torch.float64))
            signs[where] *= change.flatten()
    identity = bool((order == torch.arange(len(order))).all())
    result = tensor if identity else _taken(tensor, axis, order)
    if bool((signs == 1).all()):
        return result
    shape = [-1 if a == axis else 1 for a in range(tensor.ndim)]
    return result * signs.view(shape).to(tensor)


def _taken(tensor: Tensor, axis: int, order: Tensor) -> Tensor:
    """As `index_select`, which is slow along an axis whose entries lie side by side."""
    order = order.to(tensor.device)
    if axis == tensor.ndim - 1 and axis > 0:
        return tensor.gather(axis, order.expand(tensor.shape))
    return tensor.index_select(axis, order)
