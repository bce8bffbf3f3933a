"""A smaller multilayer perceptron that computes the same function."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from paramsym.certification.certificate import Unit

AGREES = 1e-9
"""Relative size of what may be left of a unit after its twin and a constant are taken away."""


@torch.no_grad()
def without_units(model: nn.Sequential, units: Iterable[Unit], inputs: Tensor) -> nn.Sequential:
    """The model without hidden units that can go: dead, constant, or a multiple of another.

    What a unit puts out, a multiple of its twin and a constant, is measured on the inputs and added
    to what the reader's other columns and its bias give.

    Args:
        model: `nn.Linear` layers with activations in between that act entry by entry.
        units: Of a certificate of this model at its own parameters (`at="here"`).
        inputs: Inputs `[n, features]`, n ≥ 2; enough that a wrong claim would show.

    Returns:
        A new module; the old one is left as it is.

    Raises:
        TypeError: If the model is no `nn.Sequential`.
        ValueError: If a unit's layer is no linear layer behind another one, a unit does not do on
            these inputs what its kind says, or a reader has no bias to take a constant up.
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(
            f"`model` must be an nn.Sequential of linear layers and activations; got "
            f"{type(model).__name__}. Write a plain one with the same layers."
        )
    smaller = copy.deepcopy(model)
    by_reader: dict[int, list[Unit]] = {}
    for unit in units:
        by_reader.setdefault(_reader(smaller, unit), []).append(unit)
    # From the last layer to the first, so that the columns of a reader keep their numbers.
    for at in sorted(by_reader, reverse=True):
        _remove(smaller, at, by_reader[at], _hidden(model, at, inputs))
    return smaller


def _reader(model: nn.Sequential, unit: Unit) -> int:
    place, _, kind = unit.layer.partition(".")
    linear = [i for i, layer in enumerate(model) if isinstance(layer, nn.Linear)]
    if kind != "weight" or not place.isdigit() or int(place) not in linear[1:]:
        raise ValueError(
            f"`units` names {unit.layer!r}, which must be the weight of an nn.Linear of `model` "
            f"behind another one; these are {[f'{i}.weight' for i in linear[1:]]}."
        )
    return int(place)


def _hidden(model: nn.Sequential, at: int, inputs: Tensor) -> Tensor:
    """What the layer at that place reads, `[n, h]`."""
    x = inputs
    for layer in list(model)[:at]:
        x = layer(x)
    return x.flatten(0, -2)


def _remove(model: nn.Sequential, at: int, units: list[Unit], hidden: Tensor) -> None:
    reader = model[at]
    writer_at = max(i for i in range(at) if isinstance(model[i], nn.Linear))
    writer = model[writer_at]
    assert isinstance(reader, nn.Linear)
    assert isinstance(writer, nn.Linear)
    weight, bias = reader.weight.clone(), reader.bias
    for unit in units:
        multiple, constant = _share(unit, hidden)
        if unit.of is not None:
            weight[:, unit.of] += multiple * weight[:, unit.unit]
        if constant and bias is None:
            raise ValueError(
                f"unit {unit.unit} of {unit.layer!r} adds a constant, which the layer has no bias "
                "to take up. Leave that unit in, or give the layer a bias."
            )
        if constant:
            bias += constant * weight[:, unit.unit]
    gone = {unit.unit for unit in units}
    kept = torch.tensor([i for i in range(reader.in_features) if i not in gone], dtype=torch.int64)
    reader.weight = nn.Parameter(weight[:, kept])
    reader.in_features = writer.out_features = len(kept)
    writer.weight = nn.Parameter(writer.weight[kept])
    if writer.bias is not None:
        writer.bias = nn.Parameter(writer.bias[kept])


def _share(unit: Unit, hidden: Tensor) -> tuple[float, float]:
    """a and c with h_unit = a·h_of + c on the inputs; a = 0 without a twin."""
    own = hidden[:, unit.unit]
    size = float(hidden.abs().max()) or 1.0
    multiple, constant = 0.0, 0.0
    if unit.of is not None:
        twin = hidden[:, unit.of]
        centred = twin - twin.mean()
        multiple = float((centred @ own) / (centred @ centred).clamp_min(1e-300))
        own = own - multiple * twin
    if unit.kind != "dead":
        constant = float(own.mean())
        constant = constant if abs(constant) > AGREES * size else 0.0
    left = float((own - constant).abs().max())
    if left > AGREES * size:
        raise ValueError(
            f"unit {unit.unit} of {unit.layer!r} is not {unit.kind} on these inputs: {left:.1e} "
            'is left of it. Certify this very model with `at="here"`, in float64.'
        )
    return multiple, constant
