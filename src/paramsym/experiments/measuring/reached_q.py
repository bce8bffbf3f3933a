"""Where common initialisers put Q, and where the orbit allows it to be."""

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from paramsym.discovery import discover
from paramsym.experiments.experiment import Arrays
from paramsym.experiments.measuring.initialisers import INITIALISERS
from paramsym.nets import MLP
from paramsym.orbit import set_conserved
from paramsym.orbit.initialising import init_conserved_
from paramsym.symmetry import Symmetry

FARTHEST = 6.0
"""Largest imbalance that is asked for: the squares of writers and readers are as e^12 to 1."""


def drawn(settings: Mapping[str, Any], folder: Path) -> Arrays:
    """Draw networks by one initialiser at one width, ReLU networks and linear ones.

    Settings: `initialiser`, `widths` (n, h, m), `networks`, `seed`.

    Returns:
        Of each ReLU network, `[networks]`: `mean` of Q over its neurons; `square`, the mean square
        of the distance of Q from what was predicted; `size`, the mean of the sum of its terms;
        `imbalance` `[networks, h]`, ½ log of writers over readers, both squared. Of each linear
        network `matrix`, tr(Q²)/h, and `inertia` `[networks, 2]`, the numbers of positive and of
        negative eigenvalues.
    """
    initialiser = INITIALISERS[settings["initialiser"]]
    widths = tuple(settings["widths"])
    expected = initialiser.moments(*widths)
    generator = torch.Generator().manual_seed(settings["seed"])
    rows: dict[str, list[Tensor]] = {}

    def note(**found: Tensor) -> None:
        for name, value in found.items():
            rows.setdefault(name, []).append(value.double())

    for activation in ("relu", "identity"):
        symmetry = symmetry_of(widths, activation)
        for _ in range(settings["networks"]):
            params = params_of(initialiser.draw(widths, activation, generator))
            (Q,) = symmetry.conserved(params).values()
            if activation == "relu":
                written, read = squares(params)
                note(
                    mean=Q.mean(),
                    square=(Q - expected.mean).square().mean(),
                    size=(written + read).mean(),
                    imbalance=(written / read).log() / 2,
                )
            else:
                note(matrix=Q.square().sum() / len(Q), inertia=torch.tensor(inertia(Q)))
    return {name: torch.stack(values) for name, values in rows.items()}


@cache
def symmetry_of(widths: tuple[int, int, int], activation: str) -> Symmetry:
    """The one family between the layers: of a ReLU network its scalings, of a linear one, which has
    no biases, GL(h)."""
    generator = torch.Generator().manual_seed(0)
    net = MLP(
        widths, activation, bias=activation != "identity", dtype=torch.float64, generator=generator
    )
    return discover(net, (torch.ones(2, widths[0], dtype=torch.float64),))


def params_of(net: MLP) -> dict[str, Tensor]:
    """The parameters, without their graph."""
    return {k: p.detach() for k, p in net.named_parameters()}


def squares(params: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """‖V_i‖² + b_i² and ‖U_:i‖² of every neuron, `[h]` each."""
    written = params["layers.0.weight"].square().sum(1)
    if "layers.0.bias" in params:
        written = written + params["layers.0.bias"].square()
    return written, params["layers.1.weight"].square().sum(0)


def imbalanced(params: Mapping[str, Tensor], s: Tensor | float) -> Tensor:
    """The Q of each neuron at the point of its orbit where ½ log(writers²/readers²) = s: 2p sinh s,
    with the product p of both norms, which the orbit does not change."""
    written, read = squares(params)
    return 2 * (written * read).sqrt() * torch.as_tensor(s, dtype=written.dtype).sinh()


def inertia(Q: Tensor) -> tuple[int, int]:
    """Numbers of positive and negative eigenvalues, to rounding."""
    values = torch.linalg.eigvalsh(Q)
    zero = 64 * len(Q) * torch.finfo(Q.dtype).eps * float(values.abs().max())
    return int((values > zero).sum()), int((values < -zero).sum())


def moved(settings: Mapping[str, Any], folder: Path) -> Arrays:
    """Ask for random Q of networks of every initialiser, by `init_conserved_`.

    Settings: `widths` (n, h, m), `seed`.

    Returns:
        `imbalance` `[initialisers, h]`, where neurons are after the move; `gap` and `drift`
        `[initialisers]`: the largest distance of Q from its target relative to the terms of Q, and
        the largest change of an output relative to the largest output.
    """
    generator = torch.Generator().manual_seed(settings["seed"])
    widths = tuple(settings["widths"])
    x = torch.randn(50, widths[0], generator=generator, dtype=torch.float64)
    symmetry = symmetry_of(widths, "relu")
    (family,) = symmetry
    found: dict[str, list[Tensor]] = {"imbalance": [], "gap": [], "drift": []}
    for initialiser in INITIALISERS.values():
        net = initialiser.draw(widths, "relu", generator)
        before, outputs = params_of(net), net(x).detach()
        s = FARTHEST * (2 * torch.rand(widths[1], generator=generator, dtype=torch.float64) - 1)
        target = imbalanced(before, s)
        init_conserved_(net, symmetry, {family.name: target})
        written, read = squares(params_of(net))
        (Q,) = symmetry.conserved(params_of(net)).values()
        found["imbalance"].append((written / read).log() / 2)
        found["gap"].append(((Q - target).abs() / (written + read)).max())
        found["drift"].append((net(x).detach() - outputs).abs().max() / outputs.abs().max())
    return {name: torch.stack(values) for name, values in found.items()}


def grid(h: int, step: int) -> list[tuple[int, int]]:
    """Inertias (n₊, n₋) with n₊ + n₋ ≤ h, every `step`-th of both."""
    return [(p, q) for p in range(0, h + 1, step) for q in range(0, h + 1 - p, step)]


def allowed(plus: int, minus: int, widths: tuple[int, int, int]) -> bool:
    """Whether the orbit of a generic linear network has a Q of this inertia (§17)."""
    n, h, m = widths
    a, b = min(n, h), min(m, h)
    passed = min(a, b)
    return a - passed <= plus <= a and b - passed <= minus <= b and plus + minus <= h


def asked(settings: Mapping[str, Any], folder: Path) -> Arrays:
    """Ask for a random symmetric Q of every inertia of a linear network.

    Settings: `widths` (n, h, m), `step` of the grid, `seed`.

    Returns:
        `inertia` `[targets, 2]`; `reached` `[targets]`, 1 where Q was reached and 0 where it was
        refused; `gap` and `drift` `[targets]` as of `moved`, 0 where it was refused.
    """
    generator = torch.Generator().manual_seed(settings["seed"])
    n, h, m = settings["widths"]
    net = INITIALISERS["kaiming"].draw((n, h, m), "identity", generator)
    symmetry, params = symmetry_of((n, h, m), "identity"), params_of(net)
    (family,) = symmetry
    x = torch.randn(50, n, generator=generator, dtype=torch.float64)
    outputs = net(x).detach()
    targets = grid(h, settings["step"])
    reached, gap, drift = torch.zeros(3, len(targets), dtype=torch.float64)
    for i, (plus, minus) in enumerate(targets):
        target = random_symmetric(h, plus, minus, generator)
        try:
            there = set_conserved(symmetry, params, {family.name: target})
        except ValueError:
            continue
        reached[i] = 1
        (Q,) = symmetry.conserved(there).values()
        written, read = squares(there)
        gap[i] = (Q - target).norm() / (written + read).sum()
        own = functional_call(net, there, (x,)).detach()
        drift[i] = (own - outputs).abs().max() / outputs.abs().max()
    return {
        "inertia": torch.tensor(targets, dtype=torch.float64),
        "reached": reached,
        "gap": gap,
        "drift": drift,
    }


def random_symmetric(h: int, plus: int, minus: int, generator: torch.Generator) -> Tensor:
    """A symmetric matrix with eigenvalues of sizes between e⁻¹ and e, in uniform directions."""
    frame = torch.linalg.qr(torch.randn(h, h, generator=generator, dtype=torch.float64)).Q
    sizes = (2 * torch.rand(h, generator=generator, dtype=torch.float64) - 1).exp()
    signs = torch.tensor([1.0] * plus + [-1.0] * minus + [0.0] * (h - plus - minus))
    return (frame * (sizes * signs.double())) @ frame.mT


def central(values: Tensor, share: float) -> tuple[float, float]:
    """The middle part of some values that holds a share of them."""
    ends = torch.tensor([(1 - share) / 2, (1 + share) / 2], dtype=values.dtype)
    low, high = torch.quantile(values.flatten()[: 10**6], ends)
    return float(low), float(high)


def slope(widths: list[int], values: list[float]) -> float:
    """Of log(values) over log(widths), least squares."""
    x = torch.tensor(widths, dtype=torch.float64).log()
    y = torch.tensor(values, dtype=torch.float64).log()
    x = x - x.mean()
    return float((x @ y) / (x @ x)) if math.isfinite(float(y.sum())) else math.nan
