"""Balance: conserved quantities zero, the smallest weights of an orbit."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.orbit.coupling import components, overlaps_itself
from paramsym.orbit.target import Others, set_conserved
from paramsym.orbit.target_joint import is_linear_space
from paramsym.orbit.target_matrices import definite
from paramsym.orbit.target_ranks import Ranks
from paramsym.orbit.target_reading import is_two_sided, lawful_families
from paramsym.orbit.target_spaces import grams, vectors
from paramsym.sharded import whole
from paramsym.symmetry import Symmetry


@torch.no_grad()
def balance(
    symmetry: Symmetry,
    params: Mapping[str, Tensor],
    *,
    families: Iterable[str] | None = None,
    others: Others = "free",
    replace: bool = False,
) -> dict[str, Tensor]:
    """The parameters of the same function with Q = 0: writers and readers of equal size.

    Where it exists, and all degrees are 1, this is the point of these families' orbit at which the
    sum of squares of all weights is smallest. Scalings are balanced neuron by neuron in closed
    form, GL spaces by the geometric mean of (WWᵀ)⁻¹ and RRᵀ; families that share weights together.

    Args:
        symmetry: The model's symmetry.
        params: Parameter dict.
        families: Names; every exact family with writers and readers when absent.
        others: Whether other families that share weights with these stay where they are
            (`"free"`, and their Q changes) or move so that they `"keep"` their Q.
        replace: A GL or Aff space reaches Q = 0 only if rk W = rk R = rk RᵀW. With `replace`, one
            that does not, and shares no weights with other families, gets the balanced factors
            √Σ Yᵀ and √Σ Xᵀ of RᵀW = X Σ Yᵀ instead. They compute the same function and are the
            limit of group elements, but of lower rank, and are *not* on the orbit of `params`.

    Returns:
        A new dict; parameters that nothing moves are the same tensors.

    Raises:
        TypeError: If the families are one string.
        ValueError: If a family is unknown or cannot be balanced; the message says why.
        ArithmeticError: As for `set_conserved`.
    """
    if isinstance(families, str):
        raise TypeError(f"`families` must be a list of names; got the string {families!r}.")
    lawful = lawful_families(symmetry, params)
    names = [f.name for f in lawful if is_two_sided(f)] if families is None else list(families)
    moved = dict(params)
    if replace:
        chosen = [family for family in lawful if family.name in names]
        for family in _unbalanced(chosen, lawful, params):
            moved = balanced_factors(family, moved)
            names.remove(family.name)
    return set_conserved(symmetry, moved, dict.fromkeys(names, 0.0), others=others)


def _unbalanced(
    chosen: list[Family], lawful: list[Family], params: Mapping[str, Tensor]
) -> list[Family]:
    """Linear spaces without an element that balances them, and without neighbours."""
    alone = {group[0].name for group in components(lawful) if len(group) == 1}
    return [
        family
        for family in chosen
        if is_linear_space(family)
        and family.name in alone
        and not overlaps_itself(family)
        and not can_balance(family, params)
    ]


def can_balance(family: Family, params: Mapping[str, Tensor]) -> bool:
    """Whether an element makes Q = 0: rk W = rk R = rk RᵀW, in every copy."""
    A, B = grams(family, params)
    eps = max(torch.finfo(params[port.parameter].dtype).eps for port in family.ports)
    return all(
        Ranks.of(*vectors(family, params, copy), eps).allow(0, 0)
        for copy in (~(definite(A) & definite(B))).nonzero().flatten().tolist()
    )


def balanced_factors(family: Family, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters with W and R replaced by √Σ Yᵀ and √Σ Xᵀ of RᵀW = X Σ Yᵀ.

    A GL-invariant function that is continuous depends on W and R through RᵀW alone, because the
    balanced factors lie in the closure of every orbit with this product (docs/derivations.md §24).
    """
    new: dict[bool, list[Tensor]] = {False: [], True: []}
    for copy in range(family.group.copies):
        W, R = vectors(family, params, copy)
        written, read = torch.linalg.qr(W.mT), torch.linalg.qr(R.mT)
        X, values, Yt = torch.linalg.svd(read.R @ written.R.mT, full_matrices=False)
        root = values.sqrt()[:, None]
        new[False].append(_as_rows(root * (Yt @ written.Q.mT), family.group.n))
        new[True].append(_as_rows(root * (X.mT @ read.Q.mT), family.group.n))
    moved = dict(params)
    for dual, copies in new.items():
        ports = [port for port in family.ports if port.dual is dual]
        widths = [port.width for port in ports]
        for port, rows in zip(ports, torch.stack(copies).split(widths, -1), strict=True):
            tensor = whole(moved[port.parameter])
            moved[port.parameter] = port.put(tensor, rows.to(tensor))
    return moved


def _as_rows(factor: Tensor, n: int) -> Tensor:
    """Rows of zeros added up to the dimension of the space."""
    return torch.cat([factor, factor.new_zeros(n - len(factor), factor.shape[1])])
