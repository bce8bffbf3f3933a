"""The landscape near a point: Hessian spectra, flat directions, sharpness."""

from paramsym.landscape.coordinates import Coordinates, coordinates
from paramsym.landscape.density import SpectralDensity, spectral_density
from paramsym.landscape.extremes import Eigenpairs, extreme_eigenvalues, hessian_operator
from paramsym.landscape.hessian import hessian, hessian_spectrum
from paramsym.landscape.null_space import NullSpace, split_null_space
from paramsym.landscape.sharpness import (
    least_sharpness,
    linear_net_spectrum,
    scalar_sharpness,
    sharpness,
)

__all__ = [
    "Coordinates",
    "Eigenpairs",
    "NullSpace",
    "SpectralDensity",
    "coordinates",
    "extreme_eigenvalues",
    "hessian",
    "hessian_operator",
    "hessian_spectrum",
    "least_sharpness",
    "linear_net_spectrum",
    "scalar_sharpness",
    "sharpness",
    "spectral_density",
    "split_null_space",
]
