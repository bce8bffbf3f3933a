"""A check where nothing responds says nothing: it is made again where something does."""

import pytest
import torch
from torch import nn

import paramsym as ps
from paramsym.discovery import point, responding
from paramsym.discovery.ops.activations import homogeneous
from tests.discover.checking import Net, generic, groups
from tests.discover.test_planted_faults import planted

X = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def silent(offset: float) -> nn.Module:
    """A tanh layer behind a ReLU that is dead with such a bias, so that the outputs are 0."""
    model = generic(
        Net(
            lambda n, x: torch.relu(n.c(torch.tanh(n.b(torch.relu(n.a(x)))))),
            a=nn.Linear(3, 4),
            b=nn.Linear(4, 5),
            c=nn.Linear(5, 2),
        )
    )
    with torch.no_grad():
        model.get_parameter("c.bias").fill_(offset)
    return model


def partly_silent() -> nn.Module:
    """Two branches, one of them dead."""
    model = generic(
        Net(
            lambda n, x: n.out(torch.relu(n.a(x))) + torch.relu(n.c(torch.tanh(n.b(x)))),
            a=nn.Linear(3, 4),
            out=nn.Linear(4, 2),
            b=nn.Linear(3, 5),
            c=nn.Linear(5, 2),
        )
    )
    with torch.no_grad():
        model.get_parameter("c.bias").fill_(-100.0)
    return model


def dead_for_good() -> nn.Module:
    """A constant threshold that no parameter of usual size gets over."""
    model = generic(
        Net(
            lambda n, x: n.c(torch.relu(n.u(torch.relu(n.b(x))) - n.threshold)),
            b=nn.Linear(3, 5),
            u=nn.Linear(5, 4),
            c=nn.Linear(4, 2),
            threshold=torch.zeros(4, dtype=torch.float64),
        )
    )
    with torch.no_grad():
        model.get_buffer("threshold").fill_(1000.0)
    return model


MODELS = [lambda: silent(-100.0), partly_silent]


# Without gradients (0 bytes for them) only a model that is silent as a whole is noticed.
@pytest.mark.parametrize(
    ("make", "largest"),
    [(MODELS[0], point.LARGEST), (MODELS[1], point.LARGEST), (MODELS[0], 0)],
)
def test_a_false_family_is_withdrawn_though_it_is_silent(make, largest, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """The outputs are the same whatever a dead layer does, and a wrong rule passes there."""
    monkeypatch.setattr(point, "LARGEST", largest)
    with planted("tanh", homogeneous):
        symmetry = ps.discover(make(), (X,))
    assert symmetry.verification is not None
    assert len(symmetry.verification.withdrawn) >= 1
    assert "T₊(5)" not in groups(symmetry)


@pytest.mark.parametrize("make", MODELS)
def test_true_families_are_kept(make) -> None:  # type: ignore[no-untyped-def]
    symmetry = ps.discover(make(), (X,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert symmetry.verification.holds
    assert groups(symmetry) == groups(ps.discover(make(), (X,), verify=False))


def test_what_responds_nowhere_is_not_called_verified() -> None:
    symmetry = ps.discover(dead_for_good(), (X,))
    assert [f.verified for f in symmetry] == [False] * len(symmetry.families)
    assert symmetry.families


def test_coordinates_are_looked_at_one_by_one() -> None:
    """One dead unit of four: the family is looked at elsewhere too."""
    model = generic(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    (family,) = ps.discover(model, (X,))

    def is_silent() -> bool:
        from paramsym.discovery.front_ends import record
        from paramsym.discovery.points import Points

        points = Points(record(model, (X,), {}), 0)
        return bool(responding.silent_families([family], points.near))

    assert not is_silent()
    with torch.no_grad():
        model.get_parameter("0.bias")[2] = -1000.0
    assert is_silent()
    assert ps.discover(model, (X,))["0 → 2"].group == family.group
