"""A network whose norm has fixed statistics, with the families of docs/derivations.md §27."""

import torch
from torch import Tensor
from torch.nn import functional

import paramsym as ps
from paramsym.groups import Homothety
from tests.laws.subject import Params, Subject, normal

EPS = 1e-3


def fixed_norm(*, bias: bool) -> Subject:
    """A layer, batch norm in evaluation, a leaky ReLU, a layer; a bias in front or none."""
    rng = torch.Generator().manual_seed(8)
    n, h, m = 3, 4, 2
    params = {
        "below": normal((h, n), rng),
        "bias": normal((h,), rng),
        "gain": normal((h,), rng),
        "shift": normal((h,), rng),
        "above": normal((m, h), rng),
    }
    mean, variance = normal((h,), rng), 0.5 + normal((h,), rng).square()
    if not bias:
        del params["bias"]

    def forward(p: Params, x: Tensor) -> Tensor:
        z = functional.linear(x, p["below"], p.get("bias"))
        z = (z - mean) / (variance + EPS).sqrt() * p["gain"] + p["shift"]
        return functional.leaky_relu(z, 0.2) @ p["above"].T

    def constant(name: str, values: Tensor, power: float, offset: float) -> ps.Source:
        return ps.Source(ps.Slot(name, (), (h,)), power, offset, tuple(values.tolist()))

    gain = ps.Source(ps.Slot("gain"))
    centre = constant("mean", mean, 1, 0.0)
    inverse = constant("variance", variance, -0.5, EPS)
    vectors = [ps.Port.along(name, (h,), 0) for name in ("bias", "gain", "shift") if name in params]
    below, above = ps.Port.along("below", (h, n), 0), ps.Port.along("above", (m, h), 1, dual=True)
    reads = ps.Port.along("gain", (h,), 0, dual=True)

    def lines(port: ps.Port) -> ps.Port:
        """One line a copy."""
        return ps.Port(port.parameter, port.view, port.axes, port.index.reshape(h, 1, -1),
                       dual=port.dual)  # fmt: skip

    if bias:
        terms = (ps.Term(ps.Slot("bias"), "ia,i->i", (centre,)),)
        ports = (lines(below), lines(vectors[0]), lines(reads))
    else:
        terms = (ps.Term(ps.Slot("shift"), "ia,i,i,i->i", (centre, inverse, gain)),)
        ports = (lines(below), lines(reads))
    families = [
        ps.Family("in front", Homothety(h, 1.0), ports, terms),
        ps.Family("behind", ps.PositiveScaling(h), (*vectors[-2:], above)),
    ]
    if bias:
        moved = (
            ps.Term(ps.Slot("bias"), "i->i"),
            ps.Term(ps.Slot("shift"), "i,i,i->i", (inverse, gain), -1.0),
        )
        families.append(ps.Family("shift", ps.Translation(h), terms=moved))
    return Subject(ps.Symmetry.of(families, params), params, forward, normal((9, n), rng), 3)
