"""Linear maps along axes: positions, time, patches."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.cases import Case, check
from tests.discover.checking import Net

N = 3


def in_time(between: Callable[[Tensor], Tensor]) -> nn.Module:
    """Linear layers, feature by feature, around a map of `[batch, 6, features]`."""
    return Net(
        lambda n, x: n.b(between(n.a(x))),
        a=nn.Linear(4, N, bias=False),
        b=nn.Linear(N, 4, bias=False),
    )


def in_space(between: Callable[[Tensor], Tensor]) -> nn.Module:
    """Convolutions that look at one position, around a map of images."""
    return Net(
        lambda n, x: n.b(between(n.a(x))),
        a=nn.Conv2d(4, N, 1, bias=False),
        b=nn.Conv2d(N, 4, 1, bias=False),
    )


def grid(z: Tensor) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.rand(len(z), 5, 5, 2, generator=rng).to(z) * 2 - 1


TIME: dict[str, Callable[[Tensor], Tensor]] = {
    "spectrum and back": lambda z: torch.fft.irfft(torch.fft.rfft(z, dim=1), n=6, dim=1),
    "filtered": lambda z: torch.fft.irfft(
        torch.fft.rfft(z, dim=1) * torch.arange(1, 5)[:, None].to(torch.complex128) * (1 - 2j),
        n=6, dim=1,
    ),
    "real part of the spectrum": lambda z: torch.fft.fft(z, dim=1).real,
    "both parts": lambda z: torch.view_as_real(torch.fft.fft(z, dim=1)).sum(-1),
    "differences": lambda z: z.diff(dim=1),
    "cumulated": lambda z: z.cumsum(1),
    "mirrored": lambda z: F.pad(z.mT, (2, 1), mode="reflect").mT,
    "circular": lambda z: F.pad(z.mT, (2, 1), mode="circular").mT,
    "interpolated between rows": lambda z: z.lerp(z.roll(1, 1), 0.3),
    "interpolated by data": lambda z: z.lerp(z.roll(1, 1), torch.rand(6, 1).to(z)),
    "product added": lambda z: torch.addcmul(z, z.roll(1, 1), torch.rand(6, 1).to(z), value=2.0),
    "quotient added": lambda z: torch.addcdiv(z, z.roll(1, 1), 1 + torch.rand(6, 1).to(z)),
}  # fmt: skip

SPACE: dict[str, Callable[[Tensor], Tensor]] = {
    "enlarged": lambda z: F.interpolate(z, scale_factor=2, mode="bilinear"),
    "mirrored": lambda z: F.pad(z, (1, 1, 1, 1), mode="reflect"),
    "replicated": lambda z: F.pad(z, (1, 1, 1, 1), mode="replicate"),
    "patches and back": lambda z: F.fold(F.unfold(z, 2, stride=2), (4, 4), 2, stride=2),
    "overlapping patches and back": lambda z: F.fold(F.unfold(z, 2), (4, 4), 2),
    "two-dimensional spectrum": lambda z: torch.fft.ifft2(torch.fft.fft2(z)).real,
}

CASES = [
    *(Case(f"time, {k}", lambda f=f: in_time(f), ((30, 6, 4),), {"GL(3)": 1})
      for k, f in TIME.items()),
    *(Case(f"space, {k}", lambda f=f: in_space(f), ((8, 4, 4, 4),), {"GL(3)": 1})
      for k, f in SPACE.items()),
    Case(
        "space, sampled at places",
        lambda: in_space(lambda z: F.grid_sample(z, grid(z), align_corners=False)),
        ((8, 4, 4, 4),),
        {"GL(3)": 1},
        differentiable=False,
    ),
    Case(
        "along the features: one scale",
        lambda: in_time(lambda z: torch.fft.fft(z, dim=-1).real),
        ((30, 6, 4),),
        {"T₊(1)": 1},
        gap=None,
    ),
    Case(
        "patches of several pixels, read as a whole",
        lambda: Net(
            lambda n, x: n.b(F.unfold(n.a(x), 2, stride=2).mT),
            a=nn.Conv2d(3, 2, 1, bias=False),
            b=nn.Linear(8, 3, bias=False),
        ),
        ((8, 3, 4, 4),),
        {"GL(2)": 1},
    ),
    Case(
        "patches of several pixels, made as a whole",
        lambda: Net(
            lambda n, x: n.b(F.fold(n.a(x).mT, (4, 4), 2, stride=2)),
            a=nn.Linear(5, 8, bias=False),
            b=nn.Conv2d(2, 3, 1, bias=False),
        ),
        ((12, 4, 5),),
        {"GL(2)": 1},
    ),
    Case(
        "a layer in frequencies: real matrices pass",
        lambda: Net(
            lambda n, x: n.b(torch.fft.irfft(torch.einsum(
                "bki,kio->bko", torch.fft.rfft(n.a(x), dim=1), torch.view_as_complex(n.w)
            ), n=5, dim=1)),
            a=nn.Linear(4, 3, bias=False),
            w=nn.Parameter(torch.randn(3, 3, 2, 2)),
            b=nn.Linear(2, 4, bias=False),
        ),
        ((30, 5, 4),),
        {"GL(3)": 1, "GL(2)": 1},
        gap=6,  # the imaginary part of the constant frequency is not read
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)
