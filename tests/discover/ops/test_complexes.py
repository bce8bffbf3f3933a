"""Complex tensors: real scales and matrices, and planes that complex constants turn."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.cases import Case, check
from tests.discover.checking import Net
from tests.discover.ops.test_attention import N, attention

Turn = Callable[[Tensor], Tensor]


def pairs(z: Tensor) -> Tensor:
    return torch.view_as_complex(z.unflatten(-1, (-1, 2)))


def flat(z: Tensor) -> Tensor:
    return torch.view_as_real(z).flatten(-2)


def angles(z: Tensor) -> Tensor:
    """`[time, pairs]`."""
    rates = 1.3 ** -torch.arange(z.shape[-1] // 2).to(z)
    return torch.arange(z.shape[-2]).to(z)[:, None] * rates


def phases(z: Tensor) -> Tensor:
    return torch.polar(torch.ones_like(angles(z)), angles(z))


def turned_late(z: Tensor) -> Tensor:
    """Half of the pairs are those of another time."""
    c = pairs(z) * phases(z)
    return flat(torch.cat([c[..., :1], c.roll(1, -2)[..., 1:]], -1))


TURNS: dict[str, Turn] = {
    "a complex constant": lambda z: flat(pairs(z) * phases(z)),
    "divided by one": lambda z: flat(pairs(z) / phases(z)),
    "reshaped while complex": lambda z: flat(
        (pairs(z).flatten(0, 1) * phases(z)).unflatten(0, z.shape[:2])
    ),
    "twice": lambda z: flat(pairs(z) * phases(z) * phases(z)),
    "in real parts": lambda z: torch.stack([(c := pairs(z) * phases(z)).real, c.imag], -1).flatten(
        -2
    ),
}

NOT_TURNED: dict[str, Turn] = {
    "conjugated in part": lambda z: flat(
        torch.where(torch.arange(2) > 0, pairs(z), pairs(z).conj()) * phases(z)
    ),
    "of another time": turned_late,
}


def between(run: Turn, width: int = 4) -> nn.Module:
    return Net(
        lambda n, x: n.b(run(n.a(x))),
        a=nn.Linear(5, 4, bias=False),
        b=nn.Linear(width, 6, bias=False),
    )


X = ((40, 5),)

CASES = [
    *(
        Case(
            f"rotary, {name}",
            lambda turn=turn: attention(turn=turn, width=4),
            ((8, 6, N),),
            {"ℂˣ × 4": 1, "GL(4) × 2": 1},
        )
        for name, turn in TURNS.items()
    ),
    *(
        Case(
            f"rotary, {name}",
            lambda turn=turn: attention(turn=turn, width=4),
            ((8, 6, N),),
            {"T₊(4)": 1, "GL(4) × 2": 1},
            gap=None,
        )
        for name, turn in NOT_TURNED.items()
    ),
    Case("there and back", lambda: between(lambda z: flat(pairs(z))), X, {"GL(4)": 1}),
    Case(
        "numbers along the pairs: each plane turns, and a matrix of the pairs is not looked for",
        lambda: between(lambda z: flat(pairs(z) * (1 + 2j))),
        X,
        {"T₊(2)": 1},
        gap=None,
    ),
    Case("moduli", lambda: between(lambda z: pairs(z).abs(), 2), X, {"T₊(2)": 1}, gap=2),
    Case("angles", lambda: between(lambda z: pairs(z).angle(), 2), X, {"T₊(2)": 1}, gap=None),
    Case(
        "modulus and angle",
        lambda: between(lambda z: flat(torch.polar(z[:, :2].abs(), z[:, 2:].tanh()))),
        X,
        {"T₊(2)": 1},
    ),
    Case(
        "squares",
        lambda: between(lambda z: flat(pairs(z) ** 2)),
        X,
        {"T₊(2)": 1},
        gap=2,  # their planes turn twice as far
    ),
    Case(
        "products",
        lambda: Net(
            lambda n, x, y: n.b(flat(pairs(n.p(x)) * pairs(n.q(y)))),
            p=nn.Linear(5, 4, bias=False),
            q=nn.Linear(5, 4, bias=False),
            b=nn.Linear(4, 6, bias=False),
        ),
        ((60, 5), (60, 5)),
        {"T₊(2)": 2},
        gap=4,  # their planes turn
    ),
    Case(
        "made of two parts",
        lambda: Net(
            lambda n, x: n.b(torch.complex(n.p(x), n.q(x)).abs()),
            p=nn.Linear(5, 2, bias=False),
            q=nn.Linear(5, 2, bias=False),
            b=nn.Linear(2, 4, bias=False),
        ),
        X,
        {"T₊(2)": 1},
        gap=2,
    ),
    Case(
        "complex layers, relu by parts: the scales",
        lambda: Net(
            lambda n, x: torch.view_as_real(
                torch.complex(
                    F.relu((z := torch.complex(x, x**2) @ torch.view_as_complex(n.w)).real),
                    F.relu(z.imag),
                )
                @ torch.view_as_complex(n.v)
            ),
            w=nn.Parameter(torch.randn(5, 3, 2)),
            v=nn.Parameter(torch.randn(3, 6, 2)),
        ),
        ((60, 5),),
        {"T₊(3)": 1},
    ),
    Case(
        "linear complex layers: real matrices of a complex space",
        lambda: Net(
            lambda n, x: torch.view_as_real(
                torch.complex(x, x**2) @ torch.view_as_complex(n.w) @ torch.view_as_complex(n.v)
            ),
            w=nn.Parameter(torch.randn(5, 3, 2)),
            v=nn.Parameter(torch.randn(3, 6, 2)),
        ),
        ((60, 5),),
        {"GL(3)": 1},
        gap=9,  # those of GL(3, ℂ) that are not real
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)
