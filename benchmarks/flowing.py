"""Gradient flow against the same integrator called by hand, and what stiffness and Q cost."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

import paramsym as ps
from benchmarks.timing import Comparison, compare
from paramsym.dynamics.velocity import Velocity
from paramsym.nets import MLP

RTOL = 1e-10


def run() -> Iterator[Comparison]:
    """A tanh net by hand and by us; then a deep linear net with Q held; then a stiff one."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    for widths in ([4, 8, 3], [16, 64, 8]):
        net = MLP(widths, "tanh", dtype=torch.float64, generator=generator)
        params = {name: p.detach() for name, p in net.named_parameters()}
        x, y = draw(32, widths[0]), draw(32, widths[-1])

        def loss(p: Mapping[str, Tensor], net: MLP = net, x: Tensor = x, y: Tensor = y) -> Tensor:
            return (torch.func.functional_call(net, dict(p), (x,)) - y).square().mean()

        def ours(params: dict[str, Tensor] = params) -> ps.Trajectory:
            return ps.gradient_flow(loss, params, (0.0, 5.0), rtol=RTOL, method="explicit")

        def by_hand(params: dict[str, Tensor] = params) -> object:
            sizes = [p.numel() for p in params.values()]

            def velocity(_: float, theta: np.ndarray) -> np.ndarray:
                parts = torch.from_numpy(theta).split(sizes)
                named = {
                    k: part.view(params[k].shape) for k, part in zip(params, parts, strict=True)
                }
                slope = torch.func.grad(loss)(named)
                return -torch.cat([slope[k].flatten() for k in params]).numpy()

            start = torch.cat([p.flatten() for p in params.values()]).numpy()
            return solve_ivp(
                velocity, (0, 5), start, method="DOP853", rtol=RTOL, atol=RTOL * abs(start).max()
            )

        count, bare = ours().evaluations, Velocity(loss, params)

        def gradients(count: int = count, bare: Velocity = bare) -> None:
            for _ in range(count):
                bare(0.0, bare.start)

        size = sum(p.numel() for p in params.values())
        yield compare(f"{size} parameters / solve_ivp by hand", ours, by_hand, pairs=7, limit=0.8)
        title = f"{size} parameters / {count} gradients alone"
        yield compare(title, ours, gradients, pairs=7, limit=2.0)

    linear = MLP([3, 4, 4, 2], "identity", bias=False, dtype=torch.float64, generator=generator)
    weights = {name: p.detach() for name, p in linear.named_parameters()}
    inputs, targets = draw(16, 3), draw(16, 2)
    symmetry = ps.discover(linear, (inputs,))

    def linear_loss(p: Mapping[str, Tensor]) -> Tensor:
        return (torch.func.functional_call(linear, dict(p), (inputs,)) - targets).square().mean()

    def held() -> ps.Trajectory:
        return ps.gradient_flow(linear_loss, weights, (0.0, 5.0), rtol=1e-4, conserve=symmetry)

    def fine() -> ps.Trajectory:
        return ps.gradient_flow(linear_loss, weights, (0.0, 5.0), rtol=1e-13)

    title = "Q to rounding: projected at rtol 1e-4 / integrated at 1e-13"
    yield compare(title, held, fine, pairs=7, limit=None)

    scales = torch.tensor([10.0, 1.0, 0.1], dtype=torch.float64)
    factors, goal = {"U": draw(2, 3), "V": draw(3, 3)}, draw(2, 3)

    def stiff_loss(p: Mapping[str, Tensor]) -> Tensor:
        return ((p["U"] @ p["V"] - goal) * scales).square().sum()

    def auto() -> ps.Trajectory:
        return ps.gradient_flow(stiff_loss, factors, (0.0, 10.0))

    def explicit() -> ps.Trajectory:
        return ps.gradient_flow(stiff_loss, factors, (0.0, 10.0), method="explicit")

    yield compare("stiff: auto / explicit", auto, explicit, pairs=3, limit=0.5)
