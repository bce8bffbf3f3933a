"""Initialisation at a chosen Q: in place, all or nothing."""

import pytest
import torch
from torch import nn

import paramsym as ps
from paramsym.nets import MLP
from paramsym.orbit import init_conserved_


def hidden(model: nn.Module) -> ps.Symmetry:
    """Its scalings by hand, which need no discovery."""
    shapes = {k: tuple(p.shape) for k, p in model.named_parameters()}
    families = [
        ps.Family(
            f"{k} → {k + 1}",
            ps.PositiveScaling(shapes[f"layers.{k}.weight"][0]),
            (
                ps.Port.along(f"layers.{k}.weight", shapes[f"layers.{k}.weight"], 0),
                ps.Port.along(f"layers.{k}.bias", shapes[f"layers.{k}.bias"], 0),
                ps.Port.along(
                    f"layers.{k + 1}.weight", shapes[f"layers.{k + 1}.weight"], 1, dual=True
                ),
            ),
        )
        for k in range(2)
    ]
    return ps.Symmetry.of(families, model)


def test_same_function_at_every_q() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 3, dtype=torch.float64)
    model = MLP((3, 6, 5, 2), "relu").double()
    symmetry = hidden(model)
    before = model(x).detach()
    addresses = [p.data_ptr() for p in model.parameters()]
    for q in (-3.0, 0.0, 2.0):
        init_conserved_(model, symmetry, q)
        for Q in symmetry.conserved(dict(model.named_parameters())).values():
            assert float((Q.detach() - q).abs().max()) <= 1e-12
        assert float((model(x).detach() - before).abs().max()) <= 1e-12
    assert addresses == [p.data_ptr() for p in model.parameters()]
    assert all(p.requires_grad for p in model.parameters())


def test_refused_targets_leave_the_model_alone() -> None:
    model = MLP((3, 6, 5, 2), "relu")
    symmetry = hidden(model)
    with torch.no_grad():
        dict(model.named_parameters())["layers.1.weight"][:, 0] = 0.0
    before = {k: p.clone() for k, p in model.named_parameters()}
    with pytest.raises(ValueError, match="neuron 0 has writers and no readers"):
        init_conserved_(model, symmetry, -1.0)
    assert all(torch.equal(before[k], p) for k, p in model.named_parameters())
    with pytest.raises(TypeError, match=r"`model` must be a torch\.nn\.Module; got dict"):
        init_conserved_(before, symmetry, 0.0)  # pyright: ignore
