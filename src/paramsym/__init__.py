"""Continuous symmetries of a neural network's parameter space."""

from importlib.metadata import PackageNotFoundError, version

from paramsym.discover import discover
from paramsym.element import AlgebraElement, GroupElement
from paramsym.family import Exactness, Family
from paramsym.groups import (
    Affine,
    ComplexScaling,
    GeneralLinear,
    Orthogonal,
    PositiveScaling,
    Translation,
)
from paramsym.ports import Frame, Port, Slot, Source, Term
from paramsym.symmetry import Barrier, Symmetry, Verification

__all__ = [
    "Affine",
    "AlgebraElement",
    "Barrier",
    "ComplexScaling",
    "Exactness",
    "Family",
    "Frame",
    "GeneralLinear",
    "GroupElement",
    "Orthogonal",
    "Port",
    "PositiveScaling",
    "Slot",
    "Source",
    "Symmetry",
    "Term",
    "Translation",
    "Verification",
    "discover",
]

try:
    __version__ = version("paramsym")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "0+source"
