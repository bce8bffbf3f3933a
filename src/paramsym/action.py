"""How families act on parameters, and infinitesimally.

Functions over `Family` values and parameter dicts. They are pure, read names and shapes only, and
so run under `torch.func` (grad, vmap, jvp) on any floating dtype and device.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from paramsym.discrete.family import DiscreteFamily
from paramsym.family import Family
from paramsym.groups import LowRank
from paramsym.ports import Port
from paramsym.rows import is_plain, scale
from paramsym.sharded import here, through

Letter = Tensor | LowRank
"""An element of a family's group: a tensor of its shape, or matrices in factors."""


def act(
    factors: Iterable[tuple[Family | DiscreteFamily, Letter]], params: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Apply group elements, the first factor first; eq. (3) for every kind of family.

    Scalings are held back and applied together, once for each parameter.

    Args:
        factors: Families and elements of their groups.
        params: Parameter dict; it is not changed.

    Returns:
        A new dict with the same keys. Entries that no factor moves are the same tensors.
    """
    moved = dict(params)
    _act(factors, moved, set())
    return moved


def act_(
    factors: Iterable[tuple[Family | DiscreteFamily, Letter]], params: Mapping[str, Tensor]
) -> None:
    """As `act`, on the tensors themselves: beside them one new parameter exists at a time."""
    # Detached, they are the same memory, in which no graph forbids writing.
    _act(factors, _Overwritten({k: p.detach() for k, p in params.items()}), set(params))


class _Overwritten(dict[str, Tensor]):
    """Parameters to which one assigns by writing into their tensors."""

    def __setitem__(self, name: str, value: Tensor) -> None:
        if here(value).data_ptr() != here(self[name]).data_ptr():
            self[name].copy_(value)


def _act(
    factors: Iterable[tuple[Family | DiscreteFamily, Letter]],
    moved: dict[str, Tensor],
    owned: set[str],
) -> None:
    """Move `moved`; the tensors named in `owned`, to which it adds its own, may be overwritten."""
    held: dict[str, list[tuple[Port, Tensor]]] = {}

    def settle(names: Iterable[str]) -> None:
        for name in names:
            if name in held:
                moved[name] = scale(moved[name], held.pop(name), overwrite=name in owned)
                owned.add(name)

    for family, g in factors:
        if isinstance(family, DiscreteFamily):
            assert isinstance(g, Tensor)
            settle(family.moves)
            _act_discretely(family, g, moved, owned)
            continue
        if isinstance(g, LowRank):
            settle(family.moves | family.reads)
            _act_by_matrices(family, g, g.inverse(), moved, owned)
            continue
        if family.group.diagonal:
            scales = family.group.linear(g)
            assert scales is not None
            for port in family.ports:
                exponent = -port.degree if port.dual else port.degree
                power = scales if exponent == 1 else scales**exponent
                held.setdefault(port.parameter, []).append((port, power))
            continue
        settle(family.moves | family.reads)
        matrix = family.group.linear(g)
        if matrix is not None:
            inverse = family.group.linear(family.group.inverse(g))
            assert inverse is not None
            _act_by_matrices(family, matrix, inverse, moved, owned)
        translation = family.group.translation(g)
        if translation is not None:
            for term in family.terms:
                name = term.target.parameter
                moved[name] = term.target.add(moved[name], term.change(translation, moved))
    settle(list(held))


def _act_discretely(
    family: DiscreteFamily, g: Tensor, moved: dict[str, Tensor], owned: set[str]
) -> None:
    for port in family.ports:
        name = port.parameter
        moved[name] = _through_port(
            port,
            moved[name],
            lambda rows: family.group.apply(g, rows),
            overwrite=name in owned,
        )
        owned.add(name)


def _act_by_matrices(
    family: Family, matrix: Letter, inverse: Letter, moved: dict[str, Tensor], owned: set[str]
) -> None:
    for port in family.ports:
        rho = inverse.mT if port.dual else matrix

        def change(rows: Tensor, rho: Letter = rho, port: Port = port) -> Tensor:
            return _framed(rho, port, moved, rows)

        name = port.parameter
        moved[name] = _through_port(port, moved[name], change, overwrite=name in owned)
        owned.add(name)


def _through_port(
    port: Port,
    tensor: Tensor,
    change: Callable[[Tensor], Tensor],
    onto: Callable[[Tensor], Tensor] | None = None,
    *,
    overwrite: bool = False,
) -> Tensor:
    """The tensor, or `onto(tensor)`, with the port's rows replaced by what `change` makes of them.

    A sharded parameter is cut along its columns for it, where the port sees the axes as they are.
    """

    def replaced(part: Tensor) -> Tensor:
        own = port.on_part(part.shape, tensor.shape)
        rows = change(own.rows(part))
        base = onto(part) if onto else part
        if not (is_plain(base, rows) and own.writes_into(base)):
            return own.put(base, rows)
        # Where no transform forbids it, into memory in the parameter's own order.
        result = base if overwrite or onto else base.clone()
        own.write_(result, rows)
        return result

    return through(tensor, port.whole_axes(tensor.shape), replaced)


def tangent(
    parts: Iterable[tuple[Family, Tensor]], params: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Infinitesimal action: the vector field of algebra elements, d/dt act(exp(tM)) at t = 0.

    Args:
        parts: Families and elements of their Lie algebras; their fields add.
        params: Parameter dict.

    Returns:
        The field on the parameters that it moves; other parameters are absent.
    """
    field: dict[str, Tensor] = {}

    def add(name: str, value: Tensor) -> None:
        field[name] = field[name] + value if name in field else value

    for family, M in parts:
        linear = family.group.linear(M)
        if linear is not None:
            for port in family.ports:
                tensor = params[port.parameter]
                if family.group.diagonal:
                    degree = -port.degree if port.dual else port.degree
                    add(port.parameter, scale(tensor, [(port, degree * linear)], rest=0.0))
                else:
                    rho = -linear.mT if port.dual else linear

                    def turned(rows: Tensor, rho: Tensor = rho, port: Port = port) -> Tensor:
                        return _framed(rho, port, params, rows)

                    add(port.parameter, _through_port(port, tensor, turned, torch.zeros_like))
        translation = family.group.translation(M)
        if translation is not None:
            for term in family.terms:
                tensor = params[term.target.parameter]
                change = term.change(translation, params)
                add(term.target.parameter, term.target.add(torch.zeros_like(tensor), change))
    return field


def _framed(rho: Letter, port: Port, params: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """Apply a matrix to rows, conjugated by the port's frame; readers by the dual gain."""
    rho = rho.to(rows)
    if isinstance(rho, LowRank):
        return in_frame(rho, port, params) @ rows
    if port.frame is None:
        if rho.shape[-1] == 1:
            return rho * rows
        # A product is laid out as its last factor is; rows of a column port lie one apart.
        return rho @ rows if rows.stride(-1) == 1 else (rows.mT @ rho.mT).mT
    gain = port.frame.diagonal(params, *port.index.shape[:2]).to(rows)
    return (rho @ (rows * gain)) / gain if port.dual else gain * (rho @ (rows / gain))


def in_frame(rho: LowRank, port: Port, params: Mapping[str, Tensor]) -> LowRank:
    """A matrix on a port's rows, conjugated by its frame; readers by the dual gain."""
    if port.frame is None:
        return rho
    gain = port.frame.diagonal(params, *port.index.shape[:2]).to(rho.left)
    return rho.conjugated(gain.reciprocal() if port.dual else gain)
