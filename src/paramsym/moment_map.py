"""The moment map of families: the adjoint of the infinitesimal action.

Read at the covector θ it is what training conserves, at the gradient 0, at a velocity the angular
momentum (docs/derivations.md §2). Pure functions, as in `action`.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor

from paramsym.action import Letter, in_frame
from paramsym.family import Family
from paramsym.groups import LowRank
from paramsym.ports import Port
from paramsym.rows import RowsOf, row_dots, rows_of, summable
from paramsym.sharded import aligned, here, opened, summed


def moments(
    families: Iterable[Family], params: Mapping[str, Tensor], covector: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Moment map: for each family the element P of the dual algebra with ⟨covector, M·θ⟩ = ⟨P, M⟩
    for all M.

    It is the adjoint of `tangent`. With the covector θ its symmetric part is the conserved
    quantity Q (eq. (12)); with ∇L it vanishes (Proposition 3.4); with a velocity its antisymmetric
    part is the angular momentum (eq. (13)).

    Args:
        families: The families; only parameters that they move or read are looked up.
        params: Parameter dict.
        covector: Dict of tensors shaped like the parameters.

    Returns:
        For each family a tensor of its group's shape, projected onto the algebra.
    """
    families = list(families)
    ports = [port for family in families if family.group.diagonal for port in family.ports]
    dots = row_dots(ports, params, covector)
    return {family.name: _moment(family, params, covector, dots) for family in families}


def pairings(
    parts: Iterable[tuple[Family, Letter]],
    params: Mapping[str, Tensor],
    covector: Mapping[str, Tensor],
) -> dict[str, float]:
    """For each family ⟨covector, M·θ⟩, without forming M·θ.

    Args:
        parts: Families and elements of their Lie algebras.
        params: Parameter dict.
        covector: Dict of tensors shaped like the parameters.
    """
    parts = list(parts)
    small = moments((f for f, M in parts if isinstance(M, Tensor)), params, covector)
    return {
        family.name: float((small[family.name] * M.to(small[family.name])).sum())
        if isinstance(M, Tensor)
        else _low_rank_pairing(family, M, params, covector)
        for family, M in parts
    }


def _low_rank_pairing(
    family: Family, M: LowRank, params: Mapping[str, Tensor], covector: Mapping[str, Tensor]
) -> float:
    total = 0.0
    for port in family.ports:
        x, y = params[port.parameter], covector[port.parameter]
        rho = in_frame((-M.mT if port.dual else M).to(x), port, params)
        total += float(rho.pairing(port.rows(y), port.rows(x)))
    return total


def moment(family: Family, params: Mapping[str, Tensor], covector: Mapping[str, Tensor]) -> Tensor:
    """The moment map of one family."""
    return moments([family], params, covector)[family.name]


def _moment(
    family: Family,
    params: Mapping[str, Tensor],
    covector: Mapping[str, Tensor],
    dots: Mapping[RowsOf, Tensor],
) -> Tensor:
    group = family.group
    linear: Tensor | None = None
    for port in family.ports:
        if group.diagonal:
            degree = -port.degree if port.dual else port.degree
            share = degree * port.collect(dots[rows_of(port)])
        else:
            share = _matrix_moment(port, params, covector)
        linear = share if linear is None else linear + share.to(linear.device)
    translation: Tensor | None = None
    for term in family.terms:
        share = term.adjoint(term.target.read(covector), params)
        shape = group.translation_shape
        share = (
            share.reshape(shape) if term.view else share.expand(*shape[: share.ndim - 1], group.n)
        )
        if linear is not None:
            share = share.to(linear.device)
        translation = share if translation is None else translation + share.to(translation.device)
    if group.translates and translation is None:
        assert linear is not None
        translation = linear.new_zeros(linear.shape[:2])
    return group.project(group.from_parts(linear, translation))


def _matrix_moment(
    port: Port, params: Mapping[str, Tensor], covector: Mapping[str, Tensor]
) -> Tensor:
    tensor = params[port.parameter]
    cut = opened(tensor, port.whole_axes(tensor.shape))
    part, other = here(cut), here(aligned(covector[port.parameter], cut))
    own = port.on_part(part.shape, tensor.shape)
    x, y = own.rows(summable(part)), own.rows(summable(other))
    if port.frame is not None:
        gain = port.frame.diagonal(params, *port.index.shape[:2]).to(x.device)
        x, y = (x * gain, y / gain) if port.dual else (x / gain, y * gain)
    share = -(x @ y.mT) if port.dual else y @ x.mT
    return summed(share, cut)
