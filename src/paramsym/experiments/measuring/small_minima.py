"""Flat directions at minima of two-layer nets that are small enough to reach the floor."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import minimize
from torch import Tensor

import paramsym as ps
from paramsym.experiments.experiment import Arrays
from paramsym.landscape import hessian, split_null_space
from paramsym.nets import MLP

NOISE = 0.1
"""Of the start, relative to the weights of the net that made the targets."""

Loss = Callable[[Mapping[str, Tensor]], Tensor]


def null_spaces(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Minimise ½‖Y − Uσ(VX)‖² from each seed, and split the null space of its Hessian there.

    Y comes from a net of the same kind, and the start is that net with noise of a tenth of its
    weights' size: a minimum of loss 0 is near, at which no activation sits on a kink or at
    infinity. Newton's method with a trust region goes to its floor. The symmetry is discovered.
    `samples` columns of X are drawn from N(0, 1); for 0 it is I.

    Returns:
        For each seed: `orbit`, the null directions along the orbit, and `rest`, the others;
        `undecided`, eigenvalues that are neither; `gradient`, ‖∇L‖; `loss`; `gap` between the
        eigenvalues that count and those that do not.
    """
    activation, (m, h, n), k = settings["activation"], settings["shape"], settings["samples"]
    rows: list[tuple[float, ...]] = []
    for seed in settings["seeds"]:
        rng = torch.Generator().manual_seed(seed)
        net = MLP((n, h, m), activation, bias=False, dtype=torch.float64, generator=rng)
        X = torch.randn(k, n, generator=rng, dtype=torch.float64)
        if not k:
            X = torch.eye(n, dtype=torch.float64)
        teacher = {name: p.detach() for name, p in net.named_parameters()}
        Y = net(X).detach()

        def loss(
            theta: Mapping[str, Tensor], net: MLP = net, X: Tensor = X, Y: Tensor = Y
        ) -> Tensor:
            return (torch.func.functional_call(net, dict(theta), (X,)) - Y).square().sum() / 2

        start = {
            name: p + NOISE * p.square().mean().sqrt() * torch.randn(p.shape, generator=rng).to(p)
            for name, p in teacher.items()
        }
        params = to_the_floor(loss, start)
        space = split_null_space(loss, params, ps.discover(net, (X,)), strict=False)
        rows.append(
            (
                space.orbit_dim,
                space.rest_dim,
                space.undecided,
                space.gradient,
                float(loss(params)),
                space.gap,
            )
        )
    names = ("orbit", "rest", "undecided", "gradient", "loss", "gap")
    columns = torch.tensor(rows, dtype=torch.float64).T
    return {name: column.clone() for name, column in zip(names, columns, strict=True)}


def to_the_floor(loss: Loss, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The minimum near given parameters, to a gradient of the size of rounding."""
    shapes = {name: p.shape for name, p in params.items()}
    sizes = [shape.numel() for shape in shapes.values()]

    def unpack(x: Any) -> dict[str, Tensor]:
        parts = torch.as_tensor(x, dtype=torch.float64).split(sizes)
        return {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)}

    def slope(x: Any) -> Any:
        gradient = torch.func.grad(loss)(unpack(x))
        return torch.cat([gradient[name].flatten() for name in shapes]).numpy()

    found = minimize(
        lambda x: float(loss(unpack(x))),
        torch.cat([p.detach().flatten() for p in params.values()]).numpy(),
        jac=slope,
        hess=lambda x: hessian(loss, unpack(x)).numpy(),
        method="trust-exact",
        options={"gtol": 1e-12, "maxiter": 500},
    )
    return unpack(found.x)
