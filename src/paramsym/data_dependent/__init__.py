"""The data-dependent action of GL(h), for any activation (Section 4, Appendices D and I)."""

from paramsym.data_dependent.batch import (
    QR,
    VARIANTS,
    MinimalChange,
    Polar,
    PseudoInverse,
    Twisted,
)
from paramsym.data_dependent.cocycle import Axioms, LinearMap, OneSample, Point, Variant
from paramsym.data_dependent.finding import hidden_space
from paramsym.data_dependent.frames import Cumulative, Geodesic, Householder
from paramsym.data_dependent.hidden_space import FrozenAction, HiddenSpace
from paramsym.data_dependent.layers import Affine, act_on_layers, forward
from paramsym.data_dependent.lipschitz import LipschitzBounds, lipschitz_bounds
from paramsym.data_dependent.moving_frame import MovingFrame

__all__ = [
    "QR",
    "VARIANTS",
    "Affine",
    "Axioms",
    "Cumulative",
    "FrozenAction",
    "Geodesic",
    "HiddenSpace",
    "Householder",
    "LinearMap",
    "LipschitzBounds",
    "MinimalChange",
    "MovingFrame",
    "OneSample",
    "Point",
    "Polar",
    "PseudoInverse",
    "Twisted",
    "Variant",
    "act_on_layers",
    "forward",
    "hidden_space",
    "lipschitz_bounds",
]
