"""Every way to ask for a target wrongly has its own message."""

import re

import pytest
import torch
from torch import nn

import paramsym as ps
from tests.laws.networks import dense
from tests.laws.subjects import subject

F64 = torch.float64


def refused(kind: type[Exception], message: str, name: str, target: object, **options: str) -> None:
    s = subject(name)
    with pytest.raises(kind, match=re.escape(message)):
        ps.set_conserved(s.symmetry, s.params, target, **options)  # pyright: ignore


def test_what_is_no_target() -> None:
    refused(TypeError, "`target` must be a number, or a dict", "dense relu", torch.zeros(5))
    refused(TypeError, "got bool", "dense relu", True)
    refused(TypeError, "must be a number or floating-point", "dense relu", {"fc0 → fc1": "zero"})
    refused(
        TypeError,
        "got torch.int64",
        "dense relu",
        {"fc0 → fc1": torch.zeros(5, dtype=torch.int64)},
    )
    refused(ValueError, '`others` must be "keep" or "free"', "dense relu", 0.0, others="drop")


def test_families_without_a_law() -> None:
    refused(ValueError, "there is no family 'fc9'", "dense relu", {"fc9": 0.0})
    refused(ValueError, "has no conserved quantity", "dense radial", {"fc0 → fc1": 0.0})
    s = dense("relu", (3, 4, 2))
    frozen = {k: nn.Parameter(p, requires_grad=k != "fc0.bias") for k, p in s.params.items()}
    symmetry = ps.Symmetry.of(s.symmetry.families, frozen)
    with pytest.raises(ValueError, match="or it moves a frozen parameter"):
        ps.set_conserved(symmetry, frozen, {"fc0 → fc1": 0.0})


def test_shapes_and_values() -> None:
    refused(ValueError, "must have shape (5,)", "dense relu", {"fc0 → fc1": torch.zeros(4)})
    refused(ValueError, "must be finite", "dense relu", {"fc0 → fc1": torch.full((5,), torch.nan)})
    turned = torch.zeros(5, 5, dtype=F64)
    turned[0, 1] = 1.0
    refused(ValueError, "must be symmetric", "dense identity", {"fc0 → fc1": turned})
    shifted = torch.zeros(6, 6, dtype=F64)
    shifted[0, 5] = shifted[5, 0] = 1.0  # the place of a translation
    refused(ValueError, "must be symmetric", "dense identity_affine", {"fc0 → fc1": shifted})
    rope = {"query → key": torch.eye(2, dtype=F64).expand(2, 2, 2) * torch.tensor([1.0, -1.0])}
    s = subject("llama")
    (name,) = (f.name for f in s.symmetry if isinstance(f.group, ps.ComplexScaling))
    refused(ValueError, "must be symmetric", "llama", {name: rope["query → key"]})


def test_parameters_are_checked() -> None:
    s = dense("relu", (3, 4, 2))
    with pytest.raises(ValueError, match=r"lacks 'fc0\.bias'"):
        ps.set_conserved(s.symmetry, {k: p for k, p in s.params.items() if k != "fc0.bias"}, 0.0)
    params = {**s.params, "fc0.bias": torch.full((4,), torch.inf, dtype=F64)}
    with pytest.raises(ValueError, match="must be finite"):
        ps.set_conserved(s.symmetry, params, 0.0)
    with pytest.raises(TypeError, match="`symmetry` must be a symmetry"):
        ps.set_conserved(list(s.symmetry), s.params, 0.0)  # pyright: ignore


@pytest.mark.parametrize(
    ("zeroed", "held", "takes"),
    [
        (("fc1.weight",), "writers and no readers", "positive numbers"),
        (("fc0.weight", "fc0.bias"), "readers and no writers", "negative numbers"),
        (("fc0.weight", "fc0.bias", "fc1.weight"), "neither writers nor readers", "0 only"),
    ],
)
@pytest.mark.parametrize("depth", [1, 2])
def test_zero_neurons(zeroed: tuple[str, ...], held: str, takes: str, depth: int) -> None:
    s = dense("relu", (3, 4, 5, 2)[: 2 + depth])
    params = {k: p.clone() for k, p in s.params.items()}
    for name in zeroed:
        (params[name][:, 2] if name == "fc1.weight" else params[name][2]).zero_()
    target = {"fc0 → fc1": torch.zeros(4, dtype=F64)}
    target["fc0 → fc1"][2] = -1.0 if "writers and" in held[:11] or "neither" in held else 1.0
    with pytest.raises(ValueError, match=rf"1 of 4 neurons: neuron 2 has {held}.*{takes}"):
        ps.set_conserved(s.symmetry, params, target)
