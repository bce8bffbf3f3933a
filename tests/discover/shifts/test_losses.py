"""What a loss sees of the outputs."""

import pytest
import torch
from torch import nn

import paramsym as ps
from tests.discover.checking import generic, groups

X = (torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),)


def classifier() -> nn.Module:
    return generic(nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)))


def test_logits_shift_together() -> None:
    symmetry = ps.discover(classifier(), X, loss="cross_entropy")
    assert groups(symmetry) == {"R^4": 1, "R^1": 1}
    assert not groups(ps.discover(classifier(), X))


def test_gradients_agree() -> None:
    """Cross-entropy and its gradient are constant along the families: Q is conserved."""
    model = classifier()
    symmetry = ps.discover(model, X, loss="cross_entropy")
    params = {name: p.detach() for name, p in model.named_parameters()}
    targets = torch.arange(20) % 3

    def loss(params: dict[str, torch.Tensor]) -> torch.Tensor:
        logits = torch.func.functional_call(model, params, X)
        return nn.functional.cross_entropy(logits, targets)

    g = symmetry.sample(0.5, generator=torch.Generator().manual_seed(0))
    moved = symmetry.act(g, params)
    assert float(loss(moved)) == pytest.approx(float(loss(params)), rel=1e-13)
    gradient = torch.func.grad(loss)(params)
    step = {name: p - 0.1 * gradient[name] for name, p in params.items()}
    before, after = symmetry.conserved(params), symmetry.conserved(step)
    for name, value in before.items():
        assert torch.allclose(value, after[name], rtol=0, atol=1e-13)


def test_classes_along_another_axis() -> None:
    model = generic(nn.Conv2d(2, 3, 1))
    x = (torch.randn(4, 2, 3, 3, dtype=torch.float64),)
    found = ps.discover(model, x, loss="cross_entropy", class_axis=1)
    assert groups(found) == {"R^2": 1, "R^1": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "mse"}, "`loss` must be 'cross_entropy'.*got 'mse'"),
        ({"loss": "cross_entropy", "class_axis": 2}, r"`class_axis` must be an axis.*\(20, 3\)"),
    ],
)
def test_bad_losses(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ps.discover(classifier(), X, **options)  # type: ignore[arg-type]
