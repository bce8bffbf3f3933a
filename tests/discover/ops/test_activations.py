"""Activations between two linear layers: which scalings and rotations each of them leaves."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.cases import Case, check
from tests.discover.checking import Net

WIDTH = 4


def around(
    activation: Callable[[Tensor], Tensor], *, inputs: int = 3, bias: bool = True
) -> nn.Module:
    """Linear 3 → 4, the activation, linear 4 → 4."""
    return Net(
        lambda net, x: net.fc2(activation(net.fc1(x))),
        fc1=nn.Linear(inputs, WIDTH, bias=bias),
        fc2=nn.Linear(WIDTH, 4),
    )


def scaled(name: str, activation: Callable[[Tensor], Tensor], *, bias: bool = True) -> Case:
    """Homogeneous of some degree: one scaling a neuron."""
    return Case(name, lambda: around(activation, bias=bias), ((60, 3),), {f"T₊({WIDTH})": 1})


def pinned(name: str, activation: Callable[[Tensor], Tensor], gap: int | None = 0) -> Case:
    """No linear symmetry at all."""
    return Case(name, lambda: around(activation), ((60, 3),), {}, gap=gap)


def radial(name: str, activation: Callable[[Tensor], Tensor]) -> Case:
    """f(‖z‖) z: rotations of the hidden space; with biases, which rotate along.

    Inputs span the hidden space; on a plane of it, a distance to the origin acts as a parameter.
    """
    return Case(name, lambda: around(activation, inputs=5), ((80, 5),), {f"O({WIDTH})": 1})


def norm(z: Tensor) -> Tensor:
    return z.norm(dim=-1, keepdim=True)


def square_norm(z: Tensor) -> Tensor:
    return z.square().sum(-1, keepdim=True)


HOMOGENEOUS = [
    scaled("relu", torch.relu),
    scaled("relu, no bias", torch.relu, bias=False),
    scaled("relu in place", lambda z: F.relu(z, inplace=True)),
    scaled("clamp at 0", lambda z: z.clamp(min=0)),
    scaled("clamp_min at 0", lambda z: z.clamp_min(0)),
    scaled("maximum with 0", lambda z: torch.maximum(z, torch.zeros_like(z))),
    scaled("where positive", lambda z: torch.where(z > 0, z, torch.zeros_like(z))),
    scaled("where positive, else number 0", lambda z: torch.where(z > 0, z, 0.0)),
    scaled("z times its own mask", lambda z: z * (z > 0)),
    scaled("relu by |z|", lambda z: (z + z.abs()) / 2),
    scaled("leaky relu", lambda z: F.leaky_relu(z, 0.2)),
    scaled("leaky relu by two relus", lambda z: torch.relu(z) - 0.2 * torch.relu(-z)),
    scaled("prelu with a constant slope", lambda z: F.prelu(z, torch.full((1,), 0.3).to(z))),
    scaled("abs", torch.abs),
    scaled("relu squared", lambda z: torch.relu(z) ** 2),
    scaled("relu squared by multiplication", lambda z: torch.relu(z) * torch.relu(z)),
    scaled("relu^1.5", lambda z: torch.relu(z) ** 1.5),
    scaled("square", torch.square),
    scaled("z²", lambda z: z**2),
    scaled("z · z", lambda z: z * z),
    scaled("cube", lambda z: z**3),
    scaled("|z| z", lambda z: z.abs() * z),
    scaled("√|z|", lambda z: z.abs().sqrt()),
    scaled("times 3", lambda z: 3 * torch.relu(z)),
    scaled("divided by 3", lambda z: torch.relu(z) / 3),
    scaled("negated", lambda z: -torch.relu(-z)),
    scaled("multiplied by different constants", lambda z: torch.relu(z) * torch.arange(1, 5).to(z)),
    scaled("plus zero", lambda z: torch.relu(z + 0)),
    scaled("masked with zeros", lambda z: z.masked_fill(z < 0, 0.0)),
    scaled("sign times square", lambda z: z.sign() * z * z),
    scaled("dropout of p = 0", lambda z: F.dropout(torch.relu(z), 0.0)),
]

WITHOUT_SYMMETRY = [
    pinned("tanh", torch.tanh),
    pinned("sigmoid", torch.sigmoid),
    pinned("gelu", F.gelu),
    pinned("gelu by tanh", lambda z: F.gelu(z, approximate="tanh")),
    pinned("silu", F.silu),
    pinned("swish by hand", lambda z: z * torch.sigmoid(z)),
    pinned("softplus", F.softplus),
    pinned("elu", F.elu),
    pinned("selu", F.selu),
    pinned("celu", F.celu),
    pinned("mish", F.mish),
    pinned("hardswish", lambda z: F.hardswish(4 * z)),
    pinned("relu6", lambda z: F.relu6(6 * z)),
    pinned("hardtanh", F.hardtanh),
    pinned("hardsigmoid", lambda z: F.hardsigmoid(4 * z)),
    pinned("softsign", F.softsign),
    pinned("tanhshrink", F.tanhshrink),
    pinned("logsigmoid", F.logsigmoid),
    pinned("sin", torch.sin),
    pinned("arctan", torch.atan),
    pinned("error function", torch.erf),
    pinned("gaussian", lambda z: torch.exp(-z * z)),
    Case(
        "relu of z + 1: the bias scales about −1",
        lambda: around(lambda z: torch.relu(z + 1)),
        ((60, 3),),
        {f"T₊({WIDTH}) about -1": 1},
    ),
    pinned("1 − relu, then relu", lambda z: torch.relu(1 - torch.relu(z))),
    pinned(
        "threshold: its Jacobian does not see the jump", lambda z: F.threshold(z, 0.1, 0.0), None
    ),
    pinned("softshrink", lambda z: F.softshrink(z, 0.1)),
    pinned("clamp between bounds", lambda z: z.clamp(-1, 1)),
    pinned("log(1 + z²)", lambda z: (1 + z * z).log()),
    pinned("1/(1 + |z|)", lambda z: z / (1 + z.abs())),
    Case(
        "log softmax: scores may shift together",
        lambda: around(lambda z: z.log_softmax(-1)),
        ((60, 3),),
        {"R^3": 1, "R^1": 1},
    ),
    Case(
        "softmax: likewise, and what reads it shifts against its bias, as its rows add up to one",
        lambda: around(lambda z: z.softmax(-1)),
        ((60, 3),),
        {"R^3": 1, "R^1": 1, "R^4": 1},
    ),
]

RADIAL = [
    radial("z tanh ‖z‖", lambda z: z * norm(z).tanh()),
    radial("z / (1 + ‖z‖²)", lambda z: z / (1 + square_norm(z))),
    radial("z / (1 + ‖z‖)", lambda z: z / (1 + norm(z))),
    radial("z exp(−‖z‖²)", lambda z: z * torch.exp(-square_norm(z))),
    radial("z σ(‖z‖ − 1)", lambda z: z * torch.sigmoid(norm(z) - 1)),
    radial("z / √(1 + ‖z‖²)", lambda z: z * torch.rsqrt(1 + square_norm(z))),
    radial("mean of squares", lambda z: z * torch.tanh(z.pow(2).mean(-1, keepdim=True))),
    radial("squares by multiplication", lambda z: z * torch.tanh((z * z).sum(-1, keepdim=True))),
    radial(
        "norm by linalg",
        lambda z: z * torch.tanh(torch.linalg.vector_norm(z, dim=-1, keepdim=True)),
    ),
    radial("unsqueezed norm", lambda z: z * torch.tanh(z.norm(dim=-1)).unsqueeze(-1)),
    radial(
        "soft threshold of the norm",
        lambda z: z * torch.relu(1 - 0.1 / norm(z)),
    ),
]

OTHER = [
    Case(
        "gated linear unit: the gated half scales",
        lambda: Net(lambda n, x: n.b(F.glu(n.a(x))), a=nn.Linear(5, 8), b=nn.Linear(4, 3)),
        ((80, 5),),
        {"T₊(4)": 1},
    ),
    Case(
        "randomised leaky relu in evaluation",
        lambda: nn.Sequential(nn.Linear(3, 4), nn.RReLU(), nn.Linear(4, 4)),
        ((60, 3),),
        {"T₊(4)": 1},
        gap=None,
        train=False,
    ),
    Case(
        "identity",
        lambda: around(lambda z: z, bias=False),
        ((30, 3),),
        {"GL(4)": 1},
    ),
    Case(
        "direction z/‖z‖: rotations, and one scale",
        lambda: around(lambda z: z / norm(z), inputs=5, bias=False),
        ((80, 5),),
        {"O(4)": 1, "T₊(1)": 1},
    ),
    Case(
        "z‖z‖: rotations, and one scale of degree 2",
        lambda: around(lambda z: z * norm(z), inputs=5, bias=False),
        ((80, 5),),
        {"O(4)": 1, "T₊(1)": 1},
    ),
    Case(
        "norm alone",
        lambda: Net(
            lambda n, x: n.fc2(square_norm(n.fc1(x))), fc1=nn.Linear(3, 2), fc2=nn.Linear(1, 2)
        ),
        ((40, 3),),
        {"O(2)": 1, "T₊(1)": 1},
    ),
    Case(
        "maximum norm: one scale",
        lambda: around(lambda z: z / z.abs().amax(-1, keepdim=True), inputs=5, bias=False),
        ((80, 5),),
        {"T₊(1)": 1},
    ),
    Case(
        "learned slope of a prelu",
        lambda: nn.Sequential(nn.Linear(3, 4), nn.PReLU(), nn.Linear(4, 4)),
        ((60, 3),),
        {"T₊(4)": 1},
    ),
    Case(
        "learned slopes, one a neuron",
        lambda: nn.Sequential(nn.Linear(3, 4), nn.PReLU(4), nn.Linear(4, 4)),
        ((60, 3),),
        {"T₊(4)": 1},
    ),
    Case(
        "dropout in training: masks leave scales",
        lambda: nn.Sequential(
            nn.Linear(3, 4, bias=False), nn.Dropout(0.3), nn.Linear(4, 4, bias=False)
        ),
        ((60, 3),),
        {"T₊(4)": 1},
    ),
    Case(
        "dropout in evaluation",
        lambda: nn.Sequential(
            nn.Linear(3, 4, bias=False), nn.Dropout(0.3), nn.Linear(4, 4, bias=False)
        ),
        ((60, 3),),
        {"GL(4)": 1},
        train=False,
    ),
    Case(
        "dropout of channels in evaluation",
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Dropout2d(0.3), nn.Conv2d(3, 3, 1)),
        ((20, 2, 5, 5),),
        {"T₊(3)": 1},
        train=False,
    ),
    Case(
        "gated: the gate is pinned, the value a linear space of scales",
        lambda: Net(
            lambda n, x: n.out(torch.sigmoid(n.gate(x)) * n.value(x)),
            gate=nn.Linear(3, 4),
            value=nn.Linear(3, 4),
            out=nn.Linear(4, 4),
        ),
        ((80, 3),),
        {"T₊(4)": 1},
    ),
    Case(
        "gated by relu: two scales a neuron",
        lambda: Net(
            lambda n, x: n.out(torch.relu(n.gate(x)) * n.value(x)),
            gate=nn.Linear(3, 4),
            value=nn.Linear(3, 4),
            out=nn.Linear(4, 4),
        ),
        ((80, 3),),
        {"T₊(4)": 2},
    ),
    Case(
        "two activations on one space",
        lambda: Net(
            lambda n, x: n.a(torch.relu(n.fc(x))) + n.b(n.fc(x).abs() ** 2),
            fc=nn.Linear(3, 4),
            a=nn.Linear(4, 4, bias=False),
            b=nn.Linear(4, 4),
        ),
        ((80, 3),),
        {"T₊(4)": 1},
    ),
    Case(
        "maxout of two: a bias through it is a shift",
        lambda: Net(
            lambda n, x: n.out(torch.maximum(n.a(x), n.b(x))),
            a=nn.Linear(3, 4),
            b=nn.Linear(3, 4),
            out=nn.Linear(4, 4),
        ),
        ((90, 3),),
        {"T₊(4)": 1},
        gap=4,
    ),
]
CASES = [*HOMOGENEOUS, *WITHOUT_SYMMETRY, *RADIAL, *OTHER]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("power", "activation"),
    [
        (0.5, lambda z: z.abs().sqrt()),
        (1, torch.relu),
        (1.5, lambda z: torch.relu(z) ** 1.5),
        (2, torch.square),
        (2, lambda z: torch.relu(z).square()),
        (3, lambda z: z**3),
        (4, lambda z: torch.relu(z).square().square()),
        (4, lambda z: (z * z) * (z * z)),
        (-1, lambda z: 1 / (z * z).sqrt()),
        (-2, lambda z: (z * z).reciprocal()),
    ],
)
def test_degree(power: float, activation: Callable[[Tensor], Tensor]) -> None:
    """Writers of degree 1; the reader has the activation's degree α, and π(g) = g^α."""
    symmetry = check(scaled("degree", activation))
    (family,) = symmetry.families
    degrees = {p.parameter: -p.degree if p.dual else p.degree for p in family.ports}
    expected = {"fc1.weight": 1.0, "fc1.bias": 1.0, "fc2.weight": -float(power)}
    assert degrees.keys() == expected.keys()
    assert all(math.isclose(degrees[k], expected[k]) for k in expected)
