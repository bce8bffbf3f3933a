"""Gradient flow against closed forms, an independent quadrature, and the other method."""

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import paramsym as ps
from paramsym.data import digits
from paramsym.dynamics.gradient_flow import DENSE_LIMIT
from paramsym.dynamics.integrating import WATCH
from paramsym.dynamics.velocity import Velocity
from paramsym.nets import MLP, DigitsCNN
from tests.laws.subject import Params, Subject, flatten, normal
from tests.laws.subjects import subject

RTOL = 1e-10
"""The default tolerance."""

TIMES = (0.0, 0.13, 0.5, 2.0)


def largest_gap(a: Params, b: Params) -> float:
    return max(float((a[k] - b[k]).abs().max()) for k in a)


def drift(symmetry: ps.Symmetry, path: ps.Trajectory) -> float:
    """Largest change of an entry of Q relative to the largest entry of that Q."""
    worst = 0.0
    for Q in path.conserved(symmetry).values():
        worst = max(worst, float((Q - Q[0]).abs().max() / Q[0].abs().max()))
    return worst


def quadratic(rng: torch.Generator, n: int = 6) -> tuple[Tensor, Tensor]:
    """A positive definite matrix with eigenvalues from 0.1 to 10, and a start."""
    basis = torch.linalg.qr(normal((n, n), rng))[0]
    return basis @ torch.logspace(-1, 1, n, dtype=torch.float64).diag() @ basis.T, normal((n,), rng)


# -- closed forms --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["explicit", "implicit", "auto"])
def test_quadratic_loss(method, rng: torch.Generator) -> None:
    """θ(t) = exp(−At) θ₀, at every time asked for, most of which lie inside a step."""
    A, theta = quadratic(rng)
    times = torch.linspace(0, 5, 57, dtype=torch.float64)
    path = ps.gradient_flow(lambda p: p["x"] @ A @ p["x"] / 2, {"x": theta}, times, method=method)
    expected = torch.stack([torch.linalg.matrix_exp(torch.stack([-A * t] * 2))[0] @ theta
                            for t in times])  # fmt: skip
    assert torch.equal(path.times, times)
    assert (path.params["x"] - expected).abs().max() <= 10 * RTOL * theta.abs().max()
    assert torch.allclose(path.loss, (expected @ A * expected).sum(1) / 2, rtol=1e-8, atol=1e-9)
    assert path.steps < 57 or method == "implicit"


@pytest.mark.parametrize("method", ["explicit", "implicit"])
def test_one_neuron_against_quadrature(method) -> None:
    """½(uv − y)²: p = uv obeys ṗ = (y − p)√(Q² + 4p²), so that t is an integral over p.

    It is computed with 30 digits, by quadrature and not as a differential equation.
    """
    y, start, time = 1.5, {"u": torch.tensor(0.3), "v": torch.tensor(-1.1)}, 0.9
    start = {k: p.double() for k, p in start.items()}
    path = ps.gradient_flow(
        lambda p: (p["u"] * p["v"] - y) ** 2 / 2, start, (0.0, time), method=method
    )
    ends = [float(p["u"] * p["v"]) for p in (start, path.end)]
    with mpmath.workdps(30):
        Q = mpmath.mpf(float(start["v"])) ** 2 - mpmath.mpf(float(start["u"])) ** 2
        passed = mpmath.quad(lambda p: 1 / ((y - p) * mpmath.sqrt(Q**2 + 4 * p**2)), [*ends])
    speed = (y - ends[1]) * math.sqrt(float(Q) ** 2 + 4 * ends[1] ** 2)
    assert abs(float(passed) - time) * speed <= 10 * RTOL
    assert abs(float(path.end["v"] ** 2 - path.end["u"] ** 2) - float(Q)) <= RTOL * abs(float(Q))


def test_balanced_neuron_is_logistic() -> None:
    """With u = v, uv = y/(1 + (y/p₀ − 1)e^{−2yt})."""
    y, p0, times = 2.0, 0.01, torch.linspace(0, 4, 9, dtype=torch.float64)
    start = {k: torch.tensor(math.sqrt(p0), dtype=torch.float64) for k in "uv"}
    path = ps.gradient_flow(lambda p: (p["u"] * p["v"] - y) ** 2 / 2, start, times)
    expected = y / (1 + (y / p0 - 1) * (-2 * y * times).exp())
    assert torch.allclose(path.params["u"] * path.params["v"], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["dense cube", "dense radial", "attention", "deep identity"])
def test_both_methods_agree(name: str) -> None:
    """Runge–Kutta of order 8 and Radau of order 5 have nothing in common but the velocity."""
    s = subject(name)
    explicit, implicit = (
        ps.gradient_flow(s.loss, s.params, (0.0, 0.4, 1.0), method=m)
        for m in ("explicit", "implicit")
    )
    assert explicit.stiff_from is None
    assert implicit.stiff_from == 0
    size = float(flatten(s.params, s.params).abs().max())
    assert largest_gap(explicit.end, implicit.end) <= 100 * RTOL * size
    assert largest_gap(explicit.end, s.params) > 1e-2


# -- what is conserved ---------------------------------------------------------------------------

SMOOTH = (
    "dense identity", "dense identity_affine", "dense square", "dense cube", "dense relu_1.5",
    "deep relu_2", "deep identity",
    "convolution identity", "attention", "softmax head", "gemma norm",
)  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_conserved_to_1e_10(name: str) -> None:
    s = subject(name)
    path = ps.gradient_flow(s.loss, s.params, torch.linspace(0, 3, 31, dtype=torch.float64))
    assert drift(s.symmetry, path) <= RTOL
    assert (path.loss.diff() < 0).all()
    assert largest_gap(path.end, s.params) > 1e-2


def digit_loss(model: nn.Module, samples: int = 16) -> tuple[Tensor, Callable[[Params], Tensor]]:
    """The first digits, and the cross-entropy on them as a function of the parameters."""
    data = digits()
    x, y = data.train_images[:samples], data.train_labels[:samples]
    if isinstance(model, MLP):
        x = x.flatten(1)
    return x, lambda p: nn.functional.cross_entropy(functional_call(model, p, (x,)), y)


@pytest.mark.parametrize("which", ["identity", "relu^2", "cnn"])
def test_discovered_laws_on_digits(which: str, rng: torch.Generator) -> None:
    if which == "cnn":
        model: nn.Module = DigitsCNN(
            channels=(2, 3), hidden=5, rank=3, dtype=torch.float64, generator=rng
        )
    else:
        model = MLP([64, 6, 10], which, dtype=torch.float64, generator=rng)
    x, loss = digit_loss(model)
    symmetry = ps.discover(model, (x,))
    assert symmetry.law_dim > 0
    params = dict(model.named_parameters())
    times = (0.0, 0.05) if which == "cnn" else (0.0, 0.3, 0.6)  # the CNN slides along a kink later
    path = ps.gradient_flow(loss, params, times)
    assert drift(symmetry, path) <= RTOL
    held = ps.gradient_flow(loss, params, times, rtol=1e-4, conserve=symmetry)
    assert drift(symmetry, held) <= 1e-14
    assert all(p.grad is None and p.requires_grad for p in params.values())


def test_radial_laws_are_antisymmetric() -> None:
    """A radial net has no Q. Its angular momentum is that of the velocity, 0 at all times."""
    s = subject("dense radial")
    path = ps.gradient_flow(s.loss, s.params, TIMES)
    assert path.conserved(s.symmetry) == {}
    for k in range(len(path)):
        slope = torch.func.grad(s.loss)(path.at(k))
        for turning in s.symmetry.angular_momentum(path.at(k), slope).values():
            assert turning.abs().max() <= 1e-14


def test_one_rate_a_layer() -> None:
    """What is conserved is ⟨θ, ε⁻¹M·θ⟩; Q itself drifts."""
    s = subject("dense identity")
    rate = {k: 0.5 if k.startswith("fc0") else 2.0 for k in s.params}
    path = ps.gradient_flow(s.loss, s.params, TIMES, rate=rate)
    scaled = {k: p / math.sqrt(rate[k]) for k, p in path.params.items()}
    (Q,) = torch.vmap(s.symmetry.conserved)(scaled).values()
    assert (Q - Q[0]).abs().max() <= RTOL * Q[0].abs().max()
    assert drift(s.symmetry, path) > 1e-2


@pytest.mark.parametrize("method", ["explicit", "implicit"])
def test_rate_of_each_entry(method, rng: torch.Generator) -> None:
    """θ(t) = exp(−εAt) θ₀, with the Hessian scaled by rows for the implicit method."""
    A, theta = quadratic(rng)
    rate = torch.linspace(0.2, 3, 6, dtype=torch.float64)
    path = ps.gradient_flow(
        lambda p: p["x"] @ A @ p["x"] / 2, {"x": theta}, (0.0, 1.0), rate={"x": rate}, method=method
    )
    expected = torch.linalg.matrix_exp(torch.stack([-rate.diag() @ A] * 2))[0] @ theta
    assert (path.end["x"] - expected).abs().max() <= 10 * RTOL


def test_a_rate_is_a_unit_of_time() -> None:
    s = subject("dense square")
    fast = ps.gradient_flow(s.loss, s.params, (0.0, 0.25), rate=4.0)
    slow = ps.gradient_flow(s.loss, s.params, (3.0, 4.0))
    assert largest_gap(fast.end, slow.end) <= 10 * RTOL
    assert slow.times.tolist() == [3.0, 4.0]


# -- kinks ---------------------------------------------------------------------------------------


def test_kinks_are_crossed() -> None:
    """Steps become short there; what comes after is right to some tens of the tolerance."""
    s = subject("dense relu")
    coarse, fine = (ps.gradient_flow(s.loss, s.params, (0.0, 1.0), rtol=r) for r in (RTOL, 1e-13))
    edges = [s.inputs @ p["fc0.weight"].T + p["fc0.bias"] > 0 for p in (fine.at(0), fine.end)]
    assert (edges[0] != edges[1]).any(), "no kink is crossed, so that nothing is tested"
    assert drift(s.symmetry, coarse) <= RTOL
    assert largest_gap(coarse.end, fine.end) <= 100 * RTOL


def test_sliding_along_a_kink_is_told() -> None:
    x = {"x": torch.tensor([0.3, 1.0], dtype=torch.float64)}
    with pytest.raises(ArithmeticError, match=r"beyond t = 0\.3.*slides.*Raise `rtol`"):
        ps.gradient_flow(lambda p: p["x"].abs().sum(), x, (0.0, 1.0))
    loose = ps.gradient_flow(lambda p: p["x"].abs().sum(), x, (0.0, 1.0), rtol=1e-3)
    assert (loose.end["x"].abs() <= 1e-2).all()


@pytest.mark.slow
def test_a_relu_net_slides() -> None:
    s = subject("dense relu")
    with pytest.raises(ArithmeticError, match=r"beyond t = 1\.26.*slides.*Raise `rtol`"):
        ps.gradient_flow(s.loss, s.params, (0.0, 2.0))
    loose = ps.gradient_flow(s.loss, s.params, (0.0, 2.0), rtol=1e-4, conserve=s.symmetry)
    assert drift(s.symmetry, loose) <= 1e-14


# -- stiffness -----------------------------------------------------------------------------------


def stiff(rng: torch.Generator) -> tuple[Params, Callable[[Params], Tensor]]:
    """A linear net on badly scaled data: curvatures from about 1e-2 to 1e3."""
    scales = torch.tensor([10.0, 1.0, 0.1], dtype=torch.float64)
    params = {"U": normal((2, 3), rng), "V": normal((3, 3), rng)}
    Y = normal((2, 3), rng)
    return params, lambda p: ((p["U"] @ p["V"] - Y) * scales).square().sum()


def test_stiff_problems_change_the_method(rng: torch.Generator) -> None:
    params, loss = stiff(rng)
    explicit, auto = (
        ps.gradient_flow(loss, params, (0.0, 3.0), method=m) for m in ("explicit", "auto")
    )
    assert auto.stiff_from is not None
    assert 0 < auto.stiff_from < 3
    assert auto.evaluations < explicit.evaluations / 2
    assert largest_gap(auto.end, explicit.end) <= 100 * RTOL
    long = ps.gradient_flow(loss, params, (0.0, 1000.0))
    Q = [p["V"] @ p["V"].T - p["U"].T @ p["U"] for p in (long.at(0), long.end)]
    assert (Q[1] - Q[0]).abs().max() <= RTOL * Q[0].abs().max()
    assert long.evaluations < explicit.evaluations


def test_an_easy_problem_stays_explicit() -> None:
    """Many steps, because the tolerance is tight; looked at, and found limited by accuracy."""
    s = subject("dense radial")
    path = ps.gradient_flow(s.loss, s.params, (0.0, 40.0), rtol=1e-13)
    assert path.steps > 5 * WATCH
    assert path.stiff_from is None


def test_hessian() -> None:
    """The Jacobian given to the implicit method is −ε∇²L."""
    s = subject("attention")
    rate = {k: 0.5 + i for i, k in enumerate(s.params)}
    velocity = Velocity(s.loss, s.params, rate)
    y = velocity.start
    hessian = torch.func.hessian(lambda v: s.loss(_split(v, s)))(torch.from_numpy(y))
    scales = flatten({k: torch.full_like(p, rate[k]) for k, p in s.params.items()}, s.params)
    expected = -scales[:, None] * hessian
    got = torch.from_numpy(velocity.jacobian(0.0, y))
    assert (got - expected).abs().max() <= 1e-13 * expected.abs().max()


def _split(vector: Tensor, s: Subject) -> dict[str, Tensor]:
    parts = vector.split([p.numel() for p in s.params.values()])
    return {k: x.reshape(p.shape) for x, (k, p) in zip(parts, s.params.items(), strict=True)}


class Once(torch.autograd.Function):
    """x⁴/4, which can be differentiated once only."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x)
        return x**4 / 4

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope: Tensor) -> Tensor:  # type: ignore[override]
        return slope * ctx.saved_tensors[0] ** 3


def test_a_loss_that_is_differentiable_once() -> None:
    """The implicit method goes on with differences: ẋ = −x³ gives x = (1 + 2t)^{−1/2} from 1."""
    x = torch.ones((), dtype=torch.float64)
    path = ps.gradient_flow(lambda p: Once.apply(p["x"]), {"x": x}, (0.0, 4.0), method="implicit")
    assert float(path.end["x"]) == pytest.approx(1 / 3, rel=1e-9)


def test_a_loss_without_curvature() -> None:
    path = ps.gradient_flow(
        lambda p: p["x"].sum(), {"x": torch.ones(3).double()}, (0.0, 2.0), method="implicit"
    )
    assert torch.allclose(path.end["x"], torch.full((3,), -1.0, dtype=torch.float64), atol=1e-12)


# -- where it ends -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["explicit", "implicit"])
def test_stops_when_converged(method, rng: torch.Generator) -> None:
    A, theta = quadratic(rng)
    times = (0.0, 1.0, 10.0, 1e6)
    path = ps.gradient_flow(
        lambda p: p["x"] @ A @ p["x"] / 2, {"x": theta}, times, stop_at=1e-6, method=method
    )
    assert path.converged
    assert path.times[:3].tolist() == [0.0, 1.0, 10.0]
    assert len(path) == 4
    assert 10 < float(path.times[3]) < 1e3
    assert 1e-8 < (A @ path.end["x"]).norm() <= 1e-6
    assert path.loss.shape == (4,)


def test_converged_at_the_start() -> None:
    path = ps.gradient_flow(
        lambda p: p["x"].square().sum(), {"x": torch.zeros(2).double()}, (0.0, 1.0), stop_at=0.0
    )
    assert path.converged
    assert path.times.tolist() == [0.0]
    assert path.steps == 0


def test_not_converged() -> None:
    s = subject("dense square")
    assert not ps.gradient_flow(s.loss, s.params, (0.0, 0.1), stop_at=1e-9).converged


def test_blow_up_is_told() -> None:
    """ẋ = x² reaches infinity at t = 1/x₀."""
    with pytest.raises(ArithmeticError, match=r"beyond t = 0\.5.*‖θ‖ = .*blows up.*earlier times"):
        ps.gradient_flow(
            lambda p: -(p["x"] ** 3) / 3, {"x": torch.tensor(2.0).double()}, (0.0, 1.0)
        )


def test_a_loss_that_ends_is_told() -> None:
    """√x has no value beyond 0, which the flow reaches at t = 4/3 x₀^{3/2}."""
    with pytest.raises(ArithmeticError, match=r"beyond t = 1\.33"):
        ps.gradient_flow(lambda p: p["x"].sqrt(), {"x": torch.tensor(1.0).double()}, (0.0, 3.0))


# -- dtypes, frozen parameters, own gradients ----------------------------------------------------


def test_float32_is_integrated_in_float64(rng: torch.Generator) -> None:
    A, theta = quadratic(rng)
    path = ps.gradient_flow(lambda p: p["x"] @ A @ p["x"], {"x": theta.float()}, (0.0, 1.0))
    twin = ps.gradient_flow(lambda p: p["x"] @ A @ p["x"], {"x": theta.float().double()}, (0, 1))
    assert path.params["x"].dtype == torch.float64
    assert torch.equal(path.params["x"], twin.params["x"])


def test_frozen_parameters_stay(rng: torch.Generator) -> None:
    model = MLP([3, 4, 2], "tanh", dtype=torch.float64, generator=rng)
    x = normal((5, 3), rng)
    next(model.parameters()).requires_grad_(False)
    params = dict(model.named_parameters())
    name = next(iter(params))
    path = ps.gradient_flow(
        lambda p: functional_call(model, p, (x,)).square().sum(), params, (0.0, 1.0), stop_at=1e-9
    )
    assert torch.equal(path.end[name], params[name])
    assert largest_gap(path.end, {k: p.detach() for k, p in params.items()}) > 1e-2


def test_own_gradient_agrees_with_autograd() -> None:
    s = subject("dense cube")
    for method in ("explicit", "implicit"):
        own, auto = (
            ps.gradient_flow(s.loss, s.params, (0.0, 0.03), gradient=g, method=method)
            for g in (torch.func.grad(s.loss), None)
        )
        assert largest_gap(own.end, auto.end) <= 10 * RTOL


def test_under_no_grad_and_unused_parameters() -> None:
    params = {"x": torch.ones(2).double(), "unused": torch.ones(3).double()}
    with torch.no_grad():
        path = ps.gradient_flow(lambda p: p["x"].square().sum(), params, (0.0, 1.0))
    assert torch.equal(path.end["unused"], params["unused"])
    assert path.end["x"][0] == pytest.approx(math.exp(-2), rel=1e-9)
    assert torch.equal(params["x"], torch.ones(2).double())


def test_large_nets_stay_explicit() -> None:
    """Where no dense Hessian fits, `auto` goes on with short steps, and `implicit` says so."""
    n = DENSE_LIMIT + 1
    curvature = torch.ones(n, dtype=torch.float64)
    curvature[0] = 200.0
    params = {"x": torch.ones(n, dtype=torch.float64)}
    path = ps.gradient_flow(lambda p: (curvature * p["x"] ** 2).sum() / 2, params, (0.0, 30.0))
    assert path.stiff_from is None
    assert path.steps > 600
    with pytest.raises(ValueError, match=f"dense Hessian, for at most {DENSE_LIMIT} parameters"):
        ps.gradient_flow(lambda p: p["x"].sum(), params, (0.0, 1.0), method="implicit")
