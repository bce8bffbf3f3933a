"""Targets of conserved quantities: a ResNet, GPT-2, and a plainly written equaliser."""

import itertools
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

import paramsym as ps
from benchmarks import gpt2
from benchmarks.timing import Comparison, compare


class _Block(nn.Module):
    """Two 3×3 convolutions around a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.second = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        same = n_in == n_out and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.second(self.norm1(self.first(x)).relu()))
        return (y + self.shortcut(x)).relu()


def _resnet18() -> nn.Module:
    """As in the original paper, 11.7 M parameters."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    n_in = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        for k in range(2):
            layers.append(_Block(n_in, width, 2 if stage and k == 0 else 1))
            n_in = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def _plain() -> nn.Module:
    """The same widths without norms and shortcuts, so that all layers are coupled."""
    layers: list[nn.Module] = []
    n_in = 3
    for stage, width in enumerate((64, 128, 256, 512)):
        for k in range(4):
            layers += [nn.Conv2d(n_in, width, 3, 2 if stage and k == 0 else 1, 1), nn.ReLU()]
            n_in = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {k: p.detach() for k, p in model.named_parameters()}


def _equalised(params: dict[str, Tensor], cycles: int) -> dict[str, Tensor]:
    """Equal 2-norms of what writes to a channel and what reads it, layer by layer, in cycles."""
    moved = {k: p.clone() for k, p in params.items()}
    names = [k.removesuffix(".weight") for k in moved if k.endswith(".weight")]
    for _ in range(cycles):
        for here, there in itertools.pairwise(names):
            W, b, U = moved[f"{here}.weight"], moved[f"{here}.bias"], moved[f"{there}.weight"]
            written = (W.flatten(1).square().sum(1) + b.square()).sqrt()
            read = U.transpose(0, 1).flatten(1).norm(dim=1)
            scale = (read / written).sqrt()
            W *= scale.reshape(-1, *[1] * (W.ndim - 1))
            b *= scale
            U /= scale.reshape(1, -1, *[1] * (U.ndim - 2))
    return moved


def _imbalance(symmetry: ps.Symmetry, params: dict[str, Tensor]) -> float:
    return max(float(Q.abs().max()) for Q in symmetry.conserved(params).values())


def _cycles_of(symmetry: ps.Symmetry, params: dict[str, Tensor], goal: float) -> int:
    """How many cycles the equaliser needs until no Q is larger; at most 200."""
    for cycles in (1, 2, 5, 10, 20, 50, 100, 200):
        if _imbalance(symmetry, _equalised(params, cycles)) <= goal:
            return cycles
    return 200


def run() -> Iterator[Comparison]:
    """Targets of all layers, balance of all heads, against promises in seconds and a loop."""
    torch.manual_seed(0)
    model = _resnet18()
    symmetry = ps.discover(model, (torch.randn(2, 3, 64, 64),), verify=False)
    params = _weights(model)
    target = {f.name: torch.randn(f.group.shape) for f in symmetry if _is_layer(f)}
    yield _promise(
        "random target, all layers, ResNet-18",
        lambda: ps.set_conserved(symmetry, params, target),
        0.2,
    )

    every, weights = gpt2.discovered(torch.Generator().manual_seed(0))
    yield _promise(
        "balance, GPT-2 124M, all heads and gains as discovered",
        lambda: ps.balance(every, weights),
        5.0,
        pairs=3,
    )

    model = _plain()
    chain = ps.discover(model, (torch.randn(2, 3, 16, 16),), verify=False)
    weights = _weights(model)
    goal = 2 * _imbalance(chain, ps.balance(chain, weights))
    cycles = _cycles_of(chain, weights, goal)
    yield compare(
        f"balance, 16 layers / {cycles} cycles of an L2 equaliser, to the same accuracy",
        lambda: ps.balance(chain, weights),
        lambda: _equalised(weights, cycles),
        pairs=5,
        limit=1.0,
    )
    yield compare(
        "balance, 16 layers / one cycle",
        lambda: ps.balance(chain, weights),
        lambda: _equalised(weights, 1),
        pairs=5,
        limit=None,
    )
    yield _cubic(160)


def _cubic(h: int) -> Comparison:
    """A canonical point at twice the width, against eight times that of the width."""
    times: dict[int, list[float]] = {h: [], 2 * h: []}
    for _ in range(4):
        for width, found in times.items():
            params = {"V": torch.randn(width, width + 8), "U": torch.randn(width + 8, width)}
            params = {k: p.double() for k, p in params.items()}
            ports = (
                ps.Port.along("V", (width, width + 8), 0),
                ps.Port.along("U", (width + 8, width), 1, dual=True),
            )
            family = ps.Family("V → U", ps.GeneralLinear(width), ports)
            symmetry = ps.Symmetry.of([family], params)
            start = time.perf_counter()
            ps.canonical(symmetry, params)
            found.append(time.perf_counter() - start)
    cubic = tuple(8 * t for t in times[h][1:])
    name = f"canonical point of GL({2 * h}) / 8 × GL({h})"
    return Comparison(name, tuple(times[2 * h][1:]), cubic, 1.5)


def _is_layer(family: ps.Family) -> bool:
    """Whether its scales are exact, and have both writers and readers."""
    exact = not family.exactness.as_eps_vanishes
    return exact and family.has_law and len({port.dual for port in family.ports}) == 2


def _promise(name: str, work: Callable[[], object], seconds: float, pairs: int = 7) -> Comparison:
    work()
    times = []
    for _ in range(pairs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return Comparison(f"{name} / {seconds:g} s", tuple(times), (seconds,) * pairs, 1.0)
