"""Continuous symmetries of a neural network's parameter space."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paramsym.activations import equivariance
    from paramsym.certification import (
        BlockCertificates,
        Certificate,
        certify,
        certify_blocks,
    )
    from paramsym.discovery import discover
    from paramsym.discovery.extending import register_rule
    from paramsym.discovery.likening import register_like
    from paramsym.discovery.registering import register_activation
    from paramsym.discrete.family import DiscreteFamily
    from paramsym.discrete.groups import Permutations, Signs
    from paramsym.dynamics.gradient_descent import Descent, gradient_descent
    from paramsym.dynamics.gradient_flow import gradient_flow
    from paramsym.dynamics.trajectory import Trajectory
    from paramsym.element import AlgebraElement, GroupElement
    from paramsym.ensembling import Ensemble, ensemble
    from paramsym.evidence import Barrier, Verification
    from paramsym.family import Exactness, Family
    from paramsym.groups import (
        Affine,
        ComplexScaling,
        GeneralLinear,
        Homothety,
        HyperplaneFixing,
        Orthogonal,
        PositiveScaling,
        Translation,
    )
    from paramsym.orbit import (
        Canonical,
        OrbitMinimum,
        SameOrbit,
        balance,
        canonical,
        element_reaching,
        init_conserved_,
        minimise_on_orbit,
        orbit_distance,
        same_orbit,
        set_conserved,
    )
    from paramsym.ports import Frame, Port
    from paramsym.storage import load, save
    from paramsym.symmetry import Symmetry
    from paramsym.terms import Slot, Source, Term

__all__ = [
    "Affine",
    "AlgebraElement",
    "Barrier",
    "BlockCertificates",
    "Canonical",
    "Certificate",
    "ComplexScaling",
    "Descent",
    "DiscreteFamily",
    "Ensemble",
    "Exactness",
    "Family",
    "Frame",
    "GeneralLinear",
    "GroupElement",
    "Homothety",
    "HyperplaneFixing",
    "OrbitMinimum",
    "Orthogonal",
    "Permutations",
    "Port",
    "PositiveScaling",
    "SameOrbit",
    "Signs",
    "Slot",
    "Source",
    "Symmetry",
    "Term",
    "Trajectory",
    "Translation",
    "Verification",
    "balance",
    "canonical",
    "certify",
    "certify_blocks",
    "discover",
    "element_reaching",
    "ensemble",
    "equivariance",
    "gradient_descent",
    "gradient_flow",
    "init_conserved_",
    "load",
    "minimise_on_orbit",
    "orbit_distance",
    "register_activation",
    "register_like",
    "register_rule",
    "same_orbit",
    "save",
    "set_conserved",
]

_HOMES = {
    "activations": ("equivariance",),
    "certification": ("BlockCertificates", "Certificate", "certify", "certify_blocks"),
    "discovery": ("discover",),
    "discovery.extending": ("register_rule",),
    "discovery.likening": ("register_like",),
    "discovery.registering": ("register_activation",),
    "discrete.family": ("DiscreteFamily",),
    "discrete.groups": ("Permutations", "Signs"),
    "dynamics.gradient_descent": ("Descent", "gradient_descent"),
    "dynamics.gradient_flow": ("gradient_flow",),
    "dynamics.trajectory": ("Trajectory",),
    "element": ("AlgebraElement", "GroupElement"),
    "ensembling": ("Ensemble", "ensemble"),
    "family": ("Exactness", "Family"),
    "groups": (
        "Affine", "ComplexScaling", "GeneralLinear", "Homothety", "HyperplaneFixing", "Orthogonal",
        "PositiveScaling", "Translation",
    ),
    "orbit": (
        "Canonical", "OrbitMinimum", "SameOrbit", "balance", "canonical", "element_reaching",
        "init_conserved_", "minimise_on_orbit", "orbit_distance", "same_orbit", "set_conserved",
    ),
    "ports": ("Frame", "Port"),
    "storage": ("load", "save"),
    "symmetry": ("Barrier", "Symmetry", "Verification"),
    "terms": ("Slot", "Source", "Term"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name at first use, so that `paramsym --help` does not wait for torch."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


try:
    __version__ = version("paramsym")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "0+source"
