"""The paper's two-layer networks on whitened data, many at once, with analytic derivatives.

The loss is s ‖Y − U σ(V)‖², the network being x ↦ U σ(V) x with X = I. With E = U σ(V) − Y and
T = 2s UᵀE,

    ∂L/∂U = 2s E σ(V)ᵀ,    ∂L/∂V = J(V)ᵀ T,

where J is the Jacobian of σ, row by row: σ'(V) for an elementwise one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from paramsym.dynamics.activations import ACTIVATIONS
from paramsym.dynamics.objectives import Calls, Objective, Params


@final
@dataclass(frozen=True, eq=False)
class TwoLayer(Objective):
    """s ‖Y − U σ(V)‖_F² of many runs, parameters {"U": [runs, m, h], "V": [runs, h, n]}.

    Settings of Figures 3, 6, 7 and 9 (Appendices E.2, G.2, G.3 and H.2).

    Attributes:
        activation: σ: `identity`, `relu`, `leaky_relu` (slope 0.01), `tanh`, `sigmoid`, or
            `radial`, the rows g(W)_i = W_i/‖W_i‖² of Appendix G.2.
        Y: Targets, `[m, n]`, or `[runs, m, n]` where each run has its own; of the dtype and device
            of the parameters.
        scale: s. 1 is the sum of squares, as the paper states it; 1/(mn) is the mean.

    Raises:
        ValueError: If the activation is not one of these, `Y` has not two or three axes, or `scale`
            is not positive.
    """

    activation: str
    Y: Tensor
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"`activation` must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}."
            )
        if not isinstance(self.Y, Tensor) or self.Y.ndim not in (2, 3):
            got = tuple(self.Y.shape) if isinstance(self.Y, Tensor) else type(self.Y).__name__
            raise ValueError(f"`Y` must be a tensor of shape (m, n) or (runs, m, n); got {got}.")
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"`scale` must be a positive number; got {self.scale}.")

    def losses(self, params: Params) -> Tensor:
        """The loss of each run, `[runs]`.

        Raises:
            ValueError: If the parameters are not U and V, or do not fit Y.
        """
        U, V = self._checked(params)
        residual = U @ ACTIVATIONS[self.activation].value(V) - self.Y
        return self.scale * residual.square().sum((-2, -1))

    @property
    def transposed(self) -> Collection[str]:
        """V, whose products with U and E are a tenth faster that way; rows are summed if radial."""
        return () if self.activation == "radial" else ("V",)

    def gradient(self, params: Params, into: Params) -> Calls:
        """A function that writes ∇L at `params` into `into`; see `Objective`.

        At (m, n, h) = (5, 10, 50) in float64 on one thread, a step of 3 runs takes 2.3 to 4 µs a
        run by activation, and 5 µs if radial; one of 15 runs 1.3 to 2 µs, and 3 µs. The arithmetic
        alone would take 0.3 µs, so that most of it is the cost of torch's calls
        (`benchmarks/descending.py`).

        Raises:
            ValueError: If the parameters are not U and V, or do not fit Y.
        """
        U, V = self._checked(params)
        gU, T = into["U"], into["V"]
        Y = self.Y.expand(len(U), -1, -1).contiguous()
        E = torch.empty_like(Y)
        two = 2 * self.scale
        S = V if self.activation == "identity" else torch.empty_like(V)  # of the strides of V
        forward, backward = ACTIVATIONS[self.activation].in_place(V, S, T)
        # torch writes a product into what is contiguous without a copy.
        back = (U.mT, E, T) if T.is_contiguous() else (E.mT, U, T.mT)
        return Calls(
            (
                *(() if S is V else forward),
                partial(torch.baddbmm, Y, U, S, beta=-two, alpha=two, out=E),
                partial(torch.bmm, E, S.mT, out=gU),
                partial(torch.bmm, *back[:2], out=back[2]),
                *backward,
            )
        )

    def hessian(self, params: Params) -> Tensor:
        """∇²L of each run, `[runs, d, d]`, d = hm + hn in the order U, V, each flattened by rows.

        Raises:
            ValueError: If the parameters are not U and V, or do not fit Y.
        """
        U, V = self._checked(params)
        runs, m, h = U.shape
        n, two = V.shape[2], 2 * self.scale
        activation = ACTIVATIONS[self.activation]
        S, J = activation.value(V), activation.jacobian(V)
        E = two * (U @ S - self.Y)
        T = U.mT @ E
        eye = partial(torch.eye, dtype=U.dtype, device=U.device)
        UU = torch.einsum("ij,rab->riajb", eye(m), two * S @ S.mT)
        UV = two * torch.einsum("rib,rak,rbkl->riabl", U, S, J)
        UV += torch.einsum("ab,rik,rakl->riabl", eye(h), E, J)
        VV = two * torch.einsum("rab,rakl,rbkp->ralbp", U.mT @ U, J, J)
        VV += torch.einsum("ab,ralp->ralbp", eye(h), activation.curvature(V, T))
        UU, VV = UU.reshape(runs, m * h, m * h), VV.reshape(runs, h * n, h * n)
        UV = UV.reshape(runs, m * h, h * n)
        return torch.cat([torch.cat([UU, UV], 2), torch.cat([UV.mT, VV], 2)], 1)

    def settings(self) -> Mapping[str, Tensor | str]:
        """All that determines the loss."""
        return {"activation": self.activation, "scale": repr(self.scale), "Y": self.Y}

    def _checked(self, params: Params) -> tuple[Tensor, Tensor]:
        if set(params) != {"U", "V"}:
            raise ValueError(f"`params` must have U and V and nothing else; got {sorted(params)}.")
        U, V, (m, n) = params["U"], params["V"], self.Y.shape[-2:]
        fits = U.ndim == V.ndim == 3 and len(U) == len(V) and U.shape[2] == V.shape[1]
        own = self.Y.ndim == 2 or len(self.Y) == len(U)
        if not (fits and own and U.shape[1] == m and V.shape[2] == n):
            raise ValueError(
                f"`params` must have U of shape (runs, m, h) and V of shape (runs, h, n) that fit "
                f"Y of shape {tuple(self.Y.shape)}; got {tuple(U.shape)} and {tuple(V.shape)}."
            )
        if not U.dtype == V.dtype == self.Y.dtype or not U.device == V.device == self.Y.device:
            raise ValueError(
                f"`params` must have the dtype and device of Y, {self.Y.dtype} on {self.Y.device}; "
                f"got {U.dtype} on {U.device} and {V.dtype} on {V.device}."
            )
        return U, V
