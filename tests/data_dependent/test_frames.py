"""Frames: every choice of R_z, on every kind of vector, against the same laws."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from paramsym.data_dependent.frames import (
    Cumulative,
    Geodesic,
    Householder,
)
from paramsym.data_dependent.moving_frame import MovingFrame
from paramsym.data_dependent.requirements import require_locus
from tests.data_dependent import twins

EPS = torch.finfo(torch.float64).eps
F64 = torch.float64

FRAMES: dict[str, MovingFrame] = {
    "cumulative": Cumulative(),
    "householder": Householder(),
    "geodesic": Geodesic(),
}

Draw = Callable[[int, torch.Generator], Tensor]


def normal(h: int, rng: torch.Generator) -> Tensor:
    return torch.randn(h, generator=rng, dtype=F64)


def zero_tail(h: int, rng: torch.Generator) -> Tensor:
    return torch.cat([normal(h // 2 + 1, rng), torch.zeros(h - h // 2 - 1, dtype=F64)])


def zero_head(h: int, rng: torch.Generator) -> Tensor:
    return torch.cat([torch.zeros(h // 2, dtype=F64), normal(h - h // 2, rng)])


def axis(i: int, sign: float) -> Draw:
    return lambda h, rng: sign * torch.eye(h, dtype=F64)[i]


def spread(low: float, high: float) -> Draw:
    return lambda h, rng: normal(h, rng) * 10.0 ** torch.linspace(low, high, h, dtype=F64)


VECTORS: dict[str, Draw] = {
    "normal": normal,
    "zero tail": zero_tail,
    "zero head": zero_head,
    "e1": axis(0, 1.0),
    "-e1": axis(0, -1.0),
    "eh": axis(-1, 1.0),
    "-eh": axis(-1, -1.0),
    "ones": lambda h, rng: torch.ones(h, dtype=F64),
    "relu": lambda h, rng: torch.cat([torch.ones(1, dtype=F64), normal(h, rng).relu()])[:h],
    "1e300": lambda h, rng: normal(h, rng) * 1e300,
    "1e-300": lambda h, rng: normal(h, rng) * 1e-300,
    "subnormal": lambda h, rng: torch.full((h,), 5e-323, dtype=F64),
    "falling to 1e-300": spread(0, -300),
    "rising to 1e300": spread(0, 300),
    "over ten decades": lambda h, rng: (
        normal(h, rng) * 10 ** (-10 * torch.rand(h, generator=rng, dtype=F64))
    ),
}
SIZES = (1, 2, 3, 8, 65)
CASES = [
    pytest.param(frame, draw, h, id=f"{f}-{d}-{h}")
    for f, frame in FRAMES.items()
    for d, draw in VECTORS.items()
    for h in SIZES
    if not (f == "geodesic" and h == 1)  # p = 1 and z < 0 are antipodes; below
]


def unit(z: Tensor) -> Tensor:
    y = z / z.abs().max()
    return y / torch.linalg.vector_norm(y)


def tolerance(frame: MovingFrame, z: Tensor) -> float:
    """Rounding of O(h) sums; the geodesic one is amplified near the antipode of its base."""
    h = z.numel()
    if isinstance(frame, Geodesic):
        apart = torch.linalg.vector_norm(unit(z) + h**-0.5)
        return 8 * h * EPS / float(apart)
    return 8 * h * EPS


def orthogonal_part(frame: MovingFrame, z: Tensor) -> Tensor:
    """R_z/‖z‖ as a dense matrix."""
    y = z / z.abs().max()
    eye = torch.eye(z.numel(), dtype=z.dtype)
    return frame.apply(y, eye).mT / torch.linalg.vector_norm(y)


@pytest.mark.parametrize(("frame", "draw", "h"), CASES)
class TestLaws:
    def test_it_is_a_rotation_or_reflection(
        self, frame: MovingFrame, draw: Draw, h: int, rng: torch.Generator
    ) -> None:
        z = draw(h, rng)
        R = orthogonal_part(frame, z)
        assert (R.mT @ R - torch.eye(h, dtype=F64)).abs().max() <= tolerance(frame, z)

    def test_its_first_column_is_z(
        self, frame: MovingFrame, draw: Draw, h: int, rng: torch.Generator
    ) -> None:
        z = draw(h, rng)
        first = frame.apply(z, torch.eye(h, dtype=F64)[0])
        assert (first / z.abs().max() - z / z.abs().max()).abs().max() <= tolerance(frame, z) * h

    def test_transpose_and_inverse_are_what_they_say(
        self, frame: MovingFrame, draw: Draw, h: int, rng: torch.Generator
    ) -> None:
        z, eye = draw(h, rng), torch.eye(h, dtype=F64)
        y = z / z.abs().max()
        R = frame.apply(y, eye).mT
        size = float(torch.linalg.vector_norm(y))
        assert (frame.transpose(y, eye) - R).abs().max() <= tolerance(frame, z) * size
        w = normal(h, rng)
        there_and_back = frame.inverse(y, frame.apply(y, w))
        assert (there_and_back - w).abs().max() <= tolerance(frame, z) * w.norm()

    def test_a_transfer_carries_one_vector_to_another(
        self, frame: MovingFrame, draw: Draw, h: int, rng: torch.Generator
    ) -> None:
        b = draw(h, rng)
        size = b.abs().max()
        a = (normal(h, rng).abs() + 1) * size / 8
        carried, goal = frame.transfer(a, b, b / size), a / size
        bound = (tolerance(frame, a) + tolerance(frame, b)) * goal.norm()
        assert (carried - goal).abs().max() <= bound


@pytest.mark.parametrize("h", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("draw", ["normal", "zero tail", "zero head", "-e1", "-eh", "relu"])
def test_cumulative_is_definition_d1(draw: str, h: int, rng: torch.Generator) -> None:
    z = VECTORS[draw](h, rng)
    if h == 1:
        z = z.abs()  # spherical coordinates on R¹ have no angle, hence no sign
    dense = twins.rotation(twins.spherical_angles(z)) * torch.linalg.vector_norm(z)
    ours = Cumulative().apply(z, torch.eye(h, dtype=F64)).mT
    assert (ours - dense).abs().max() <= 8 * h * EPS * z.norm()


@pytest.mark.parametrize("draw", ["normal", "zero tail", "over ten decades"])
def test_cumulative_is_a_product_of_plane_rotations_at_1024(
    draw: str, rng: torch.Generator
) -> None:
    z = VECTORS[draw](1024, rng)
    dense = twins.rotation_by_planes(twins.spherical_angles(z))
    ours = orthogonal_part(Cumulative(), z)
    assert (ours - dense).abs().max() <= 8 * 1024 * EPS
    w = normal(1024, rng)
    assert (ours.mT @ (ours @ w) - w).abs().max() <= 8 * 1024 * EPS


def test_the_entries_printed_in_section_4_are_singular_at_a_zero_tail() -> None:
    z = torch.tensor([1.2, 0, 0, 0], dtype=F64)
    assert torch.linalg.matrix_rank(twins.printed_entries(z)) == 1
    assert torch.linalg.matrix_rank(orthogonal_part(Cumulative(), z)) == 4


def test_the_last_angle_keeps_its_sign() -> None:
    z = torch.tensor([0.3, -0.5, 0.2, -0.9], dtype=F64)
    assert torch.allclose(
        Cumulative().apply(z, torch.eye(4, dtype=F64)[0]), z, rtol=0, atol=8 * EPS
    )
    *angles, last = twins.spherical_angles(z)
    unsigned = twins.rotation([*angles, abs(last)])  # by arccos: the planted fault
    assert (unsigned[:, 0] * z.norm() - z).abs().max() > 1


@pytest.mark.parametrize(
    ("frame", "a", "b"),
    [
        ("cumulative", [1.0, 0.5, 1e-9, 0.0], [1.0, 0.5, -1e-9, 0.0]),
        ("householder", [1e-9, 0.5, 1.0, 0.3], [-1e-9, 0.5, 1.0, 0.3]),
        ("geodesic", [-1.0, -1.0 + 1e-9, -1.0, -1.0], [-1.0, -1.0, -1.0 + 1e-9, -1.0]),
    ],
)
def test_no_choice_is_continuous(frame: str, a: list[float], b: list[float]) -> None:
    first, second = (orthogonal_part(FRAMES[frame], torch.tensor(z, dtype=F64)) for z in (a, b))
    assert torch.linalg.matrix_norm(first - second, 2) > 1


def test_the_default_geodesic_is_continuous_where_the_others_jump() -> None:
    for entries in ([1.0, 0.5, 1e-9, 0.0], [1e-9, 0.5, 1.0, 0.3]):
        z = torch.tensor(entries, dtype=F64)
        moved = torch.where(z == 1e-9, -z, z)
        gap = orthogonal_part(Geodesic(), z) - orthogonal_part(Geodesic(), moved)
        assert torch.linalg.matrix_norm(gap, 2) < 1e-8


def test_a_geodesic_turns_its_base_least() -> None:
    """R_a R_p⁻¹ moves nothing outside the plane of p and a."""
    p = torch.tensor([0.0, 2.0, 0.0], dtype=F64)
    a = torch.tensor([1.0, 1.0, 0.0], dtype=F64)
    w = torch.tensor([0.0, 0.0, 1.0], dtype=F64)
    frame = Geodesic(p)
    assert torch.allclose(
        frame.transfer(a, a.flip(0) * 0 + p / 2, w), w * a.norm(), rtol=0, atol=8 * EPS
    )


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
def test_a_base_in_another_precision(size: float, rng: torch.Generator) -> None:
    frame, eye = Geodesic(size * torch.tensor([1.0, -2.0, 0.3])), torch.eye(3, dtype=F64)
    R = frame.transfer(normal(3, rng), normal(3, rng), eye)
    gram = R @ R.mT
    assert (gram / gram[0, 0] - eye).abs().max() <= 64 * EPS


@pytest.mark.parametrize("name", FRAMES)
def test_derivatives_are_right(name: str, rng: torch.Generator) -> None:
    a, b, w = (normal(5, rng).abs().requires_grad_() for _ in range(3))
    assert torch.autograd.gradcheck(
        FRAMES[name].transfer, (a, b, w), check_forward_ad=True, check_batched_grad=True
    )
    assert torch.autograd.gradcheck(FRAMES[name].apply, (a, w))
    assert torch.autograd.gradcheck(FRAMES[name].inverse, (a, w))
    assert torch.autograd.gradgradcheck(FRAMES[name].transfer, (a, b, w))


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("draw", ["zero tail", "zero head", "e1", "-e1", "eh", "ones"])
def test_derivatives_are_finite_at_zeros(name: str, draw: str, rng: torch.Generator) -> None:
    z, w = VECTORS[draw](6, rng), normal(6, rng)
    slope = torch.func.jacrev(lambda z: FRAMES[name].apply(z, w))(z)
    assert torch.isfinite(slope).all()
    forward = torch.func.jacfwd(lambda z: FRAMES[name].apply(z, w))(z)
    assert torch.allclose(slope, forward, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FRAMES)
def test_no_derivative_passes_through_nan(name: str, rng: torch.Generator) -> None:
    z, w = zero_tail(6, rng).requires_grad_(), normal(6, rng)
    with torch.autograd.set_detect_anomaly(True):
        (slope,) = torch.autograd.grad(FRAMES[name].apply(z, w).sum(), z)
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("name", FRAMES)
def test_a_transfer_spans_the_float_range(name: str, rng: torch.Generator) -> None:
    a, b = normal(5, rng).abs(), normal(5, rng).abs()
    for small, large in ((a * 1e-290, b * 1e300), (a * 1e300, b * 1e-290)):
        carried = FRAMES[name].transfer(small, large, large)
        assert (carried - small).abs().max() <= 64 * EPS * small.max()


LARGEST, SMALLEST = torch.finfo(F64).max / 2, 5e-324  # half: a rounding up is no overflow
SCALES = {"largest": LARGEST, "smallest": SMALLEST}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("h", [1, 2, 7])
@pytest.mark.parametrize("size", SCALES)
@pytest.mark.parametrize("goal", SCALES)
def test_vectors_at_the_ends_of_the_float_range(
    name: str, h: int, size: str, goal: str, rng: torch.Generator
) -> None:
    frame = FRAMES[name]
    b = torch.ones(h, dtype=F64)
    b[h // 2 :] *= -1 if name != "geodesic" else 1
    a = torch.full((h,), SCALES[goal], dtype=F64)
    b = b * SCALES[size]
    assert (frame.transfer(a, b, b) / SCALES[goal] - 1).abs().max() <= 8 * h * EPS
    back = frame.inverse(b, b)
    assert (back - torch.eye(h, dtype=F64)[0]).abs().max() <= 8 * h * EPS
    first = frame.apply(b, torch.eye(h, dtype=F64)[0])
    assert (first / SCALES[size] - b / SCALES[size]).abs().max() <= 8 * h * EPS


@pytest.mark.parametrize("name", FRAMES)
def test_a_zero_vector_is_carried_to_zero(name: str, rng: torch.Generator) -> None:
    a, w = normal(5, rng), torch.zeros(5, dtype=F64)
    assert not FRAMES[name].transfer(a, a, w).any()
    slope = torch.func.jacrev(FRAMES[name].apply, 1)(a, w)
    assert torch.allclose(slope, FRAMES[name].apply(a, torch.eye(5, dtype=F64)).mT)


@pytest.mark.parametrize("name", FRAMES)
def test_leading_axes_are_a_loop_and_so_is_vmap(name: str, rng: torch.Generator) -> None:
    frame = FRAMES[name]
    a, b = (torch.randn(3, 1, 7, generator=rng, dtype=F64) for _ in range(2))
    w = torch.randn(4, 7, generator=rng, dtype=F64)
    batched = frame.transfer(a, b, w)
    mapped = torch.func.vmap(frame.transfer, (0, 0, None))(a, b, w)
    assert batched.shape == (3, 4, 7)
    for i in range(3):
        for j in range(4):
            one = frame.transfer(a[i, 0], b[i, 0], w[j])
            assert torch.allclose(batched[i, j], one, rtol=0, atol=64 * EPS)
    assert torch.allclose(mapped, batched, rtol=0, atol=64 * EPS)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_works_in_lower_precision(name: str, dtype: torch.dtype, rng: torch.Generator) -> None:
    a, b, w = (normal(64, rng).abs() for _ in range(3))
    exact = FRAMES[name].transfer(a, b, w)
    found = FRAMES[name].transfer(a.to(dtype), b.to(dtype), w.to(dtype))
    assert found.dtype == dtype
    error = float((found.double() - exact).norm() / exact.norm())
    assert error <= 8 * math.sqrt(64) * torch.finfo(dtype).eps


class TestBadInput:
    def test_a_zero_vector_has_no_frame(self) -> None:
        z = torch.zeros(3, 4)
        z[1] = 1
        with pytest.raises(ValueError, match=r"must not be the zero vector, .*; 2 of 3"):
            require_locus("z", z)
        for frame in FRAMES.values():
            assert frame.apply(z[0], z[1]).isnan().all()
            for f in (frame.apply, frame.transpose, frame.inverse):
                with pytest.raises(ValueError, match="must not be the zero vector"):
                    f(z[0], z[1], check=True)

    def test_values_must_be_finite(self) -> None:
        with pytest.raises(ValueError, match="`z` must be finite; 1 of 2"):
            require_locus("z", torch.tensor([1.0, math.nan]))

    def test_sizes_must_agree(self) -> None:
        with pytest.raises(ValueError, match="as many entries along its last axis"):
            Cumulative().apply(torch.ones(3), torch.ones(4))
        with pytest.raises(ValueError, match=r"`Geodesic.base` must have shape \(3,\)"):
            Geodesic(torch.ones(4)).apply(torch.ones(3), torch.ones(3))

    def test_a_geodesic_does_not_reach_the_opposite_of_its_base(self) -> None:
        z = torch.tensor([[-1.0, -1.0], [1.0, -1.0]], dtype=F64)
        with pytest.raises(ValueError, match=r"opposite to the base of `Geodesic`.*; 1 of 2"):
            Geodesic().apply(1e200 * z, z, check=True)
        Geodesic(z[1]).apply(z, z, check=True)
        with pytest.raises(ValueError, match="opposite to the base"):
            Geodesic(-1e-200 * z[1]).apply(z, z, check=True)

    @pytest.mark.parametrize(
        "base", [torch.zeros(3), torch.tensor([1.0, math.nan]), torch.tensor(1.0)]
    )
    def test_a_base_is_a_vector(self, base: Tensor) -> None:
        with pytest.raises(ValueError, match=r"`Geodesic.base` must be a vector \[h\], finite"):
            Geodesic(base)

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.complex64])
    def test_half_precision_and_integers_are_refused(self, dtype: torch.dtype) -> None:
        with pytest.raises(TypeError, match="float32, float64 or bfloat16"):
            Householder().apply(torch.ones(3, dtype=dtype), torch.ones(3, dtype=dtype))
