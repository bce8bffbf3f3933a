"""Claims of all parts of the paper fail where what they measure is not what it should be."""

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor

from paramsym.claims import (
    CLAIMS,
    Verdict,
    angular_momentum,
    batches,
    conservation,
    convergence,
    data_dependence,
    dynamics,
    ensembles,
    equivariances,
    infinitesimal,
    landscape,
    orbits,
    rotations,
    second_order,
    training,
)
from paramsym.claims.deep import LINEAR, RADIAL, Activation
from paramsym.claims.sampling import Equivariant, radial
from paramsym.groups import GeneralLinear

Fault = tuple[ModuleType, str, object]
"""A name in a module, and what to replace it by."""

TANH = Activation(torch.tanh, 1, LINEAR.project)
TANH_TURNED = Activation(torch.tanh, 1, RADIAL.project)


def mixing(z: Tensor) -> Tensor:
    """An activation that is not elementwise, and keeps no symmetry of columns."""
    return torch.tanh(z) + 0.1 * torch.tanh(z).roll(1, 0)


def off_by(amount: float, right: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args, **kwargs: right(*args, **kwargs) * (1 + amount)


def plus_one(right: Callable[..., int]) -> Callable[..., int]:
    return lambda *args: right(*args) + 1


def tilted(right: Callable[..., object]) -> Callable[..., object]:
    """Gradient flow of the loss plus a part of ‖V‖², which has other laws."""

    def flow(loss: Callable[..., Tensor], start: tuple[Tensor, ...], horizon: float) -> object:
        def other(*theta: Tensor) -> Tensor:
            return loss(*theta) + 0.01 * theta[-1].sum()

        return right(other, start, horizon)

    return flow


def sheared(angles: list[float]) -> Tensor:
    R = RIGHT_ROTATION(angles)
    R[0, -1] += 1e-6
    return R


RIGHT_ROTATION = rotations.rotation


def coin(sigma: object, rng: torch.Generator, *settings: object) -> training.Runs:
    """Runs whose number of steps and whose ends have nothing to do with Q."""
    pairs = training.PAIRS
    shapes = ((2 * pairs, 5, 20), (2 * pairs, 4, 20), (2 * pairs, 5, 4))
    U, V, Y = (torch.randn(s, generator=rng, dtype=torch.float64) for s in shapes)
    return training.Runs(torch.randint(0, 1000, (2, pairs), generator=rng), U, V, Y)


FAULTS: dict[str, Fault] = {
    "ex-3.2": (equivariances, "LINEAR", Equivariant("tanh", torch.tanh, GeneralLinear)),
    "ex-3.4": (equivariances, "LEAKY", (Equivariant("", torch.abs, GeneralLinear),)),
    "permutations": (equivariances, "leaky", mixing),
    "sec-4-groups": (equivariances, "equivariance",
                     lambda _, h, **rest: RIGHT_EQUIVARIANCE(torch.abs, h, **rest)),
    "eq-23": (infinitesimal, "_unit", lambda w: (1.001 * torch.eye(w).double(),) * 2),
    "ex-c.5-derivative": (infinitesimal, "LEAKY", (equivariances.RADIAL,)),
    "thm-3.3-gl": (orbits, "orbit", plus_one(orbits.orbit)),
    "cor-c.4-constant": (orbits, "normal_form",
                         lambda shape: orbits.draw(shape, torch.Generator().manual_seed(1))),
    "orbit-is-fibre": (orbits, "fibre", plus_one(orbits.fibre)),
    "sec-5-flat": (orbits, "fibre", plus_one(orbits.fibre)),
    "def-d.1": (rotations, "rotation", sheared),
    "lemma-d.2-2": (rotations, "rotation", sheared),
    "prop-d.3": (rotations, "rotation", sheared),
    "sec-4-other-inputs": (data_dependence, "invertible",
                           lambda rng, h, spread=0.0: torch.eye(h, dtype=torch.float64)),
    "eq-9-lipschitz": (data_dependence, "LIPSCHITZ", ((torch.tanh, 0.01),)),
    "sec-d.4-deep": (batches, "batch_cocycle", off_by(1e-9, batches.batch_cocycle)),
    "sec-d.4-large-batch": (batches, "ACTIVATIONS", (lambda z: z,)),
    "ex-d.1-1": (batches, "_fifths", off_by(1e-3, batches._fifths)),
    "ex-d.1-2": (batches, "_fifths", off_by(1e-3, batches._fifths)),
    "eq-11": (conservation, "RADIAL", TANH_TURNED),
    "ex-5.2": (conservation, "LINEAR", TANH),
    "c.9.1": (conservation, "LINEAR", TANH),
    "thm-5.2-polar": (angular_momentum, "RADIAL", TANH_TURNED),
    "c.8.1": (angular_momentum, "angle_rate", off_by(1e-6, angular_momentum.angle_rate)),
    "c.9.5": (angular_momentum, "PROFILES", (TANH_TURNED,)),
    "c.9.5-polar": (angular_momentum, "PROFILES", (TANH_TURNED,)),
    "eq-30": (angular_momentum, "PROFILES", (TANH_TURNED,)),
    "eq-14": (second_order, "with_inertia",
              lambda net, M, v, tau, end: RIGHT_INERTIA(net, M, v, 2 * tau, end)),
    "eq-17-symmetric": (second_order, "LINEAR", TANH),
    "fig-3-converged": (dynamics, "potential", lambda _: RIGHT_POTENTIAL("tanh")),
    "eq-64": (convergence, "loss_on_ellipse", off_by(1e-6, convergence.loss_on_ellipse)),
    "eq-72": (convergence, "gradient_flow", tilted(convergence.gradient_flow)),
    "prop-g.3": (convergence, "INVERSE", lambda r: 0.2 * r**-2),
    "fig-6": (training, "run_pairs", coin),
    "fig-7": (training, "INVERSE", torch.ones_like),
    "fig-9-nonlinear": (landscape, "run_pairs", coin),
    "eq-113": (ensembles, "pseudo_inverse", off_by(1e-9, ensembles.pseudo_inverse)),
    "app-i-new-activation": (ensembles, "pseudo_inverse",
                             lambda sigma, g, H: torch.eye(len(H), dtype=H.dtype)),
    "app-i-fresh-data": (ensembles, "near_identity",
                         lambda rng, epsilon: RIGHT_NEAR(rng, 0.3)),
}  # fmt: skip
"""By the claim that must notice it."""

RIGHT_EQUIVARIANCE = equivariances.equivariance
RIGHT_INERTIA = second_order.with_inertia
RIGHT_POTENTIAL = dynamics.potential
RIGHT_NEAR = ensembles.near_identity


@pytest.mark.parametrize("id", FAULTS)
def test_a_fault_is_noticed(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, fault = FAULTS[id]
    monkeypatch.setattr(module, name, fault)
    evidence = CLAIMS[id].measure(torch.Generator().manual_seed(0))
    try:
        verdict = evidence.verdict
    except ValueError:
        return  # the printed statement was made true, and its correction with it false
    assert verdict is not CLAIMS[id].documented, evidence


def test_radial_profiles_are_held_to_rotations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equivariances, "RADIAL", Equivariant("", radial, GeneralLinear))
    assert CLAIMS["ex-3.5"].check().verdict is Verdict.WRONG
