"""Slow dense twins of the action: one matrix a port on all entries of a parameter, and plain loops.

They read the same data (ports and terms) and share no code with `paramsym.action`.
"""

from itertools import product

import numpy as np
import torch
from torch import Tensor

import paramsym as ps
from tests.laws.subject import Params


def representation(family: ps.Family, g: Tensor) -> Tensor:
    """The linear part of a group element, as `[copies, n, n]` matrices also where diagonal."""
    linear = family.group.linear(g)
    assert linear is not None
    return torch.diag_embed(linear) if family.group.diagonal else linear


def on_entries(port: ps.Port, blocks: Tensor, params: Params, rest: float) -> Tensor:
    """The matrix on all entries of the port's parameter.

    Args:
        blocks: `[copies, n, n]`, conjugated here by the port's frame.
        rest: Diagonal entry for coordinates that the port does not take: 1 for a group element,
            0 for a generator.
    """
    size = params[port.parameter].numel()
    rows = torch.arange(size).reshape(port.view)
    rows = rows.permute(*port.axes, *(a for a in range(rows.ndim) if a not in port.axes))
    rows = rows.reshape(-1, size // port.row_count)
    matrix = rest * torch.eye(size, dtype=torch.float64)
    copies, n, multiplicity = port.index.shape
    for copy, i, j, k in product(range(copies), range(n), range(n), range(multiplicity)):
        value = blocks[copy, i, j]
        if port.frame is not None:
            gain = params[port.frame.parameter].reshape(-1, n)
            gain = gain.expand(copies, n)[copy] + port.frame.offset
            value = value * (gain[j] / gain[i] if port.dual else gain[i] / gain[j])
        matrix[rows[port.index[copy, i, k]], rows[port.index[copy, j, k]]] = value
    return matrix


def change(term: ps.Term, translation: Tensor, params: Params) -> Tensor:
    """What a term adds, shaped like its target, by a loop over all letters."""
    inputs, output = term.equation.split("->")
    letters = inputs.split(",")
    operands = [translation.numpy()]
    for source in term.sources:
        held = params
        if source.values is not None:
            values = torch.tensor(source.values, dtype=torch.float64)
            held = {source.slot.parameter: values.reshape(source.slot.view)}
        operands.append((_block(source.slot, held) + source.offset) ** float(source.power))
    total = np.zeros(tuple(params[term.target.parameter].shape))
    block = total[_slices(term.target)]
    sizes = dict(zip(output, block.shape, strict=True))
    for names, operand in zip(letters, operands, strict=True):
        sizes |= dict(zip(names, operand.shape, strict=True))
    for where in product(*(range(size) for size in sizes.values())):
        at = dict(zip(sizes, where, strict=True))
        value = term.coefficient
        for names, operand in zip(letters, operands, strict=True):
            value = value * operand[tuple(at[x] for x in names)]
        block[tuple(at[x] for x in output)] += value
    return torch.from_numpy(total)


def _slices(slot: ps.Slot) -> tuple[slice, ...]:
    return tuple(slice(*b) if b else slice(None) for b in slot.block)


def _block(slot: ps.Slot, params: Params) -> np.ndarray:
    return params[slot.parameter].numpy()[_slices(slot)]


def act(symmetry: ps.Symmetry, g: ps.GroupElement, params: Params) -> dict[str, Tensor]:
    """Letter by letter, port by port, each a matrix on all entries of a parameter."""
    moved = dict(params)
    for name, letter in zip(g.names, g.tensors, strict=True):
        family = symmetry[name]
        for port in family.ports:
            rho = representation(family, letter)
            if family.group.diagonal:
                rho = torch.diag_embed(rho.diagonal(dim1=-2, dim2=-1) ** port.degree)
            rho = torch.linalg.inv(rho).mT if port.dual else rho
            tensor = moved[port.parameter]
            matrix = on_entries(port, rho, moved, 1.0)
            moved[port.parameter] = (matrix @ tensor.flatten()).reshape(tensor.shape)
        for term in family.terms:
            translation = family.group.translation(letter)
            assert translation is not None
            name = term.target.parameter
            moved[name] = moved[name] + change(term, translation, moved)
    return moved


def tangent(symmetry: ps.Symmetry, M: ps.AlgebraElement, params: Params) -> dict[str, Tensor]:
    """The sum of all ports' generators and all terms, at fixed parameters."""
    field = {k: torch.zeros_like(p) for k, p in params.items()}
    for name, part in M.items():
        family = symmetry[name]
        for port in family.ports:
            rho = representation(family, part) * port.degree
            tensor = params[port.parameter]
            matrix = on_entries(port, -rho.mT if port.dual else rho, params, 0.0)
            field[port.parameter] += (matrix @ tensor.flatten()).reshape(tensor.shape)
        for term in family.terms:
            translation = family.group.translation(part)
            assert translation is not None
            field[term.target.parameter] += change(term, translation, params)
    return field


def moment(symmetry: ps.Symmetry, params: Params, covector: Params) -> dict[str, Tensor]:
    """⟨covector, E·θ⟩ for every generator E of an orthonormal basis of each family."""
    moments = {}
    for family in symmetry:
        total = torch.zeros(family.group.shape, dtype=torch.float64)
        for E in family.group.basis():
            M = ps.AlgebraElement({family.name: family.group}, {family.name: E})
            field = tangent(symmetry, M, params)
            pairing = sum(float((covector[k] * field[k]).sum()) for k in field)
            total += pairing * E / E.square().sum()
        moments[family.name] = total
    return moments
