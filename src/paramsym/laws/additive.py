"""Laws of generators that scale and shift: fields M·θ + a with M symmetric.

If the loss does not change along the field θ ↦ M·θ + a with M = Mᵀ, gradient flow conserves

    Q(θ) = ⟨θ, M·θ⟩ + 2⟨a, θ⟩,

because ∇Q is twice the field. With M = 0 the library drops the 2 too: Q = ⟨a, θ⟩, as the quantity
of a translation family is.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Params = Mapping[str, Tensor]


def quantity(field: Callable[[Params], Params], params: Params) -> Tensor:
    """⟨θ, M·θ⟩ + 2⟨a, θ⟩ of a field M·θ + a, a scalar.

    It is ⟨θ, field(θ) + field(0)⟩, so that the field may be any function.

    Args:
        field: From a parameter dict to a dict of velocities; parameters that it does not move may
            be absent. It must be affine with a symmetric linear part (`require_gradient`).
        params: Parameter dict.
    """
    here = field(params)
    zero = field({k: torch.zeros_like(p) for k, p in params.items()})
    shares = [(params[k] * (here[k] + zero[k])).sum() for k in here]
    return torch.stack(shares).sum()


def require_gradient(
    field: Callable[[Params], Params], params: Params, generator: torch.Generator | None = None
) -> None:
    """Raise unless a field is affine with a symmetric linear part, at random parameters.

    Args:
        field: As for `quantity`.
        params: Parameter dict, of which only names and shapes matter.
        generator: Source of the random parameters.

    Raises:
        ValueError: If it is not. Such a field may leave the loss unchanged, but has no quantity of
            this form: a shift of a bias that another layer takes back, b += t, c −= U t, is one.
    """
    x, y = ({k: _normal(p, generator) for k, p in params.items()} for _ in range(2))
    zero = field({k: torch.zeros_like(p) for k, p in x.items()})

    def linear(p: Params) -> dict[str, Tensor]:
        return {k: v - zero[k] for k, v in field(p).items()}

    at_x, at_y, at_sum = linear(x), linear(y), linear({k: x[k] - 2 * y[k] for k in x})
    size = sum(_norm(a) * _norm(b) for a in (x, y, zero) for b in (at_x, at_y, zero))
    bound = 64 * max(torch.finfo(p.dtype).eps for p in x.values()) * size
    bent = _norm({k: at_sum[k] - at_x[k] + 2 * at_y[k] for k in at_x})
    if not bent <= bound:
        raise ValueError(
            "`field` must be affine in the parameters, M·θ + a; got one that is not, by "
            f"{bent:.1e}. Its quantity, if it has one, is another."
        )
    turned = abs(float(_inner(x, at_y)) - float(_inner(y, at_x)))
    if not turned <= bound:
        raise ValueError(
            "`field` must have a symmetric linear part; got one with ⟨x, My⟩ − ⟨y, Mx⟩ = "
            f"{turned:.1e} at random x, y. It is no gradient and conserves nothing of this form."
        )


def _normal(p: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device)


def _inner(a: Params, b: Params) -> Tensor:
    return torch.stack([(a[k] * b[k]).sum() for k in b]).sum()


def _norm(a: Params) -> float:
    return float(_inner(a, a)) ** 0.5


# -- the generators of common layers ------------------------------------------------------------


def column_sums(W: Tensor, b: Tensor | None = None) -> Tensor:
    """1ᵀW, and 1ᵀb as a last entry: `[n]` or `[n + 1]`.

    Conserved by a layer W `[h, n]` whose outputs' common shift is not seen: logits before softmax
    with cross-entropy, any layer before LayerNorm (at any ε).

    Raises:
        ValueError: If b does not fit W.
    """
    return _with_bias(W, b).sum(0)


def squared_norm(W: Tensor, b: Tensor | None = None) -> Tensor:
    """‖W‖² + ‖b‖², a scalar: of a layer that only a LayerNorm or RMSNorm with ε = 0 reads.

    Raises:
        ValueError: If b does not fit W.
    """
    return _with_bias(W, b).square().sum()


def gain(gamma: Tensor, W: Tensor, beta: Tensor | None = None) -> Tensor:
    """γ_i² + β_i² − ‖W_{:i}‖², `[n]`: a norm's gain and shift against the reader W `[m, n]`.

    Raises:
        ValueError: If γ or β does not have an entry for each column of W.
    """
    writers = _with_bias(gamma[:, None], beta)
    _require_columns("gamma", writers, W)
    return writers.square().sum(1) - W.square().sum(0)


def exponential(b: Tensor, U: Tensor) -> Tensor:
    """2b_i − ‖U_{:i}‖², `[h]`, for a hidden layer exp(Vx + b) read by U `[m, h]`.

    b_i += t multiplies neuron i by eᵗ, which U_{:i} ↦ e⁻ᵗ U_{:i} takes back.

    Raises:
        ValueError: If b does not have an entry for each column of U.
    """
    _require_columns("b", b[:, None], U)
    return 2 * b - U.square().sum(0)


def key_bias(b: Tensor) -> Tensor:
    """b itself: softmax does not see what a key's bias adds to all scores of a query."""
    return b.clone()


def gated(
    value: Tensor, reader: Tensor, gate: Tensor | None = None, *, degree: float = 1.0
) -> Tensor:
    """Laws of a gated unit U (σ(Gx) ⊙ (Vx)), `[h]`, or `[2, h]` with a gate that scales.

    ‖V_i‖² − ‖U_{:i}‖² for every σ (SwiGLU, GEGLU); also ‖G_i‖² − degree ‖U_{:i}‖² where σ is
    homogeneous of that degree (bilinear and ReGLU: 1).

    Args:
        value: V with its bias as a column, `[h, n]`.
        reader: U, `[m, h]`.
        gate: G with its bias as a column, `[h, n]`; absent if σ is not homogeneous.
        degree: Degree of σ.

    Raises:
        ValueError: If V or G does not have a row for each column of U.
    """
    _require_columns("value", value, reader)
    read = reader.square().sum(0)
    law = value.square().sum(1) - read
    if gate is None:
        return law
    _require_columns("gate", gate, reader)
    return torch.stack([law, gate.square().sum(1) - degree * read])


def _with_bias(W: Tensor, b: Tensor | None) -> Tensor:
    if W.ndim != 2 or (b is not None and b.shape != W.shape[:1]):
        got = "none" if b is None else tuple(b.shape)
        raise ValueError(
            "the weight must be a matrix [h, n] and its bias, if any, a vector [h]; "
            f"got {tuple(W.shape)} and {got}."
        )
    return W if b is None else torch.cat([W, b[:, None]], 1)


def _require_columns(name: str, writers: Tensor, reader: Tensor) -> None:
    if writers.ndim != 2 or reader.ndim != 2 or writers.shape[0] != reader.shape[1]:
        raise ValueError(
            f"`{name}` must have an entry or a row for each column of its reader; got "
            f"{writers.shape[0]} of them and a reader of shape {tuple(reader.shape)}."
        )
