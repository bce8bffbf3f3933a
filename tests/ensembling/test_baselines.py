"""Kinds against the formulas of Appendix I, on a two-layer network written out."""

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.data_dependent import hidden_space
from paramsym.ensembling.baselines import interpolated, inverse, random_diagonal, shuffled
from paramsym.ensembling.moves import FrozenMoves
from tests.ensembling.subjects import F64, rng
from tests.ensembling.twins import two_layers

H, K = 6, 8
SCALE = 0.7


def network() -> tuple[nn.Linear, nn.Module, nn.Linear, nn.Sequential, Tensor]:
    torch.manual_seed(2)
    V, sigma, U = nn.Linear(4, H, dtype=F64), nn.LeakyReLU(0.1), nn.Linear(H, 3, dtype=F64)
    return V, sigma, U, nn.Sequential(V, sigma, U).eval(), torch.randn(30, 4, dtype=F64)


def make(kind: str, samples: int = 4, elements: str = "exp") -> tuple[ps.Ensemble, Tensor, Tensor]:
    *_, net, x = network()
    space = hidden_space(net, "0", "2", (x,))
    ensemble = ps.ensemble(
        net, space, K, SCALE, kind=kind, references=(x,), samples=samples, elements=elements,
        generator=rng(),
    )  # fmt: skip
    assert isinstance(ensemble.moves, FrozenMoves)
    return ensemble, ensemble.moves.g, ensemble.moves.pi[:, 0]


def generators() -> Tensor:
    """T, as the seed gives it."""
    return torch.randn(K, H, H, generator=rng(), dtype=F64) / H**0.5


def paper_pi(g: Tensor, chosen: Tensor) -> Tensor:
    """σ(H)σ(gH)†, eq. (112), with samples as columns."""
    V, sigma, _, _, x = network()
    hidden = V.weight @ x[chosen].mT + V.bias[:, None]
    return (sigma(hidden) @ torch.linalg.pinv(sigma(g @ hidden))).detach()


@pytest.mark.parametrize("elements", ["exp", "linear"])
@pytest.mark.parametrize("samples", [1, 4, H, 12])
def test_group_of_the_paper(samples: int, elements: str) -> None:
    """`pinv`, also for more samples than h, where it is least squares."""
    V, sigma, U, _, x = network()
    ensemble, _, _ = make("pinv", samples, elements)
    T = SCALE * generators()
    elements_of = torch.linalg.matrix_exp(T) if elements == "exp" else torch.eye(H) + T
    out = ensemble(x).detach()
    assert ensemble.references is not None
    for i, (g, chosen) in enumerate(zip(elements_of, ensemble.references, strict=True)):
        wanted = two_layers(V, sigma, U, g, paper_pi(g, chosen), x)
        assert torch.allclose(out[i], wanted, atol=1e-9)


def test_inverse() -> None:
    V, sigma, U, _, x = network()
    ensemble, _, _ = make("inverse")
    out = ensemble(x).detach()
    for i, T in enumerate(SCALE * generators()):
        g = torch.linalg.matrix_exp(T)
        wanted = two_layers(V, sigma, U, g, torch.linalg.matrix_exp(-T), x)
        assert torch.allclose(out[i], wanted, atol=1e-10)


def test_inverse_of_a_singular_element_is_nan() -> None:
    g = torch.stack([torch.eye(3, dtype=F64), torch.zeros(3, 3, dtype=F64)])
    assert inverse(g).isnan().flatten(1).any(1).tolist() == [False, True]


def test_random_is_diagonal() -> None:
    ensemble, _, pi = make("random")
    spread = (pi.diagonal(dim1=1, dim2=2) - 1) / SCALE
    assert torch.equal(pi, torch.diag_embed(pi.diagonal(dim1=1, dim2=2)))
    assert spread.unique().numel() == K * H  # each member its own
    many = (random_diagonal(50, 400, 2.0, rng(5)).diagonal(dim1=1, dim2=2) - 1) / 2
    assert abs(float(many.mean())) < 5 / 20_000**0.5
    assert abs(float(many.var()) - 1) < 5 * (2 / 20_000) ** 0.5
    assert ensemble.references is None


def test_shuffle_permutes_the_entries() -> None:
    ensemble, g, pi = make("shuffle")
    assert ensemble.references is not None
    for matrix, element, chosen in zip(pi, g, ensemble.references, strict=True):
        before = paper_pi(element, chosen)
        assert torch.allclose(matrix.flatten().sort()[0], before.flatten().sort()[0], atol=1e-10)
        assert not torch.allclose(matrix, before, atol=1e-3)
    # Entries, not rows or columns, each member in an order of its own.
    numbers = torch.arange(2.0 * 9).reshape(2, 3, 3)
    mixed = shuffled(numbers, rng(0))
    assert not torch.equal(mixed[0], mixed[1] - 9)
    assert mixed[0].flatten().sort()[0].tolist() == list(range(9))


def test_interpolated() -> None:
    V, sigma, U, _, x = network()
    ensemble, P, pi = make("interpolated")
    eye = torch.eye(H, dtype=F64)
    S = 2 * ((1 + SCALE) * P - eye) / SCALE - eye
    assert torch.allclose(S, S.round(), atol=1e-12)
    S = S.round()
    assert torch.equal(S @ S.mT, eye.expand_as(S))
    assert len({tuple(s.argmax(1).tolist()) for s in S}) > 1
    assert torch.allclose(pi @ P, eye.expand_as(P), atol=1e-12)
    out = ensemble(x).detach()
    assert torch.allclose(out[3], two_layers(V, sigma, U, P[3], pi[3], x), atol=1e-12)
    assert (ensemble.condition <= 1 + SCALE + 1e-12).all()
    huge = interpolated(H, 50, 1e6, rng())
    assert torch.linalg.cond(huge).max() > 1e5  # cycles of even length: near (I + S)/2, singular
