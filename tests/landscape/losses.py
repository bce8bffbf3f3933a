"""Losses whose Hessians are known, or can be had another way."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from paramsym.landscape.expansion import Loss
from paramsym.nets import MLP

Params = dict[str, Tensor]

EPS = torch.finfo(torch.float64).eps


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def quadratic(matrix: Tensor) -> Loss:
    """½⟨θ, Hθ⟩ on parameters a (a row of three) and b (the rest)."""

    def loss(params: Params) -> Tensor:
        theta = torch.cat([params["a"].flatten(), params["b"].flatten()])
        return theta @ matrix @ theta / 2

    return loss


def split(theta: Tensor) -> Params:
    """Parameters of `quadratic`; b is a matrix of two columns where it can be."""
    rest = theta[3:]
    return {"a": theta[:3], "b": rest.view(-1, 2) if len(rest) % 2 == 0 else rest}


def with_spectrum(rng: torch.Generator, values: Tensor) -> Tensor:
    """A random symmetric matrix with these eigenvalues."""
    basis, _ = torch.linalg.qr(normal(rng, len(values), len(values)))
    matrix = (basis * values) @ basis.mT
    return (matrix + matrix.mT) / 2


def regression(model: nn.Module, x: Tensor, y: Tensor) -> Loss:
    return lambda params: (functional_call(model, params, (x,)) - y).square().mean()


def detached(model: nn.Module) -> Params:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def factors(
    rng: torch.Generator, m: int, h: int, n: int, *, spread: float = 0.0
) -> tuple[Tensor, Tensor]:
    """U and V of generic rank; the larger `spread`, the further from balanced."""
    U, V = normal(rng, m, h), normal(rng, h, n)
    scale = (spread * normal(rng, h)).exp()
    return U / scale, scale[:, None] * V


def linear_net(U: Tensor, V: Tensor) -> tuple[nn.Module, Params]:
    """The network x ↦ UVx, and its parameters by name."""
    model = MLP((V.shape[1], V.shape[0], U.shape[0]), "identity", bias=False, dtype=torch.float64)
    return model, {"layers.0.weight": V, "layers.1.weight": U}


def at_zero_loss(U: Tensor, V: Tensor, *, scale: float = 1.0) -> tuple[nn.Module, Params, Loss]:
    """scale·‖Y − UV‖² at Y = UV, of a discoverable model."""
    model, params = linear_net(U, V)
    eye, Y = torch.eye(V.shape[1], dtype=torch.float64), U @ V

    def loss(p: Mapping[str, Tensor]) -> Tensor:
        return scale * (functional_call(model, dict(p), (eye,)).mT - Y).square().sum()

    return model, params, loss
