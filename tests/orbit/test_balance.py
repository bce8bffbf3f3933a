"""Balance: Q = 0, which is the smallest point of an orbit, and the factors in its place."""

import pytest
import torch

import paramsym as ps
from tests.laws.networks import attention, dense
from tests.laws.subjects import SUBJECTS, subject
from tests.orbit.measuring import EXACT, function_error, gaps, sum_of_squares

BALANCED = [
    name
    for name in SUBJECTS
    if name in ("linear recurrence", "gpt2", "gpt2 untied", "llama")
    or name.startswith(("attention", "one-head", "dense relu", "dense square", "convolution"))
    or name in ("deep leaky_relu", "deep relu_2", "grouped convolution identity")
]


@pytest.mark.parametrize("name", BALANCED)
def test_zero_is_reached_at_the_smallest_weights(name: str, rng: torch.Generator) -> None:
    s = subject(name)
    moved = ps.balance(s.symmetry, s.params)
    two_sided = [
        f.name
        for f in s.symmetry
        if f.has_law
        and not f.exactness.as_eps_vanishes
        and len({port.dual for port in f.ports}) == 2
    ]
    assert two_sided
    # Those that are left out do not move.
    families = s.symmetry.select(*two_sided)
    assert max(gaps(s.symmetry, moved, dict.fromkeys(two_sided, 0.0)).values()) <= EXACT
    assert function_error(s, moved) <= EXACT
    if any(port.degree != 1 for name in two_sided for port in s.symmetry[name].ports):
        return  # the smallest weights have another Q where α ≠ 1: none of them is excluded
    smallest = sum_of_squares(moved)
    assert smallest <= sum_of_squares(s.params) * (1 + EXACT)
    for scale in (0.01, 0.1):
        for _ in range(4):
            there = families.act(families.sample(scale, generator=rng, discrete=True), moved)
            assert sum_of_squares(there) >= smallest * (1 - EXACT)


def test_one_string_is_no_list_of_names() -> None:
    s = subject("dense relu")
    with pytest.raises(TypeError, match="must be a list of names; got the string 'fc0 → fc1'"):
        ps.balance(s.symmetry, s.params, families="fc0 → fc1")


def test_only_the_families_named() -> None:
    s = dense("relu", (3, 4, 5, 2))
    first, second = (family.name for family in s.symmetry)
    before = s.symmetry.conserved(s.params)[second]
    moved = ps.balance(s.symmetry, s.params, families=[first], others="keep")
    assert max(gaps(s.symmetry, moved, {first: 0.0, second: before}).values()) <= EXACT
    moved = ps.balance(s.symmetry, s.params, families=[first])
    assert gaps(s.symmetry, moved, {first: 0.0})[first] <= EXACT
    assert torch.equal(moved["fc2.weight"], s.params["fc2.weight"])


@pytest.mark.parametrize("activation", ["identity", "identity_affine"])
@pytest.mark.parametrize("widths", [(3, 5, 2), (2, 6, 2), (4, 3, 5)])
def test_balanced_factors_replace_what_no_element_balances(
    activation: str, widths: tuple[int, ...]
) -> None:
    s = dense(activation, widths)
    (family,) = s.symmetry
    if widths != (4, 3, 5):
        with pytest.raises(ValueError, match=r"not attainable by any element.*replace=True"):
            ps.balance(s.symmetry, s.params)
    moved = ps.balance(s.symmetry, s.params, replace=True)
    assert gaps(s.symmetry, moved, {family.name: 0.0})[family.name] <= EXACT
    assert function_error(s, moved) <= EXACT
    # Half the sum of squares is the nuclear norm of the product, the least that any factors have.
    W = torch.cat([s.params["fc0.weight"], s.params["fc0.bias"][:, None]], 1)
    nuclear = torch.linalg.matrix_norm(s.params["fc1.weight"] @ W, "nuc")
    held = sum_of_squares({k: p for k, p in moved.items() if k != "fc1.bias"})
    assert held / 2 == pytest.approx(float(nuclear), rel=1e-12)


def test_factors_are_the_limit_of_elements() -> None:
    """Elements that shrink the unread part bring Q as near to 0 as one likes."""
    s = dense("identity", (3, 5, 2))
    (family,) = s.symmetry
    sizes = []
    for small in (1e-1, 1e-2, 1e-3):
        # Writers have rank 4, readers 2: two directions must stay positive.
        target = small * torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64))
        moved = ps.set_conserved(s.symmetry, s.params, {family.name: target})
        sizes.append(sum_of_squares(moved))
    limit = sum_of_squares(ps.balance(s.symmetry, s.params, replace=True))
    assert [size > limit for size in sizes] == [True] * 3
    assert sizes[-1] - limit == pytest.approx(2e-3, rel=0.1)


def test_replacing_leaves_heads_of_full_rank_on_their_orbit() -> None:
    s = attention()
    plain = ps.balance(s.symmetry, s.params)
    replaced = ps.balance(s.symmetry, s.params, replace=True)
    assert all(torch.equal(plain[k], replaced[k]) for k in plain)


def test_coupled_spaces_are_not_replaced() -> None:
    s = dense("identity", (3, 5, 4, 2))
    with pytest.raises(ValueError, match="not attainable"):
        ps.balance(s.symmetry, s.params, replace=True)
