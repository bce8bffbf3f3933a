"""Objectives for `minimise_on_orbit`: what one may want of a point of an orbit.

Each is a value that is called with a parameter dict. Users write their own as plain functions.
"""

from paramsym.orbit.objectives.curvature import HessianTrace, LargestEigenvalue
from paramsym.orbit.objectives.derivatives import GradientNorm
from paramsym.orbit.objectives.outliers import Kurtosis, WeightRange
from paramsym.orbit.objectives.quantisation import QuantisationNoise
from paramsym.orbit.objectives.weights import WeightNorm

__all__ = [
    "GradientNorm",
    "HessianTrace",
    "Kurtosis",
    "LargestEigenvalue",
    "QuantisationNoise",
    "WeightNorm",
    "WeightRange",
]
