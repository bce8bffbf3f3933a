"""How families act: on parameters, infinitesimally, and dually by the moment map.

Functions over `Family` values and parameter dicts. They are pure, read names and shapes only, and
so run under `torch.func` (grad, vmap, jvp) on any floating dtype and device.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.ports import Port
from paramsym.rows import RowsOf, row_dots, rows_of, scale


def act(
    factors: Iterable[tuple[Family, Tensor]], params: Mapping[str, Tensor]
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
    held: dict[str, list[tuple[Port, Tensor]]] = {}

    def settle(names: Iterable[str]) -> None:
        for name in names:
            if name in held:
                moved[name] = scale(moved[name], held.pop(name))

    for family, g in factors:
        if family.group.diagonal:
            scales = family.group.linear(g)
            assert scales is not None
            for port in family.ports:
                exponent = -port.degree if port.dual else port.degree
                power = scales if exponent == 1 else scales**exponent
                held.setdefault(port.parameter, []).append((port, power))
            continue
        settle(family.moves | family.reads)
        _act_by_matrices(family, g, moved)
        translation = family.group.translation(g)
        if translation is not None:
            for term in family.terms:
                name = term.target.parameter
                moved[name] = term.target.add(moved[name], term.change(translation, moved))
    settle(list(held))
    return moved


def _act_by_matrices(family: Family, g: Tensor, moved: dict[str, Tensor]) -> None:
    matrix = family.group.linear(g)
    if matrix is None:
        return
    inverse = family.group.linear(family.group.inverse(g))
    assert inverse is not None
    for port in family.ports:
        tensor = moved[port.parameter]
        rho = (inverse.mT if port.dual else matrix).to(tensor)
        moved[port.parameter] = port.put(tensor, _framed(rho, port, moved, port.rows(tensor)))


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
                    rate = port.spread((degree * linear).to(tensor), 0.0)
                    add(port.parameter, (tensor.reshape(port.view) * rate).reshape(tensor.shape))
                else:
                    rho = (-linear.mT if port.dual else linear).to(tensor)
                    rows = _framed(rho, port, params, port.rows(tensor))
                    add(port.parameter, port.put(torch.zeros_like(tensor), rows))
        translation = family.group.translation(M)
        if translation is not None:
            for term in family.terms:
                tensor = params[term.target.parameter]
                change = term.change(translation, params)
                add(term.target.parameter, term.target.add(torch.zeros_like(tensor), change))
    return field


def moments(
    families: Iterable[Family], params: Mapping[str, Tensor], covector: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Moment map: for each family the element P of the dual algebra with ⟨covector, M·θ⟩ = ⟨P, M⟩
    for all M.

    It is the adjoint of `tangent`. With the covector θ its symmetric part is the conserved
    quantity Q (eq. (12)); with ∇L it vanishes (Proposition 3.4); with a velocity its antisymmetric
    part is the angular momentum (eq. (13)).

    Args:
        families: The families; only parameters that they move or read are looked up.
        params: Parameter dict.
        covector: Dict of tensors shaped like the parameters.

    Returns:
        For each family a tensor of its group's shape, projected onto the algebra.
    """
    families = list(families)
    ports = [port for family in families if family.group.diagonal for port in family.ports]
    dots = row_dots(ports, params, covector)
    return {family.name: _moment(family, params, covector, dots) for family in families}


def moment(family: Family, params: Mapping[str, Tensor], covector: Mapping[str, Tensor]) -> Tensor:
    """The moment map of one family."""
    return moments([family], params, covector)[family.name]


def _moment(
    family: Family,
    params: Mapping[str, Tensor],
    covector: Mapping[str, Tensor],
    dots: Mapping[RowsOf, Tensor],
) -> Tensor:
    group = family.group
    linear: Tensor | None = None
    for port in family.ports:
        if group.diagonal:
            degree = -port.degree if port.dual else port.degree
            share = degree * port.collect(dots[rows_of(port)])
        else:
            share = _matrix_moment(port, params, covector)
        linear = share if linear is None else linear + share
    translation: Tensor | None = None
    for term in family.terms:
        share = term.adjoint(term.target.read(covector), params)
        share = share.expand((*group.shape[: share.ndim - 1], group.n))
        translation = share if translation is None else translation + share
    if group.translates and translation is None:
        assert linear is not None
        translation = linear.new_zeros(linear.shape[:2])
    return group.project(group.from_parts(linear, translation))


def _matrix_moment(
    port: Port, params: Mapping[str, Tensor], covector: Mapping[str, Tensor]
) -> Tensor:
    x, y = port.rows(params[port.parameter]), port.rows(covector[port.parameter])
    if port.frame is not None:
        gain = port.frame.diagonal(params, *port.index.shape[:2])
        x, y = (x * gain, y / gain) if port.dual else (x / gain, y * gain)
    return -(x @ y.mT) if port.dual else y @ x.mT


def _framed(rho: Tensor, port: Port, params: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """Apply a matrix to rows, conjugated by the port's frame; readers by the dual gain."""
    if port.frame is None:
        return rho @ rows
    gain = port.frame.diagonal(params, *port.index.shape[:2]).to(rows)
    return (rho @ (rows * gain)) / gain if port.dual else gain * (rho @ (rows / gain))
