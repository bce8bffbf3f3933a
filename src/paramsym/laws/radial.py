"""Laws of radial activations σ(z) = ρ(‖z‖) z/‖z‖: by rows, by columns, by spans, by powers.

The norm is taken over a row of VX (a neuron over the batch), or over a column (a sample's hidden
vector, the usual radial network). The profile ρ takes the place that the elementwise activation has
in `elementwise`: its potential is Φ' = ρ/ρ'. For f(r) = ρ(r)/r = r^p, ρ/ρ' = r/(p+1).
"""

import torch
from torch import Tensor

from paramsym.laws.elementwise import require_layers, require_white
from paramsym.laws.potentials import Potential


def power(p: float) -> Potential:
    """The potential r²/(2(p+1)) of the profile ρ(r) = r^{p+1}, that is f(r) = r^p.

    Raises:
        ValueError: If p = −1, where ρ is constant and has no potential.
    """
    if p == -1:
        raise ValueError("`p` must not be -1: the profile r^(p+1) is constant, and ρ' is 0.")
    return Potential(
        f"the power {p + 1:g}", lambda r: r / (p + 1), lambda r: r.square() / (2 * (p + 1))
    )


def row_radial(
    V: Tensor, U: Tensor, X: Tensor, profile: Potential, *, check: bool = True
) -> Tensor:
    """Q_a = 2Φ(‖(VX)_{a:}‖) − ‖U_{:a}‖², `[h]`, for σ radial on each row of VX.

    Proposition G.1, eq. (67), which has X = I and starts from a spectral initialisation; none is
    needed. The data may be white in either sense, XᵀX = I or XXᵀ = I; it is enough that XXᵀX = X.
    *Proof.* As in `elementwise`, Ż = −(∂L/∂Z) XᵀX, where XᵀX leaves the rows of Z alone, because
    they are combinations of rows of X. So the norm r_a of a row moves by −ρ'(r_a) times the
    component of the row's output gradient UᵀG along it, dΦ(r_a)/dt = −⟨σ(Z)_{a:}, (UᵀG)_{a:}⟩, and
    this is half the rate of ‖U_{:a}‖². ∎

    Args:
        V: First layer, `[h, n]`.
        U: Second layer, `[m, h]`.
        X: All samples as columns, `[n, k]`.
        profile: Potential of ρ.
        check: Also check values: the data, norms away from poles. Leave it out under `torch.func`
            transforms, which cannot read values.

    Raises:
        ValueError: If shapes do not fit, or with `check` a value.
    """
    norms = _norms(V, U, X, 1)
    if check:
        _require_isometry(X)
        profile.require(norms, "norms of the rows of V @ X")
    return 2 * profile(norms) - U.square().sum(0)


def column_radial(
    V: Tensor, U: Tensor, X: Tensor, profile: Potential, *, check: bool = True
) -> Tensor:
    """Q = 2 Σ_j Φ(‖(VX)_{:j}‖) − ‖U‖², a scalar, for σ radial on each column of VX; XᵀX = I.

    One law for all neurons together: an output of a column mixes its neurons. Arguments and errors
    are those of `row_radial`, but for the data, which must be white as for `elementwise`.
    """
    norms = _norms(V, U, X, 0)
    if check:
        require_white(X)
        profile.require(norms, "norms of the columns of V @ X")
    return 2 * profile(norms).sum() - U.square().sum()


def _norms(V: Tensor, U: Tensor, X: Tensor, dim: int) -> Tensor:
    require_layers(V, U, X)
    return torch.linalg.vector_norm(V @ X, dim=dim)


def _require_isometry(X: Tensor) -> None:
    """Raise unless XXᵀX = X to rounding: all singular values are 1 or 0."""
    off = float((X @ X.mT @ X - X).abs().max()) if X.numel() else 0.0
    if not off <= 16 * torch.finfo(X.dtype).eps * max(X.shape):
        raise ValueError(
            "`X` must have orthonormal columns or rows, XᵀX = I or XXᵀ = I; got "
            f"max|XXᵀX − X| = {off:.1e}. Whiten the data first."
        )


def power_law(W: Tensor, R: Tensor, p: float) -> Tensor:
    """‖W‖² − (p+1)‖R‖², a scalar, for σ(z) = ‖z‖^p z; any data.

    *Proof.* Scaling W by c and R by c^−(p+1) changes nothing; this is its Q (docs/derivations.md
    §3). ∎

    Args:
        W: Vectors of the hidden space that write to it, as columns `[h, a]`: V, and b.
        R: Vectors that read from it, as columns `[h, b]`: Uᵀ.
        p: The power.

    Raises:
        ValueError: If W and R are not matrices of as many rows.
    """
    _require_span(W, R)
    return W.square().sum() - (p + 1) * R.square().sum()


def span_projector(W: Tensor, R: Tensor, *, check: bool = True) -> Tensor:
    """The orthogonal projector onto span(W, R) in R^h, `[h, h]`, where h > a + b; any data.

    It is conserved for every activation that commutes with rotations, σ(z) = f(‖z‖) z, and counts
    (a+b)(h−a−b) laws, the dimension of the Grassmannian. *Proof.* Such σ maps a vector to a
    multiple of it, and its Jacobian is f·I + (f'/r) zzᵀ. So ∂L/∂W has columns in the span of R and
    of the hidden vectors z, which lie in span(W); and ∂L/∂R has columns σ(z). All velocities lie in
    span(W, R), which therefore stays the same space, also under any optimiser whose steps are
    combinations of gradients and parameters. ∎ For h ≤ a + b the span is generically all of R^h.

    Args:
        W: Vectors of the hidden space that write to it, as columns `[h, a]`: V, and b.
        R: Vectors that read from it, as columns `[h, b]`: Uᵀ.
        check: Also check that W and R together have full rank.

    Raises:
        ValueError: If h ≤ a + b, or W and R do not fit, or with `check` if they are dependent to
            rounding: then the projector is not continuous.
    """
    _require_span(W, R)
    N = torch.cat([W, R], 1)
    h, width = N.shape
    if h <= width:
        raise ValueError(
            f"`W` and `R` must have fewer columns than the hidden space has dimensions: {width} "
            f"vectors in R^{h} generically span all of it, and its projector says nothing."
        )
    if check:
        singular = torch.linalg.svdvals(N)
        if not singular[-1] > h * torch.finfo(N.dtype).eps * singular[0]:
            raise ValueError(
                "`W` and `R` must have independent columns: their smallest singular value is "
                f"{float(singular[-1]):.1e} beside the largest {float(singular[0]):.1e}."
            )
    basis = torch.linalg.qr(N).Q
    return basis @ basis.mT


def _require_span(W: Tensor, R: Tensor) -> None:
    if W.ndim != 2 or R.ndim != 2 or W.shape[0] != R.shape[0]:
        raise ValueError(
            "`W` and `R` must be matrices of vectors in one hidden space, [h, a] and [h, b]; "
            f"got {tuple(W.shape)} and {tuple(R.shape)}."
        )
