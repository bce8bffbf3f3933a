"""What must not be taken for a symmetry, and what is no activation at all."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paramsym.activations import equivariance
from tests.equivariance_objects import NONE, norm

Function = Callable[[Tensor], Tensor]


def only_where(
    inside: Callable[[Tensor], Tensor], there: Function, elsewhere: Function
) -> Function:
    return lambda z: torch.where(inside(z), there(z), elsewhere(z))


def all_positive(z: Tensor) -> Tensor:
    return (z > 0).all(-1, keepdim=True)


FALSE = {
    "linear where all are positive": only_where(all_positive, lambda z: z, torch.tanh),
    "not linear where all are positive": only_where(all_positive, torch.tanh, lambda z: z),
    "not linear where all are negative": only_where(
        lambda z: all_positive(-z), torch.tanh, lambda z: z
    ),
    "linear near 0": only_where(lambda z: norm(z) < 0.1, lambda z: z, torch.sin),
    "not linear near 0": only_where(lambda z: norm(z) < 0.01, lambda z: z**2, lambda z: z),
    "not linear far away": only_where(lambda z: norm(z) > 100, lambda z: z**2, lambda z: z),
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "clipped at 100": lambda z: torch.relu(z).clamp(max=100),
    "relu with a small step": lambda z: torch.relu(z) + 1e-6 * torch.tanh(z),
    "relu with a small bend at 0": lambda z: F.softplus(z, beta=1e3),
    "two bends": lambda z: torch.relu(z - 1e-4) + torch.relu(z),
    "clipped at 10⁵": lambda z: z.clamp(-1e5, 1e5),
    "shrunk by 10⁻⁵": lambda z: F.softshrink(z, 1e-5),
    "a jump at norm 50": only_where(lambda z: norm(z) < 50, lambda z: z, lambda z: 2 * z),
    "a jump at norm 0.01": only_where(lambda z: norm(z) < 0.01, lambda z: z, lambda z: 2 * z),
    "relu with a jump at 50": lambda z: torch.relu(torch.where(z < 50, z, 2 * z)),
    "not finite beyond 50": lambda z: torch.where(z.abs() < 50, z, torch.nan),
    "no derivative beyond 50": lambda z: torch.where(
        z.abs() < 50, z, z * z.abs() / 50 + 0 * (z.detach() * 0 + 0 * z).sqrt()
    ),
    "hardshrink": F.hardshrink,
    "a jump": lambda z: torch.where(z > 0.5, z, 2 * z),
    "straight through": lambda z: z + (z.round() - z).detach(),
    "a part without gradient": lambda z: torch.relu(z) * torch.sigmoid(z).detach(),
}


@pytest.mark.parametrize("affine", [False, True], ids=["linear", "affine"])
@pytest.mark.parametrize("h", [1, 2, 4, 7])
@pytest.mark.parametrize("name", FALSE)
def test_false_symmetries_are_not_reported(name: str, h: int, affine: bool) -> None:
    found = equivariance(FALSE[name], h, affine=affine)
    assert found.dimension == 0
    assert found.group == NONE


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("relu6", "the dimension depends on the scale: 4 at 0.3, .* 0 over all"),
        ("clipped at 100", "4 of 4 pairs fail at scale 100"),
        ("not linear far away", "16 of 16 pairs fail at scale 100"),
        ("hardshrink", "σ is not continuous"),
        ("a jump", "not what autograd sees"),
        ("relu with a jump at 50", "not what autograd sees, at scale 10+"),
        ("not finite beyond 50", "σ is not finite everywhere at scale 10+"),
    ],
)
def test_instability_is_named(name: str, reason: str) -> None:
    found = equivariance(FALSE[name], 4)
    assert not found.stable
    assert "UNSTABLE" in str(found)
    assert re.search(reason, found.reason)


@pytest.mark.parametrize("seed", range(5))
def test_relu6_for_any_draw(seed: int) -> None:
    found = equivariance(F.relu6, 4, generator=torch.Generator().manual_seed(seed))
    assert found.dimension == 0


def test_a_symmetry_of_something_near_the_function() -> None:
    """z + 10⁻¹¹ sin z is within the threshold of the identity, but not to rounding."""
    found = equivariance(lambda z: z + 1e-11 * torch.sin(z), 4, affine=True)
    assert found.null > 1e-12
    assert not found.stable


def test_denormal_values_are_not_taken_for_a_fault() -> None:
    found = equivariance(lambda z: z[..., :2].exp() * z[..., 2:], 4)
    assert found.stable
    assert found.group_dim == 2


def test_discrete_symmetries_at_all_scales() -> None:
    """It is odd up to 50."""
    found = equivariance(lambda z: torch.sin(z) + torch.relu(z - 50), 3)
    assert found.discrete == ("permutations",)


def test_relu6_is_stable_where_it_saturates() -> None:
    found = equivariance(F.relu6, 4, scales=(5.0, 10.0, 20.0))
    assert found.stable
    assert found.dimension == 0


def test_scales_that_saw_too_little_are_caught_by_the_check() -> None:
    """At scales 0.01 and 0.02 relu6 is relu; the check at wider scales says no."""
    found = equivariance(F.relu6, 4, scales=(0.01, 0.02))
    assert found.dimensions == (4, 4)
    assert not found.stable
    assert found.dimension == 0


def test_tiny_eps_is_seen() -> None:
    """The scale of a norm with ε = 10⁻¹² is no symmetry, the rotations are."""
    found = equivariance(lambda z: z / (norm(z) ** 2 + 1e-12).sqrt(), 4)
    assert found.group_dim == 6
    assert "7 pairs fail" in found.reason


@pytest.mark.parametrize(
    ("sigma", "got"), [(None, "NoneType"), ("relu", "str"), (torch.zeros(3), "Tensor")]
)
def test_not_callable(sigma: Any, got: str) -> None:
    with pytest.raises(TypeError, match=rf"`sigma` must be a callable.*got {got}"):
        equivariance(sigma, 3)


@pytest.mark.parametrize(
    ("sigma", "got"),
    [
        (lambda z: z.float(), "float32"),
        (lambda z: z > 0, "bool"),
        (lambda z: z.numpy(), "ndarray"),
        (lambda z: (z, z), "tuple"),
        (lambda z: None, "NoneType"),
    ],
    ids=["float32", "bool", "numpy", "tuple", "nothing"],
)
def test_no_float64_tensor(sigma: Any, got: str) -> None:
    with pytest.raises(TypeError, match=f"`sigma` must return a float64 tensor.*got .*{got}"):
        equivariance(sigma, 3)


@pytest.mark.parametrize(
    "sigma",
    [
        lambda z: z.sum(-1),
        lambda z: z.sum(),
        lambda z: z[:1],
        lambda z: z[..., None],
        lambda z: z[..., :0],
    ],
    ids=["no last axis", "a number", "one sample", "one more axis", "no outputs"],
)
def test_wrong_shape(sigma: Function) -> None:
    with pytest.raises(ValueError, match=r"`sigma` must map \[\.\.\., h\] to \[\.\.\., p\]"):
        equivariance(sigma, 3)


@pytest.mark.parametrize(
    "sigma",
    [
        lambda z: z - z.mean(0, keepdim=True),
        lambda z: torch.softmax(z, 0),
        lambda z: torch.softmax(z, 1),
        lambda z: F.layer_norm(z, z.shape[1:]),
        nn.BatchNorm1d(3, track_running_stats=False).double(),
    ],
    ids=["batch mean", "softmax over 0", "softmax over 1", "all but the first", "batch norm"],
)
def test_samples_that_influence_each_other(sigma: Function) -> None:
    with pytest.raises(ValueError, match="must act along the last axis alone"):
        equivariance(sigma, 3)


@pytest.mark.parametrize("sigma", [torch.log, torch.sqrt, lambda z: z / 0], ids=["log", "√", "∞"])
def test_values_that_are_not_finite(sigma: Function) -> None:
    with pytest.raises(ValueError, match=r"must be finite on all of R\^h; .* at z = \["):
        equivariance(sigma, 3)


def test_overflow_depends_on_the_scales() -> None:
    def steep(z: Tensor) -> Tensor:
        return torch.exp(z**4)

    with pytest.raises(ValueError, match="lower `scales`"):
        equivariance(steep, 3)
    assert equivariance(steep, 3, scales=(0.1, 0.3)).dimension == 0


@pytest.mark.parametrize("p", [0.5, 1e-9])
def test_random_functions(p: float) -> None:
    """Also where the values are random so seldom that two calls agree."""
    with pytest.raises(ValueError, match="two calls differ, or draw random numbers"):
        equivariance(nn.Dropout(p).double(), 3)


def test_functions_with_a_state_that_return_the_same_tensor() -> None:
    results: dict[torch.Size, Tensor] = {}

    def sigma(z: Tensor) -> Tensor:
        held = results.setdefault(z.shape, torch.zeros_like(z))
        return held.add_(z)

    with pytest.raises(ValueError, match="two calls differ"):
        equivariance(sigma, 3)


def test_nan_in_another_shape_of_batch() -> None:
    with pytest.raises(ValueError, match=r"samples in shape \[2, .* have other values"):
        equivariance(lambda z: z if z.ndim == 2 else z * torch.nan, 3)


def test_functions_with_a_state() -> None:
    calls = []

    def sigma(z: Tensor) -> Tensor:
        calls.append(None)
        return z * len(calls)

    with pytest.raises(ValueError, match="keep no state between calls"):
        equivariance(sigma, 3)


@pytest.mark.parametrize(
    "sigma",
    [lambda z: z.detach() ** 2, lambda z: torch.from_numpy(z.detach().numpy() ** 3)],
    ids=["detached", "numpy"],
)
def test_functions_without_derivative(sigma: Function) -> None:
    with pytest.raises(ValueError, match="`sigma` must be differentiable by autograd"):
        equivariance(sigma, 3)


def test_custom_ops_without_derivative() -> None:
    @torch.library.custom_op("paramsym_tests::cube", mutates_args=())
    def cube(z: Tensor) -> Tensor:
        return z**3

    with pytest.raises(ValueError, match="written with differentiable torch functions"):
        equivariance(cube, 3)


@pytest.mark.parametrize("h", [0, -1, 2.0, "3", True, None])
def test_width(h: Any) -> None:
    with pytest.raises(ValueError, match=r"`h` must be a positive integer.*got"):
        equivariance(torch.relu, h)


def test_width_is_limited() -> None:
    with pytest.raises(
        ValueError, match=r"`h` must be at most 16.*h⁶; got 17\. Measure at a small"
    ):
        equivariance(torch.relu, 17)
    with pytest.raises(ValueError, match="at most 32 outputs; got 48"):
        equivariance(lambda z: torch.cat([z, z, z], -1), 16)


@pytest.mark.parametrize("scales", [(), (1.0,), (1.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (1.0, 1e9)])
def test_scales(scales: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="`scales` must be two or more different sizes"):
        equivariance(torch.relu, 3, scales=scales)


@pytest.mark.parametrize("samples", [0, -5])
def test_samples(samples: int) -> None:
    with pytest.raises(ValueError, match="`samples` must be a positive number"):
        equivariance(torch.relu, 3, samples=samples)


def test_too_few_samples() -> None:
    with pytest.raises(ValueError, match="`samples` must give at least as many equations"):
        equivariance(torch.relu, 4, samples=2)
