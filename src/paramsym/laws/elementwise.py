"""A conserved quantity for every hidden neuron, where the data are white (eq. (53)).

Elementwise activations have no symmetry beyond signs, but where the samples are orthonormal the
hidden activations of different samples move independently, and each neuron keeps

    Q_a = 2 Σ_j Φ((VX)_{aj}) − ‖U_{:a}‖²,     Φ' = σ/σ'.

*Proof.* With F = U σ(VX), Z = VX and G = ∂L/∂F, gradient flow moves Z by Ż = V̇X = −(σ'(Z) ⊙ UᵀG)
XᵀX, which for XᵀX = I is −σ'(Z) ⊙ UᵀG. So dΦ(Z_{aj})/dt = −σ(Z_{aj}) (UᵀG)_{aj}; summed over j this
is −⟨U_{:a}, G σ(Z)ᵀ_{:a}⟩, half the rate of ‖U_{:a}‖². ∎

The paper prints the sum over all neurons of −½ Q_a; the law holds for each, and any loss of F.
"""

import torch
from torch import Tensor

from paramsym.laws.potentials import Potential


def elementwise(
    V: Tensor, U: Tensor, X: Tensor, potential: Potential, *, check: bool = True
) -> Tensor:
    """Q_a = 2 Σ_j Φ((VX)_{aj}) − ‖U_{:a}‖² of the network U σ(VX), a tensor `[h]`.

    For a network with hidden biases append the bias to V as a column and a row of ones to X; then
    that X must be white.

    Args:
        V: First layer, `[h, n]`.
        U: Second layer, `[m, h]`.
        X: All samples as columns, `[n, k]`, with XᵀX = I.
        potential: That of the activation.
        check: Also check values: white data, entries away from poles. Leave it out under
            `torch.func` transforms, which cannot read values.

    Raises:
        ValueError: If shapes do not fit, or with `check` a value.
    """
    require_layers(V, U, X)
    Z = V @ X
    if check:
        require_white(X)
        potential.require(Z, "V @ X")
    return 2 * potential(Z).sum(1) - U.square().sum(0)


def require_layers(V: Tensor, U: Tensor, X: Tensor) -> None:
    """Raise unless V `[h, n]`, U `[m, h]` and X `[n, k]` are matrices that fit.

    Raises:
        ValueError: If they do not.
    """
    for name, tensor in (("V", V), ("U", U), ("X", X)):
        if tensor.ndim != 2:
            raise ValueError(f"`{name}` must be a matrix; got shape {tuple(tensor.shape)}.")
    if U.shape[1] != V.shape[0] or V.shape[1] != X.shape[0]:
        raise ValueError(
            "U V X must be a product, `U` [m, h], `V` [h, n], `X` [n, k] with samples as columns; "
            f"got {tuple(U.shape)}, {tuple(V.shape)}, {tuple(X.shape)}."
        )


def require_white(X: Tensor) -> None:
    """Raise unless the columns of X, the samples, are orthonormal to rounding.

    The bound is that of orthonormal columns computed in X's dtype, 16·eps·n.

    Raises:
        ValueError: If they are not. More samples than dimensions never are: XXᵀ = I, which
            whitening gives then, makes no law.
    """
    n, k = X.shape
    if k > n:
        raise ValueError(
            f"`X` must have orthonormal columns, XᵀX = I; got {k} samples in {n} dimensions, of "
            "which at most as many as dimensions can be orthonormal. "
            "Whitened covariance, XXᵀ = I, is not enough."
        )
    off = float((X.mT @ X - torch.eye(k).to(X)).abs().max()) if X.numel() else 0.0
    if not off <= 16 * torch.finfo(X.dtype).eps * n:
        raise ValueError(
            f"`X` must have orthonormal columns, XᵀX = I; got max|XᵀX − I| = {off:.1e}. "
            "Whiten the samples, for instance by `torch.linalg.qr(X).Q`."
        )
