"""Batch normalisation and its kin: what they erase in training, and what evaluation leaves."""

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from tests.discover.cases import Case, check
from tests.discover.checking import TINY, Net, generic, groups


def norm_net(norm: nn.Module, *, bias: bool = False) -> nn.Module:
    """Linear 4 → 3, the norm, relu, linear 3 → 3."""
    return nn.Sequential(nn.Linear(4, 3, bias=bias), norm, nn.LeakyReLU(), nn.Linear(3, 3))


def image_net(norm: nn.Module, *, bias: bool = False) -> nn.Module:
    """Convolution 2 → 4, the norm, relu, convolution 4 → 3."""
    return nn.Sequential(nn.Conv2d(2, 4, 3, bias=bias), norm, nn.LeakyReLU(), nn.Conv2d(4, 3, 1))


VECTORS = ((60, 4),)
IMAGES = ((12, 2, 6, 6),)

CASES = [
    Case(
        "training: each row's scale is erased, gain and bias scale behind",
        lambda: norm_net(nn.BatchNorm1d(3)),
        VECTORS,
        {"T₊(3)": 2},
    ),
    Case(
        "training, with a bias in front, which the norm removes",
        lambda: norm_net(nn.BatchNorm1d(3), bias=True),
        VECTORS,
        {"T₊(3)": 2, "R^3": 1},
    ),
    Case(
        "training, no gain: the reader is not free",
        lambda: norm_net(nn.BatchNorm1d(3, affine=False)),
        VECTORS,
        {"T₊(3)": 1},
    ),
    Case(
        "evaluation: the bias takes up what fixed statistics make of a scale",
        lambda: norm_net(nn.BatchNorm1d(3)),
        VECTORS,
        {"T₊(3)": 2},
        train=False,
    ),
    Case(
        "evaluation, no gain",
        lambda: norm_net(nn.BatchNorm1d(3, affine=False)),
        VECTORS,
        {},
        train=False,
    ),
    Case(
        "no running statistics: evaluation is as training",
        lambda: norm_net(nn.BatchNorm1d(3, track_running_stats=False)),
        VECTORS,
        {"T₊(3)": 2},
        train=False,
    ),
    Case("images in training", lambda: image_net(nn.BatchNorm2d(4)), IMAGES, {"T₊(4)": 2}),
    Case(
        "images in evaluation",
        lambda: image_net(nn.BatchNorm2d(4)),
        IMAGES,
        {"T₊(4)": 2},
        train=False,
    ),
    Case(
        "volumes in training",
        lambda: nn.Sequential(
            nn.Conv3d(2, 3, 2, bias=False), nn.BatchNorm3d(3), nn.LeakyReLU(), nn.Conv3d(3, 2, 1)
        ),
        ((8, 2, 4, 4, 4),),
        {"T₊(3)": 2},
    ),
    Case(
        "norm of the input: the next bias takes up its own",
        lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)),
        VECTORS,
        {"T₊(4)": 1, "R^4": 1},
    ),
    Case(
        "norm behind the activation: its bias likewise",
        lambda: nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU(), nn.BatchNorm1d(3), nn.Linear(3, 3)),
        VECTORS,
        {"T₊(3)": 2, "R^3": 1},
    ),
    Case(
        "two norms added at a shortcut: their biases shift against each other",
        lambda: Net(
            lambda n, x, y: n.out(torch.relu(n.p(n.a(x)) + n.q(n.b(y)))),
            a=nn.Linear(4, 3, bias=False),
            b=nn.Linear(4, 3, bias=False),
            p=nn.BatchNorm1d(3),
            q=nn.BatchNorm1d(3),
            out=nn.Linear(3, 3),
        ),
        ((120, 4), (120, 4)),
        {"T₊(3)": 3, "R^3": 1},
    ),
    Case(
        "layer norm in training",
        lambda: norm_net(nn.LayerNorm(3)),
        VECTORS,
        {"T₊(1)": 1, "T₊(3)": 1, "R^4": 1},
    ),
    Case(
        "layer norm without gain",
        lambda: norm_net(nn.LayerNorm(3, elementwise_affine=False)),
        VECTORS,
        {"T₊(1)": 1, "R^4": 1},
    ),
    Case(
        "group norm: a scale a group",
        lambda: image_net(nn.GroupNorm(2, 4)),
        IMAGES,
        {"T₊(2)": 1, "T₊(4)": 1},
        gap=None,
    ),
    Case(
        "group norm of single channels",
        lambda: image_net(nn.GroupNorm(4, 4)),
        IMAGES,
        {"T₊(4)": 2},
    ),
    Case(
        "instance norm",
        lambda: image_net(nn.InstanceNorm2d(4, affine=True)),
        IMAGES,
        {"T₊(4)": 2},
    ),
    Case(
        "root mean square norm in plain torch",
        lambda: Net(
            lambda n, x: n.b((z := n.a(x)) * (z.square().mean(-1, keepdim=True) + 1e-60).rsqrt()),
            a=nn.Linear(5, 3, bias=False),
            b=nn.Linear(3, 3),
        ),
        ((60, 5),),
        {"O(3)": 1, "T₊(1)": 1},
    ),
    Case(
        "standardised over the batch in plain torch",
        lambda: Net(
            lambda n, x: n.b(
                (((z := n.a(x)) - z.mean(0)) * (z - z.mean(0)).square().mean(0).rsqrt()).tanh()
            ),
            a=nn.Linear(4, 3, bias=False),
            b=nn.Linear(3, 3),
        ),
        VECTORS,
        {"T₊(3)": 1},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("eps", [1e-5, 1e-3, 1e-8])
def test_exactness_as_eps_vanishes(eps: float) -> None:
    """The scale that a norm erases is exact as ε → 0 only, with the defect measured; what does not
    pass through the norm is exact."""
    model = generic(norm_net(nn.BatchNorm1d(3, eps=eps)))
    x = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    symmetry = ps.discover(model, (x,))
    erased = [f for f in symmetry if f.moves == {"0.weight"}]
    rest = [f for f in symmetry if f.moves != {"0.weight"}]
    assert [f.exactness.as_eps_vanishes for f in erased] == [True]
    assert [f.exactness.as_eps_vanishes for f in rest] == [False]
    defect = erased[0].exactness.defect
    assert defect is not None
    assert 1e-3 * eps < defect < eps


def test_defect_grows_with_eps() -> None:
    """Ten times the ε, ten times the defect."""
    x = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    defects = []
    for eps in (1e-5, 1e-4):
        model = generic(norm_net(nn.BatchNorm1d(3, eps=eps)))
        (family,) = [f for f in ps.discover(model, (x,)) if f.moves == {"0.weight"}]
        assert family.exactness.defect is not None
        defects.append(family.exactness.defect)
    assert defects[1] / defects[0] == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("train", [True, False])
def test_momentum_and_counters_do_not_matter(train: bool) -> None:
    """The running statistics that a training step writes are no output."""
    x = torch.randn(9, 4)
    found = [
        groups(ps.discover(norm_net(nn.BatchNorm1d(3, momentum=m)).train(train), (x,)))
        for m in (0.1, 0.9, None)
    ]
    assert found[0] == found[1] == found[2]


def test_statistics_used_beside_the_norm_are_outputs_of_it() -> None:
    """A model that returns batch statistics is pinned by them."""

    def run(net: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        z = net.a(x)
        return net.b(net.norm(z)), z.var(0)

    model = Net(run, a=nn.Linear(4, 3, bias=False), norm=nn.BatchNorm1d(3), b=nn.Linear(3, 3))
    symmetry = ps.discover(model, (torch.randn(20, 4),))
    assert all("a.weight" not in family.moves for family in symmetry)


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_of_torch(dim: int | None) -> None:
    """Scales of v are erased slice by slice; g scales with the neurons, each or all of them."""
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3), dim=dim)
    model = generic(nn.Sequential(layer, nn.ReLU(), nn.Linear(3, 2)))
    x = torch.randn(30, 4, dtype=torch.float64)
    symmetry = ps.discover(model, (x,))
    assert symmetry.barriers == ()
    assert (
        groups(symmetry)
        == {
            0: {"T₊(3)": 2},
            1: {"T₊(4)": 1, "T₊(1)": 1},
            None: {"T₊(1)": 2},
        }[dim]
    )
    assert symmetry.verification is not None
    assert symmetry.verification.holds
    assert symmetry.verification.withdrawn == ()


def by_hand(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + TINY)


def between_norms(net: Net, x: Tensor) -> Tensor:
    """What the second norm reads has a scale of its own beside that of its coordinates."""
    h = net.a(x)
    return torch.tanh(h + by_hand(net.out(net.b(by_hand(h) * (1 + net.gain)))))


def test_a_square_of_vectors_that_share_a_number_is_a_norm() -> None:
    def model() -> nn.Module:
        layers = {k: nn.Linear(n, 4, bias=False) for k, n in (("a", 5), ("b", 4), ("out", 4))}
        return Net(between_norms, gain=nn.Parameter(torch.randn(4)), **layers)

    families = {"T₊(4) about -1": 1, "GL(4)": 1, "T₊(1)": 1}
    check(Case("between norms", model, ((90, 5),), families))
