"""The second-order expansion of a loss at given parameters: value, gradient, Hessian products."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from paramsym.landscape.coordinates import Coordinates, coordinates
from paramsym.landscape.precision import DoublePrecision

Params = dict[str, Tensor]
Loss = Callable[[Params], Tensor]
"""`loss(params)`, a scalar tensor; `params` is a dict of float64 tensors."""

CHUNK_ENTRIES = {"cpu": 2**17}
"""Entries of the largest tensor in a batch of products: what fits the cache of one core. Elsewhere
`2**24`, to fill an accelerator."""


@final
@dataclass(frozen=True, eq=False)
class Expansion:
    """L(θ + v) = L + ⟨∇L, v⟩ + ½⟨v, Hv⟩ + …, in float64.

    The loss is evaluated once; products with the Hessian go back through the graph of its gradient.
    So they all belong to one function even where the loss is random, as with dropout.

    Attributes:
        coordinates: The order of the coordinates.
        theta: θ, `[d]`.
        value: L(θ), a scalar.
        gradient: ∇L, `[d]`.
        chunk: How many products are computed at once.
    """

    coordinates: Coordinates
    theta: Tensor
    value: Tensor
    gradient: Tensor
    chunk: int
    _leaves: tuple[Tensor, ...]
    _graph: Tensor

    def hessian_products(self, vectors: Tensor) -> Tensor:
        """The products of the Hessian with each row, `[k, d]` → `[k, d]`.

        Raises:
            ValueError: If a product of finite vectors is not finite.
        """
        vectors = vectors.to(self.theta)
        if not self._graph.requires_grad:  # a loss that is linear in the parameters
            return torch.zeros_like(vectors)
        found = torch.cat([self._pull_back(part) for part in vectors.split(self.chunk)])
        if not bool(torch.isfinite(found).all()):
            bad = int((~torch.isfinite(found)).sum())
            raise ValueError(
                f"the Hessian of `loss` must be finite; {bad} of {found.numel()} entries of its "
                "products are NaN or infinite. Roots and norms have no second derivative at 0: "
                "keep away from there, or replace them by smooth functions."
            )
        return found

    def _pull_back(self, vectors: Tensor) -> Tensor:
        if len(vectors) > 1:
            try:
                return self._vector_jacobian(vectors, batched=True)
            except RuntimeError:
                pass  # an op whose derivative torch cannot batch; a real error comes again
        return torch.stack([self._vector_jacobian(v, batched=False) for v in vectors])

    def _vector_jacobian(self, vectors: Tensor, *, batched: bool) -> Tensor:
        parts = torch.autograd.grad(
            self._graph,
            self._leaves,
            vectors,
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=batched,
        )
        rows = vectors.shape[:-1]
        return torch.cat(
            [
                vectors.new_zeros((*rows, leaf.numel())) if part is None
                else part.reshape(*rows, leaf.numel())
                for part, leaf in zip(parts, self._leaves, strict=True)
            ],
            dim=-1,
        )  # fmt: skip


def expand(loss: Loss, params: Mapping[str, Tensor]) -> Expansion:
    """Evaluate a loss and its gradient at θ, ready for products with the Hessian.

    Args:
        loss: A function of a parameter dict that returns a scalar tensor.
        params: The parameters θ; what is not among them is a constant of the loss.

    Raises:
        TypeError: If `loss` is not callable or returns no tensor of real numbers, or an entry of
            `params` is no tensor of real numbers.
        ValueError: If the loss is no scalar, is not finite, has no finite gradient, or does not
            depend on `params`; or if these are empty or not finite.
    """
    if not callable(loss):
        raise TypeError(
            f"`loss` must be a function of a parameter dict; got {type(loss).__name__}. Write "
            "`lambda p: criterion(torch.func.functional_call(model, p, (x,)), y)`."
        )
    order = coordinates(params)
    leaves = {k: params[k].detach().double().clone().requires_grad_() for k in order.shapes}
    given = leaves | {alias: leaves[name] for alias, name in order.aliases.items()}
    given = {name: given[name] for name in params}
    mode = DoublePrecision()
    # The fused kernels of attention have no second derivative.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        with mode:
            value = loss(given)
        _require_scalar(value)
        parts = torch.autograd.grad(
            value, tuple(leaves.values()), create_graph=True, materialize_grads=True
        )
        gradient = torch.cat([part.flatten() for part in parts])
    if not bool(torch.isfinite(gradient).all()):
        bad = int((~torch.isfinite(gradient)).sum())
        raise ValueError(
            f"the gradient of `loss` must be finite; {bad} of {order.dim} entries are NaN or "
            "infinite. Roots and norms have no derivative at 0."
        )
    theta = order.flatten(leaves).detach()
    budget = CHUNK_ENTRIES.get(theta.device.type, 2**24)
    chunk = max(1, budget // max(order.dim, mode.largest))
    return Expansion(
        order, theta, value.detach(), gradient.detach(), chunk, tuple(leaves.values()), gradient
    )


def _require_scalar(value: object) -> None:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"`loss` must return a scalar tensor of real numbers; got {got}.")
    if value.ndim:
        raise ValueError(
            f"`loss` must return a scalar, a tensor of shape (); got shape {tuple(value.shape)}. "
            "Reduce it with `.mean()` or `.sum()`."
        )
    if not bool(torch.isfinite(value)):
        raise ValueError(f"`loss` must be finite at `params`; got {value.item()}.")
    if not value.requires_grad:
        raise ValueError(
            "`loss` does not depend on `params`. Use the dict that it is given, as in "
            "`torch.func.functional_call(model, params, …)`, without `.detach()` or "
            "`torch.no_grad()`."
        )
