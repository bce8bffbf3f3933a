"""Q of eq. (53) along scalings of the hidden layer that keep the outputs at the samples.

ReLU has such scalings as a symmetry of the weights, T₊(h), which keeps the whole function. Tanh and
sigmoid have no continuous linear symmetry; there the data-dependent action of GL(h) (Section 4) is
taken at the samples X = I, of which there are h. It keeps the outputs at these, so the loss, and
changes them elsewhere.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paramsym import discover, equivariance
from paramsym.data_dependent import hidden_space
from paramsym.experiments.experiment import Arrays
from paramsym.laws.elementwise import elementwise
from paramsym.laws.potentials import potential

MODULES: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}

DECADES = 0.5
"""Scalings c run from 10^−½ to 10^½: beyond, the outputs' rounding errors grow fast."""

POINTS = 61
"""Closer together near c = 1, where Q may have peaks: tanh(cV) can be nearly singular there."""


def rescale(settings: Mapping[str, Any], folder: Path) -> Arrays:
    """Move one initial network by V ↦ cV for c on both sides of 1.

    Args:
        settings: `activation`, `width` (m = h = n) and `seed`.
        folder: Not used.

    Returns:
        `scales` `[C]`, `Q` `[C]` (eq. (53)), `change` `[C]`, the largest change of an output at the
        samples relative to the largest output, `elsewhere` `[C]`, the same at fresh inputs, and
        `symmetries` `[]`, the dimension of the activation's own linear symmetry on R⁴.
    """
    name, width = settings["activation"], settings["width"]
    generator = torch.Generator().manual_seed(settings["seed"])
    model = nn.Sequential(
        nn.Linear(width, width, bias=False), MODULES[name](), nn.Linear(width, width, bias=False)
    ).double()
    params = {
        k: torch.randn(p.shape, generator=generator, dtype=p.dtype) / width**0.5
        for k, p in model.named_parameters()
    }
    model.load_state_dict(params)
    samples = torch.eye(width, dtype=torch.float64)
    fresh = torch.randn(width, width, generator=generator, dtype=torch.float64) / width**0.5
    x = torch.linspace(-1, 1, POINTS, dtype=torch.float64)
    scales = 10 ** (DECADES * x * x.abs())
    move = _move(model, name, samples)
    moved = [move(float(c), params) for c in scales]
    return {
        "scales": scales,
        "Q": torch.stack([conserved(name, p) for p in moved]),
        "change": torch.stack([_change(model, params, p, samples) for p in moved]),
        "elsewhere": torch.stack([_change(model, params, p, fresh) for p in moved]),
        "symmetries": torch.tensor(equivariance(model[1], 4).group_dim),
    }


def conserved(name: str, params: Mapping[str, Tensor]) -> Tensor:
    """Eq. (53) at X = I, which is −½ of the sum of what `elementwise` gives for each neuron."""
    V, U = params["0.weight"], params["2.weight"]
    eye = torch.eye(V.shape[1], dtype=V.dtype)
    return -elementwise(V, U, eye, potential(name)).sum() / 2


def _move(
    model: nn.Sequential, name: str, samples: Tensor
) -> Callable[[float, Mapping[str, Tensor]], dict[str, Tensor]]:
    """A function of c and the parameters."""
    width = samples.shape[1]
    if name == "relu":
        symmetry = discover(model, (samples,))
        (family,) = symmetry
        ones = torch.ones(width, dtype=torch.float64)
        return lambda c, params: symmetry.act({family.name: c * ones}, params, check=True)
    space = hidden_space(model, "0", "2", (samples,))
    eye = torch.eye(width, dtype=torch.float64)
    return lambda c, params: space.act(c * eye, params, (samples,), check=True)


def _change(
    model: nn.Module, before: Mapping[str, Tensor], after: Mapping[str, Tensor], inputs: Tensor
) -> Tensor:
    with torch.no_grad():
        old = torch.func.functional_call(model, dict(before), (inputs,))
        new = torch.func.functional_call(model, dict(after), (inputs,))
    return (new - old).abs().max() / old.abs().max()
