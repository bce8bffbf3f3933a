"""Ops that move entries: families follow coordinates wherever they go."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.cases import Case, check
from tests.discover.checking import Net

N = 6


def around(view: Callable[[Tensor], Tensor], width: int = N, *, relu: bool = False) -> nn.Module:
    """Linear 7 → 6, the view, linear `width` → 6."""

    def run(net: Net, x: Tensor) -> Tensor:
        z = net.a(x)
        return net.b(view(F.leaky_relu(z, 0.1) if relu else z))

    return Net(run, a=nn.Linear(7, N, bias=False), b=nn.Linear(width, N, bias=False))


def permuted(z: Tensor) -> Tensor:
    return z[:, torch.tensor([3, 1, 5, 0, 2, 4])]


SAME: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("view", lambda z: z.view(-1, 2, 3).view(-1, N)),
    ("reshape", lambda z: z.reshape(-1, 3, 2).reshape(-1, N)),
    ("flatten and unflatten", lambda z: z.unflatten(-1, (2, 3)).flatten(1)),
    ("transposed inside", lambda z: z.view(-1, 2, 3).transpose(1, 2).reshape(-1, N)),
    ("permuted inside", lambda z: z.view(-1, 1, 2, 3).permute(0, 3, 1, 2).flatten(1)),
    ("moved and swapped axes", lambda z: z.view(-1, 2, 3).movedim(1, 2).swapaxes(1, 2).flatten(1)),
    ("mT", lambda z: z.view(-1, 2, 3).mT.flatten(1)),
    ("T twice", lambda z: z.T.T),
    ("adjoint twice", lambda z: z.adjoint().adjoint()),
    ("flipped", lambda z: z.flip(-1)),
    ("rolled", lambda z: z.roll(2, -1)),
    ("unsqueezed and squeezed", lambda z: z[:, None].squeeze(1)),
    ("expanded and read once", lambda z: z[:, None].expand(-1, 4, -1)[:, 2]),
    ("split and put together", lambda z: torch.cat(z.split([1, 2, 3], -1), -1)),
    ("chunks put together", lambda z: torch.cat(z.chunk(3, -1)[::-1], -1)),
    ("tensor_split", lambda z: torch.cat(z.tensor_split(3, -1), -1)),
    ("hsplit", lambda z: torch.cat(torch.hsplit(z, 2), -1)),
    ("unbound and stacked", lambda z: torch.stack(z.unbind(-1), -1)),
    ("slices put together", lambda z: torch.cat([z[:, ::2], z[:, 1::2]], -1)),
    ("narrowed", lambda z: torch.cat([z.narrow(-1, 3, 3), z.narrow(-1, 0, 3)], -1)),
    ("selected by a constant index", permuted),
    ("index_select", lambda z: z.index_select(-1, torch.tensor([5, 4, 3, 2, 1, 0]))),
    ("padded and cropped", lambda z: F.pad(z, (2, 1))[:, 2:-1]),
    ("contiguous clone", lambda z: z.clone().contiguous()),
    ("rearranged by einsum", lambda z: torch.einsum("bi->ib", z).t()),
    ("reshaped as another", lambda z: z.view_as(torch.ones_like(z))),
    ("ravelled", lambda z: z.ravel().view(-1, N)),
]

CASES = [
    *(Case(name, lambda f=f: around(f), ((40, 7),), {f"GL({N})": 1}) for name, f in SAME),
    *(
        Case(f"leaky relu, {name}", lambda f=f: around(f, relu=True), ((60, 7),), {f"T₊({N})": 1})
        for name, f in SAME[:5]
    ),
    Case(
        "half is read: of the rows that nothing reads, GL(3) moves a part",
        lambda: around(lambda z: z[:, :3], 3),
        ((60, 7),),
        {"GL(3)": 2},
        gap=3 * 7 - 9,
    ),
    Case(
        "halves in other roles",
        lambda: around(lambda z: torch.cat([z[:, :2], torch.relu(z[:, 2:])], -1)),
        ((60, 7),),
        {"GL(2)": 1, "T₊(4)": 1},
    ),
    Case(
        "repeated coordinates: one space, read twice",
        lambda: around(lambda z: z.repeat(1, 2), 2 * N),
        ((60, 7),),
        {f"GL({N})": 1},
        gap=N * N,
    ),
    Case(
        "each coordinate twice",
        lambda: around(lambda z: z.repeat_interleave(2, -1), 2 * N),
        ((60, 7),),
        {f"GL({N})": 1},
        gap=N * N,
    ),
    Case(
        "pixels to channels",
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 1, bias=False), nn.PixelUnshuffle(2), nn.Conv2d(12, 3, 1, bias=False)
        ),
        ((30, 2, 4, 4),),
        {"GL(3)": 1},
        gap=None,
    ),
    Case(
        "channels to pixels: of GL(2), which acts on four pixels alike, the scales",
        lambda: nn.Sequential(
            nn.Conv2d(5, 8, 1, bias=False), nn.PixelShuffle(2), nn.Conv2d(2, 3, 1, bias=False)
        ),
        ((20, 5, 3, 3),),
        {"T₊(2)": 1},
        gap=2,
    ),
    Case(
        "shuffled channels",
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.LeakyReLU(), nn.ChannelShuffle(2), nn.Conv2d(4, 3, 1, groups=1)
        ),
        ((12, 2, 5, 5),),
        {"T₊(4)": 1},
    ),
    Case(
        "heads: a space for each, scores within",
        lambda: Net(
            lambda n, x: (
                n.q(x).view(-1, 3, 2).transpose(0, 1) @ n.k(x).view(-1, 3, 2).permute(1, 2, 0)
            ),
            q=nn.Linear(5, 6, bias=False),
            k=nn.Linear(5, 6, bias=False),
        ),
        ((10, 5),),
        {"GL(2) × 3": 1},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(("name", "view"), SAME[:-3], ids=[name for name, _ in SAME[:-3]])
def test_rows_follow(name: str, view: Callable[[Tensor], Tensor]) -> None:
    """Coordinate i of the writer is read where the view puts it."""
    (family,) = check(Case(name, lambda: around(view), ((40, 7),), {f"GL({N})": 1})).families
    landed = view(torch.arange(N)[None].double())[0].long().tolist()
    reader = next(port for port in family.ports if port.dual)
    assert [landed[row] for row in reader.index[0, :, 0].tolist()] == list(range(N))
