"""Cocycles: every variant against the axioms it promises, and negative results for the others."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from paramsym.data_dependent import (
    QR,
    VARIANTS,
    Cumulative,
    Geodesic,
    MinimalChange,
    OneSample,
    Polar,
    PseudoInverse,
    Twisted,
    Variant,
)
from paramsym.data_dependent.cocycle import Activation
from paramsym.data_dependent.reflectors import BlockReflector

F64 = torch.float64
EPS = torch.finfo(F64).eps
H = 12

ACTIVATIONS = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky relu": nn.LeakyReLU(0.1),
    "gelu": nn.GELU(),
    "softmax": lambda z: torch.softmax(z, -1),
}

SAMPLE_VARIANTS: dict[str, Variant] = {
    "householder": OneSample(),
    "cumulative": OneSample(Cumulative()),
    "geodesic": OneSample(Geodesic()),
}

CASES = [
    pytest.param(variant, k, activation, id=f"{v}-{k}-{a}")
    for v, variant in (VARIANTS | SAMPLE_VARIANTS).items()
    for k in ((1,) if v in SAMPLE_VARIANTS else (1, 4, H - 1, H))
    for a, activation in ACTIVATIONS.items()
]


def draw(*shape: int, rng: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=F64)


def element(rng: torch.Generator, size: float = 0.3) -> Tensor:
    """A well-conditioned matrix away from the identity."""
    turn = torch.linalg.qr(draw(H, H, rng=rng)).Q
    return turn * torch.exp(size * draw(H, rng=rng))


def condition(variant: Variant, *samples: Tensor, activation: Activation) -> float:
    """What rounding is amplified by: condition numbers of the batches that are factorised."""
    worst = 1.0
    for z in samples:
        value = activation(z)
        worst = max(worst, float(torch.linalg.cond(value).max()))
        if isinstance(variant, Polar) and z.shape[-2] < z.shape[-1]:
            left, _, right = torch.linalg.svd(value.mT, full_matrices=False)
            k = z.shape[-2]
            turn = torch.eye(k, dtype=F64) + (left @ right)[..., :k, :]
            worst *= float(torch.linalg.cond(turn).max())
        if isinstance(variant, Twisted):
            core = value @ torch.linalg.pinv(z)
            inner, outer = torch.linalg.cond(core).max(), torch.linalg.cond(z).max()
            worst = max(worst, float(inner * outer * (1 + torch.linalg.matrix_norm(core, 2).max())))
    return worst


def bound(c: float) -> float:
    """Rounding of O(h) sums, times the square of the condition: two factors are multiplied."""
    return 8 * H * EPS * c * c


def gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize(("variant", "k", "activation"), CASES)
class TestAxioms:
    def test_unit(
        self, variant: Variant, k: int, activation: Activation, rng: torch.Generator
    ) -> None:
        z = draw(k, H, rng=rng)
        one = torch.eye(H, dtype=F64)
        c = variant.cocycle(one, z, activation, check=True).matrix(z, H)
        error = float((c - one).norm(2) / math.sqrt(H))
        if variant.axioms.unit or k == H:
            assert error <= bound(condition(variant, z, activation=activation))
        else:
            assert error >= 0.1  # c(1, Z) is a projection of rank k

    def test_cocycle(
        self, variant: Variant, k: int, activation: Activation, rng: torch.Generator
    ) -> None:
        z, g, f = draw(k, H, rng=rng), element(rng), element(rng)

        def c(g: Tensor, z: Tensor) -> Tensor:
            return variant.cocycle(g, z, activation).matrix(z, H)

        error = gap(c(g, z @ f.mT) @ c(f, z), c(g @ f, z))
        if variant.axioms.cocycle or k == H:
            samples = (z, z @ f.mT, z @ f.mT @ g.mT)
            assert error <= bound(condition(variant, *samples, activation=activation))
        else:
            assert error >= 1e-3

    def test_equivariance(
        self, variant: Variant, k: int, activation: Activation, rng: torch.Generator
    ) -> None:
        z, g = draw(k, H, rng=rng), element(rng)
        goal = activation(z @ g.mT)
        c = variant.cocycle(g, z, activation)
        back = variant.reader(g, z, activation)
        tolerance = bound(condition(variant, z, z @ g.mT, activation=activation))
        assert gap(c.apply(activation(z)), goal) <= tolerance
        assert gap(back.apply(goal), activation(z)) <= tolerance

    def test_readers_are_inverse(
        self, variant: Variant, k: int, activation: Activation, rng: torch.Generator
    ) -> None:
        z, g = draw(k, H, rng=rng), element(rng)
        c = variant.cocycle(g, z, activation)
        product = (variant.reader(g, z, activation) @ c).matrix(z, H)
        error = float((product - torch.eye(H, dtype=F64)).norm() / math.sqrt(H))
        if (variant.axioms.unit and variant.axioms.cocycle) or k == H:
            assert error <= bound(condition(variant, z, z @ g.mT, activation=activation))
        else:
            assert error >= 1e-3

    def test_transpose_is_the_transpose(
        self, variant: Variant, k: int, activation: Activation, rng: torch.Generator
    ) -> None:
        z, g = draw(k, H, rng=rng), element(rng)
        c = variant.cocycle(g, z, activation)
        eye = torch.eye(H, dtype=F64)
        tolerance = bound(condition(variant, z, z @ g.mT, activation=activation))
        assert gap(c.apply(eye), c.transpose(eye).mT) <= tolerance
        w = draw(H, rng=rng)
        assert gap(c.apply(w), c.matrix(z, H) @ w) <= tolerance


class TestWhatTheVariantsAre:
    def test_twisted_is_g_for_a_linear_activation(self, rng: torch.Generator) -> None:
        z, g = draw(5, H, rng=rng), element(rng)
        c = Twisted().cocycle(g, z, lambda z: z)
        assert gap(c.matrix(z, H), g) <= bound(float(torch.linalg.cond(z)))

    def test_pinv_is_the_formula_of_appendix_i(self, rng: torch.Generator) -> None:
        for k in (3, H, 30):
            z, g = draw(k, H, rng=rng), element(rng)
            before, after = torch.tanh(z).mT, torch.tanh(z @ g.mT).mT
            pi = PseudoInverse().reader(g, z, torch.tanh).matrix(z, H)
            tolerance = bound(float(torch.linalg.cond(after)))
            assert gap(pi, before @ torch.linalg.pinv(after)) <= tolerance
            assert torch.linalg.matrix_rank(pi) == min(k, H)

    def test_pinv_is_not_exact_for_more_samples_than_dimensions(self, rng: torch.Generator) -> None:
        def residual(k: int) -> float:
            z, g = draw(k, H, rng=rng), element(rng)
            pi = PseudoInverse().reader(g, z, torch.tanh)
            return gap(pi.apply(torch.tanh(z @ g.mT)), torch.tanh(z))

        assert residual(H) < 1e-10
        assert residual(H + 1) > 1e-3
        assert residual(20 * H) > 0.1

    def test_minimal_change_is_the_smallest(self, rng: torch.Generator) -> None:
        z, g, U = draw(4, H, rng=rng), element(rng, 0.05), draw(3, H, rng=rng)
        least = MinimalChange().reader(g, z, torch.tanh).transpose(U) - U
        for other in (QR(), Polar(), Twisted(), PseudoInverse()):
            assert least.norm() < (other.reader(g, z, torch.tanh).transpose(U) - U).norm()

    def test_qr_of_one_sample_is_a_householder_frame_up_to_sign(self, rng: torch.Generator) -> None:
        z, g = draw(1, H, rng=rng), element(rng)
        ours = QR().cocycle(g, z, torch.tanh).matrix(z, H)
        frame = OneSample().cocycle(g, z, torch.tanh).matrix(z, H)
        size = torch.tanh(z @ g.mT).norm() / torch.tanh(z).norm()
        for c in (ours, frame):
            assert gap(c.mT @ c, size**2 * torch.eye(H, dtype=F64)) <= bound(1)
        signs = torch.tanh(torch.cat([z, z @ g.mT]))[:, 0].sign()
        assert gap(ours, frame) <= bound(1) or signs[0] != signs[1]

    def test_the_action_on_gradients_is_the_group_law_of_readers(
        self, rng: torch.Generator
    ) -> None:
        """π(gf, Z) = π(f, Z) π(g, fZ), the law on the right."""
        z, g, f = draw(4, H, rng=rng), element(rng), element(rng)
        joint = QR().reader(g @ f, z, torch.tanh).matrix(z, H)
        steps = QR().reader(f, z, torch.tanh) @ QR().reader(g, z @ f.mT, torch.tanh)
        assert gap(steps.matrix(z, H), joint) <= bound(float(torch.linalg.cond(torch.tanh(z))))

    def test_reflections_jump_near_the_identity_and_turns_do_not(
        self, rng: torch.Generator
    ) -> None:
        z = draw(3, H, rng=rng)
        z[0, 0] = 1e-9
        g = torch.eye(H, dtype=F64)
        g[0, 1] = -2e-9 / z[0, 1]  # takes z[0, 0] to −1e-9
        one = torch.eye(H, dtype=F64)

        def change(variant: Variant, k: int) -> float:
            c = variant.cocycle(g, z[:k], torch.tanh).matrix(z, H)
            return float(torch.linalg.matrix_norm(c - one, 2))

        assert change(QR(), 3) > 0.1
        assert change(OneSample(), 1) > 0.1
        assert change(Polar(), 3) < 1e-6
        assert change(Twisted(), 3) < 1e-6
        assert change(OneSample(Geodesic()), 1) < 1e-6

    def test_large_spaces(self, rng: torch.Generator) -> None:
        z = torch.randn(64, 1024, generator=rng, dtype=F64)
        g = torch.eye(1024, dtype=F64) + 0.01 * torch.randn(1024, 1024, generator=rng, dtype=F64)
        w = torch.randn(5, 1024, generator=rng, dtype=F64)
        for variant in (QR(), Polar()):
            c = variant.cocycle(g, z, torch.tanh)
            assert gap(c.apply(torch.tanh(z)), torch.tanh(z @ g.mT)) <= 1024 * EPS
            assert gap(variant.reader(g, z, torch.tanh).apply(c.apply(w)), w) <= 1024 * EPS


class TestBlockReflector:
    @pytest.mark.parametrize("k", [1, 3, H])
    def test_it_is_orthogonal_and_starts_with_its_columns(
        self, k: int, rng: torch.Generator
    ) -> None:
        eye = torch.eye(H, dtype=F64)
        skew = draw(H, H, rng=rng)
        skew = skew - skew.mT
        w = -torch.linalg.solve(eye + skew, eye - skew)[:, :k]  # Cayley: I − WᵀE is invertible
        reflector = BlockReflector(w)
        tolerance = 8 * H * EPS * float(torch.linalg.cond(eye[:k, :k] - w[:k].mT))
        Q = reflector.apply(eye).mT
        assert (Q.mT @ Q - eye).abs().max() <= tolerance
        assert (Q[:, :k] - w).abs().max() <= tolerance
        assert (reflector.transpose(eye) - Q).abs().max() <= tolerance

    @pytest.mark.parametrize("sign", [1, -1])
    def test_batches_that_are_triangular_already(self, sign: int, rng: torch.Generator) -> None:
        """LAPACK makes no reflection for a column that is zero below its diagonal."""
        values = sign * torch.tril(draw(4, H, rng=rng)) + 2 * sign * torch.eye(4, H, dtype=F64)
        g = element(rng)
        c = QR().cocycle(g, values, lambda z: z, check=True)
        assert gap(c.apply(values), values @ g.mT) <= bound(float(torch.linalg.cond(values)))
        assert torch.linalg.cond(c.matrix(values, H)) < 1e3


@pytest.mark.parametrize("size", [1e300, 1e160, 1e-160, 1e-300])
@pytest.mark.parametrize("name", VARIANTS)
def test_batches_of_any_size(name: str, size: float, rng: torch.Generator) -> None:
    z, g = draw(4, H, rng=rng), element(rng)
    c = VARIANTS[name].cocycle(g, size * z, lambda z: z, check=True)
    tolerance = bound(condition(VARIANTS[name], z, z @ g.mT, activation=lambda z: z))
    assert gap(c.apply(size * z) / size, z @ g.mT) <= tolerance


@pytest.mark.parametrize("name", [v for v in VARIANTS if v != "twisted"])
def test_an_activation_that_pools(name: str, rng: torch.Generator) -> None:
    """Means over pairs of samples: 2k states, k values; more states than dimensions are fine."""

    def pool(z: Tensor) -> Tensor:
        return torch.tanh(z).unflatten(-2, (-1, 2)).mean(-2)

    variant = VARIANTS[name]
    z, g, f = draw(2 * (H - 2), H, rng=rng), element(rng), element(rng)
    c = variant.cocycle(g, z, pool, check=True)
    assert gap(c.apply(pool(z)), pool(z @ g.mT)) <= bound(
        condition(variant, z, z @ g.mT, activation=pool)
    )
    if variant.axioms.cocycle:
        steps = variant.cocycle(f, z @ g.mT, pool) @ c
        joint = variant.cocycle(f @ g, z, pool)
        samples = (z, z @ g.mT, z @ g.mT @ f.mT)
        tolerance = bound(condition(variant, *samples, activation=pool))
        assert gap(steps.matrix(z, H), joint.matrix(z, H)) <= tolerance


def test_one_sample_in_half_precision_and_for_a_reader_no_inverse(rng: torch.Generator) -> None:
    z, g, U = draw(1, H, rng=rng), element(rng), draw(3, H, rng=rng)
    exact = OneSample().reader(g, z, torch.tanh).transpose(U)
    low = [t.bfloat16() for t in (g, z, U)]
    found = OneSample().reader(low[0], low[1], torch.tanh, check=True).transpose(low[2])
    assert found.dtype == torch.bfloat16
    assert gap(found.double(), exact) <= 8 * math.sqrt(H) * torch.finfo(torch.bfloat16).eps


@pytest.mark.parametrize("name", VARIANTS)
class TestTransforms:
    def test_derivatives_are_right(self, name: str, rng: torch.Generator) -> None:
        h, k = 5, 3
        z = draw(k, h, rng=rng).requires_grad_()
        g = (torch.eye(h, dtype=F64) + 0.1 * draw(h, h, rng=rng)).requires_grad_()
        U = draw(2, h, rng=rng).requires_grad_()

        def moved(g: Tensor, z: Tensor, U: Tensor) -> Tensor:
            return VARIANTS[name].reader(g, z, torch.tanh).transpose(U)

        assert torch.autograd.gradcheck(moved, (g, z, U), check_forward_ad=True)

    def test_vmap_is_a_loop_and_so_are_leading_axes(self, name: str, rng: torch.Generator) -> None:
        z, U = draw(3, 4, H, rng=rng), draw(2, H, rng=rng)
        g = torch.stack([element(rng) for _ in range(3)])

        def moved(g: Tensor, z: Tensor) -> Tensor:
            return VARIANTS[name].reader(g, z, torch.tanh).transpose(U)

        loop = torch.stack([moved(a, b) for a, b in zip(g, z, strict=True)])
        size = bound(float(torch.linalg.cond(torch.tanh(z)).max()) * 8)
        assert gap(moved(g, z), loop) <= size
        assert gap(torch.func.vmap(moved)(g, z), loop) <= size

    def test_single_precision(self, name: str, rng: torch.Generator) -> None:
        z, g = draw(4, H, rng=rng).float(), element(rng).float()
        c = VARIANTS[name].cocycle(g, z, torch.tanh)
        found = c.apply(torch.tanh(z))
        assert found.dtype == torch.float32
        size = float(torch.linalg.cond(torch.tanh(z)))
        goal = torch.tanh(z @ g.mT)
        assert gap(found, goal) <= 8 * H * torch.finfo(torch.float32).eps * size**2


class TestBadInput:
    """Every refusal names its argument."""

    Z = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=F64)
    G = torch.eye(4, dtype=F64)

    @pytest.mark.parametrize("variant", [QR(), Polar(), Twisted()])
    def test_more_samples_than_dimensions(self, variant: Variant) -> None:
        z = torch.ones(5, 4, dtype=F64)
        with pytest.raises(ValueError, match=r"between 1 and h = 4 samples.*got k = 5"):
            variant.cocycle(self.G, z, torch.tanh)

    def test_no_samples(self) -> None:
        for variant in VARIANTS.values():
            with pytest.raises(ValueError, match="got k = 0"):
                variant.cocycle(self.G, self.Z[:0], torch.tanh)

    def test_one_sample_wants_one(self) -> None:
        with pytest.raises(ValueError, match=r"shape \[..., 1, h\]; got k = 3"):
            OneSample().cocycle(self.G, self.Z, torch.tanh)

    @pytest.mark.parametrize("name", VARIANTS)
    def test_samples_that_repeat(self, name: str) -> None:
        z = self.Z[[0, 1, 0]]
        with pytest.raises(ValueError, match=r"must have full rank 3.*numerical rank is 2"):
            VARIANTS[name].cocycle(self.G, z, torch.tanh, check=True)

    def test_a_dead_sample(self) -> None:
        z = -torch.ones(1, 4, dtype=F64)
        with pytest.raises(ValueError, match=r"`σ\(Z\)` must not be the zero vector"):
            OneSample().reader(self.G, z, torch.relu, check=True)
        with pytest.raises(ValueError, match=r"`σ\(gZ\)` must not be the zero vector"):
            OneSample().reader(-self.G, -z, torch.relu, check=True)

    def test_example_d1_loses_rank(self) -> None:
        """Sigmoid, tanh and leaky ReLU do not keep full rank (Example D.1)."""
        fifths = torch.tensor([[0.2, 0.4], [0.4, 0.8]], dtype=F64)
        s = 0.1
        cases = (
            (torch.logit(fifths), torch.sigmoid),
            (torch.atanh(fifths), torch.tanh),
            (torch.tensor([[s, -1], [-1, s]], dtype=F64), nn.LeakyReLU(s)),
        )
        for z, activation in cases:
            assert torch.linalg.matrix_rank(z) == 2
            with pytest.raises(ValueError, match="numerical rank is 1"):
                QR().cocycle(torch.eye(2, dtype=F64), z, activation, check=True)

    def test_a_singular_g(self) -> None:
        g = torch.ones(4, 4, dtype=F64)
        with pytest.raises(ValueError, match=r"`g` must be invertible.*condition number"):
            QR().cocycle(g, self.Z, torch.tanh, check=True)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_values_that_are_not_finite(self, value: float) -> None:
        bad = self.Z.clone()
        bad[0, 0] = value
        with pytest.raises(ValueError, match="`z` must be finite; 1 of 12"):
            QR().cocycle(self.G, bad, torch.tanh, check=True)
        with pytest.raises(ValueError, match="`g` must be finite"):
            QR().cocycle(self.G * value, self.Z, torch.tanh, check=True)
        with pytest.raises(ValueError, match=r"`σ\(Z\)` must be finite"):
            QR().cocycle(self.G, self.Z, lambda z: z * value, check=True)

    def test_shapes(self) -> None:
        with pytest.raises(ValueError, match=r"`z` must have shape \[..., k, h\]"):
            QR().cocycle(self.G, self.Z[0], torch.tanh)
        with pytest.raises(ValueError, match=r"`g` must have shape \[..., 4, 4\]"):
            QR().cocycle(self.G[:3], self.Z, torch.tanh)
        with pytest.raises(ValueError, match="`activation` must keep the shape"):
            QR().cocycle(self.G, self.Z, lambda z: z[..., :2])

    def test_types(self) -> None:
        with pytest.raises(TypeError, match="`g` must be a floating-point tensor; got list"):
            QR().cocycle([[1.0]], self.Z, torch.tanh)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"`z` must be a floating-point tensor; got torch\.int"):
            QR().cocycle(self.G, self.Z.long(), torch.tanh)

        with pytest.raises(TypeError, match=r"`g` and `z` must have one dtype.*float32 and"):
            QR().cocycle(self.G.float(), self.Z, torch.tanh)
        with pytest.raises(TypeError, match=r"of float32, float64; got torch.bfloat16"):
            QR().cocycle(self.G.bfloat16(), self.Z.bfloat16(), torch.tanh)
        with pytest.raises(TypeError, match=r"`activation` must keep the dtype.*got torch.float32"):
            QR().cocycle(self.G, self.Z, lambda z: z.float())
        with pytest.raises(TypeError, match=r"`activation` must keep the dtype.*got tuple"):
            QR().cocycle(self.G, self.Z, lambda z: (z,))  # type: ignore[arg-type, return-value]

    def test_a_pole(self) -> None:
        z = self.Z.clone()
        z[0, 0] = 0
        for variant in (*VARIANTS.values(), OneSample()):
            with pytest.raises(ValueError, match=r"`σ\(Z\)` must be finite; 1 of 4 entries"):
                variant.cocycle(self.G, z[:1], torch.reciprocal, check=True)

    def test_states_that_overflow(self) -> None:
        """σ may make finite values of them, in silence."""
        with pytest.raises(ValueError, match="`gZ` must be finite"):
            QR().cocycle(1e10 * self.G, 1e300 * self.Z, torch.asinh, check=True)

    def test_a_geodesic_at_the_opposite_of_its_base(self) -> None:
        z = -torch.ones(1, 4, dtype=F64)
        with pytest.raises(ValueError, match=r"`σ\(Z\)` must not point opposite to the base"):
            OneSample(Geodesic()).cocycle(self.G, z, torch.tanh, check=True)

    def test_a_polar_factor_with_eigenvalue_minus_one(self) -> None:
        z = -torch.eye(2, 4, dtype=F64)
        with pytest.raises(ValueError, match="`Polar` does not exist"):
            Polar().cocycle(self.G, z, lambda z: z, check=True)
        QR().cocycle(self.G, z, lambda z: z, check=True)

    def test_a_twist_that_is_singular(self) -> None:
        def turned(z: Tensor) -> Tensor:
            return z.roll(2, -1)

        z = torch.eye(2, 4, dtype=F64)
        with pytest.raises(ValueError, match="Z†σ"):
            Twisted().cocycle(self.G, z, turned, check=True)

    def test_variants_are_values(self) -> None:
        assert replace(OneSample(), frame=Cumulative()) == OneSample(Cumulative())
        assert QR() == QR()
