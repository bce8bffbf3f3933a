"""Canonical points: one for each orbit, discrete symmetries included; ties are told."""

import pytest
import torch
from torch import nn

import paramsym as ps
from tests.laws.networks import attention, dense
from tests.laws.subjects import SUBJECTS, subject
from tests.orbit.measuring import EXACT, function_error

NOT_FIXED = {"deep identity", "deep identity_affine", "deep narrow linear"}
"""Coupled linear spaces without a balanced point."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "gpt2 untied" else ())
        for name in SUBJECTS
    ],
)
def test_all_points_of_an_orbit_have_one(name: str, rng: torch.Generator) -> None:
    s = subject(name)
    there = s.symmetry.act(s.symmetry.sample(0.3, generator=rng, discrete=True), s.params)
    found = ps.canonical(s.symmetry, s.params)
    assert function_error(s, found.params) <= EXACT
    again = s.symmetry.act(found.element, s.params)
    for k, p in again.items():
        assert float((p - found.params[k]).abs().max()) <= EXACT * (1 + float(p.abs().max()))
    verdict = ps.same_orbit(s.symmetry, s.params, there)
    if name in NOT_FIXED:
        assert found.unfixed
        assert verdict.holds is None
        assert "not unique" in verdict.reason
        with pytest.raises(ValueError, match="`a` has no unique canonical point"):
            ps.orbit_distance(s.symmetry, s.params, there)
        return
    assert found.is_unique
    assert verdict.holds
    assert verdict.element is not None
    moved = s.symmetry.act(verdict.element, s.params)
    for k, p in there.items():
        assert float((moved[k] - p).abs().max()) <= 1e-10 * (1 + float(p.abs().max()))


@pytest.mark.parametrize("name", ["dense relu", "dense identity", "deep radial", "attention"])
def test_planted_differences_are_found(name: str, rng: torch.Generator) -> None:
    """A weight changed by 1e-3 leaves the orbit, whatever element is applied after."""
    s = subject(name)
    for k in list(s.params)[:4]:
        if "key" in k or not any(k in f.moves for f in s.symmetry):
            continue
        other = {n: p.clone() for n, p in s.params.items()}
        other[k].view(-1)[0] += 1e-3
        there = s.symmetry.act(s.symmetry.sample(0.3, generator=rng), other)
        verdict = ps.same_orbit(s.symmetry, s.params, there)
        same_function = function_error(s, other) <= EXACT
        if same_function:  # a part of a key bias that softmax does not see
            continue
        assert verdict.holds is False, k
        assert not verdict
        assert "the nearest points found differ by" in verdict.reason


class Discovered(nn.Module):
    """What discovery finds on it has permutations and signs."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), activation, nn.Conv2d(4, 3, 2), activation, nn.Flatten(),
            nn.Linear(12, 5), activation, nn.Linear(5, 2),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def by_hand(activation: str) -> tuple[ps.Symmetry, dict[str, torch.Tensor]]:
    """The families of a convolutional net written down, permutations and signs among them."""
    torch.manual_seed(0)
    model = Discovered(nn.ReLU() if activation == "relu" else nn.Tanh()).double()
    params = {k: p.detach() for k, p in model.named_parameters()}
    families, discrete = [], []
    pixels = torch.arange(12).reshape(1, 3, 4)
    for here, there, n in ((0, 2, 4), (2, 5, 3), (5, 7, 5)):
        W, b, U = (f"layers.{here}.weight", f"layers.{here}.bias", f"layers.{there}.weight")
        rows = pixels if there == 5 else torch.arange(n)
        ports = (
            ps.Port.along(W, tuple(params[W].shape), 0),
            ps.Port.along(b, (n,), 0),
            ps.Port.along(U, tuple(params[U].shape), 1, rows, dual=True),
        )
        if activation == "relu":
            families.append(ps.Family(f"{here} → {there}", ps.PositiveScaling(n), ports))
        else:
            discrete.append(ps.DiscreteFamily(f"{here} (signs)", ps.Signs(n), ports))
        discrete.append(ps.DiscreteFamily(f"{here} (order)", ps.Permutations(n), ports))
    described = ps.Symmetry.of(families, params)
    return ps.Symmetry(tuple(families), described.parameters, discrete=tuple(discrete)), params


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_order_and_signs(activation: str, rng: torch.Generator) -> None:
    symmetry, params = by_hand(activation)
    g = symmetry.sample(0.5, generator=rng, discrete=True)
    there = symmetry.act(g, params)
    verdict = ps.same_orbit(symmetry, params, there)
    assert verdict.holds
    assert verdict.element is not None
    again = symmetry.act(verdict.element, params)
    assert all(float((again[k] - p).abs().max()) <= EXACT for k, p in there.items())
    assert ps.orbit_distance(symmetry, params, there) <= EXACT
    other = {k: p.clone() for k, p in params.items()}
    other["layers.2.weight"][0, 0, 0, 0] += 0.01
    third = ps.canonical(symmetry, other)
    there, back = (ps.orbit_distance(symmetry, x, y) for x, y in ((params, other), (other, params)))
    assert there == pytest.approx(back)
    assert 1e-4 < there < 1
    assert third.is_unique


def test_degenerate_spectra_are_told() -> None:
    s = dense("identity", (4, 3, 4), bias=False)
    params = dict(s.params)
    params["fc0.weight"] = torch.eye(3, 4, dtype=torch.float64)
    params["fc1.weight"] = torch.eye(4, 3, dtype=torch.float64)
    found = ps.canonical(s.symmetry, params)
    assert found.ties == ("'fc0 → fc1': 2 equal pairs of singular values",)
    assert not found.is_unique


def test_units_that_nothing_tells_apart_are_told() -> None:
    symmetry, params = by_hand("relu")
    for k in ("layers.0.weight", "layers.0.bias"):
        params[k][1] = params[k][0]
    params["layers.2.weight"][:, 1] = params["layers.2.weight"][:, 0].flip(-1)
    assert any("do not tell apart" in tie for tie in ps.canonical(symmetry, params).ties)


def test_dead_units_are_no_ties() -> None:
    """Scales and signs of a unit without weights change nothing."""
    symmetry, params = by_hand("relu")
    for k in ("layers.0.weight", "layers.0.bias"):
        params[k][1] = 0.0
    params["layers.2.weight"][:, 1] = 0.0
    assert ps.canonical(symmetry, params).is_unique
    params["layers.2.weight"][:, 1] = 0.5  # readers of a unit that is never on
    found = ps.canonical(symmetry, params)
    (Q,) = (Q for k, Q in symmetry.conserved(found.params).items() if k.startswith("0"))
    assert sorted(Q.round(decimals=9).tolist()) == [-1.0, 0.0, 0.0, 0.0]


def test_steps_that_miss_the_orbit_give_no_verdict(
    monkeypatch: pytest.MonkeyPatch, rng: torch.Generator
) -> None:
    """Steps that do not find points of one orbit, a bug, are found before a no is said."""
    symmetry, params = by_hand("tanh")
    there = symmetry.act(symmetry.sample(0.5, generator=rng, discrete=True), params)
    monkeypatch.setattr("paramsym.orbit.canonical_fixing.signs", lambda *_: ([], []))
    monkeypatch.setattr("paramsym.orbit.matching.Matching.solve", lambda _: None)
    verdict = ps.same_orbit(symmetry, params, there)
    assert verdict.holds is None
    assert "please report" in verdict.reason


def test_singular_values_that_are_nearly_equal() -> None:
    """By 3e-7, so that their vectors have lost half of all digits: matching does not need them."""
    s = dense("identity", (4, 3, 4), bias=False)
    params = dict(s.params)
    values = torch.tensor([1.0, 1.0 + 3e-7, 0.5], dtype=torch.float64)
    params["fc0.weight"] = values[:, None] * torch.eye(3, 4, dtype=torch.float64)
    params["fc1.weight"] = torch.eye(4, 3, dtype=torch.float64)
    assert ps.canonical(s.symmetry, params).condition > 1e6
    other = {k: p.clone() for k, p in params.items()}
    other["fc0.weight"][0, 3] += 6e-8
    rng = torch.Generator().manual_seed(0)
    g = s.symmetry.sample(0.3, generator=rng, discrete=True)
    assert ps.same_orbit(s.symmetry, params, s.symmetry.act(g, params)).holds
    assert ps.same_orbit(s.symmetry, params, s.symmetry.act(g, other)).holds is False
    assert ps.same_orbit(s.symmetry, params, other, tolerance=1e-6).holds


def test_bad_input() -> None:
    s = attention()
    with pytest.raises(ValueError, match="lacks"):
        ps.canonical(s.symmetry, {})
    with pytest.raises(TypeError, match="must be a dict of tensors"):
        ps.same_orbit(s.symmetry, s.params, None)  # pyright: ignore
