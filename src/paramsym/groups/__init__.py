"""Matrix Lie groups that act on hidden spaces: elements, algebras, samplers, projections."""

from paramsym.groups.affine import Affine
from paramsym.groups.complex_scaling import ComplexScaling
from paramsym.groups.general_linear import GeneralLinear
from paramsym.groups.group import Group
from paramsym.groups.homothety import Homothety
from paramsym.groups.hyperplane_fixing import HyperplaneFixing
from paramsym.groups.low_rank import LowRank
from paramsym.groups.matrix_group import MatrixGroup
from paramsym.groups.orthogonal import Orthogonal
from paramsym.groups.positive_scaling import PositiveScaling
from paramsym.groups.translation import Translation

__all__ = [
    "GROUPS",
    "Affine",
    "ComplexScaling",
    "GeneralLinear",
    "Group",
    "Homothety",
    "HyperplaneFixing",
    "LowRank",
    "MatrixGroup",
    "Orthogonal",
    "PositiveScaling",
    "Translation",
]

GROUPS: dict[str, type[Group]] = {
    cls.__name__: cls
    for cls in (
        PositiveScaling,
        GeneralLinear,
        Orthogonal,
        ComplexScaling,
        Affine,
        Homothety,
        HyperplaneFixing,
        Translation,
    )
}
"""Every group by its class name, for files and for tests that walk over all of them."""
