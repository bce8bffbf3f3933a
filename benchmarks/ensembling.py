"""Ensembles of 120 members on 1,000 images, and their π, against loops over members."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.timing import Comparison, compare
from paramsym.data_dependent import HiddenSpace, hidden_space
from paramsym.ensembling import Ensemble, ensemble

MEMBERS, IMAGES = 120, 1000
FEATURES = 32 * 16 * 16
SCALE = 1.0


def run() -> Iterator[Comparison]:
    """The paper's network at h = 16 and 32: evaluation, then π from images 3×32×32."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, 32, 32, generator=rng)
    for h in (16, 32):
        net = _network(h)
        space = hidden_space(net, "4", "6", (images[:8],))

        def make(
            kind: str = "pinv",
            samples: int | None = None,
            net: nn.Sequential = net,
            space: HiddenSpace = space,
        ) -> Ensemble:
            return ensemble(
                net, space, MEMBERS, SCALE, kind=kind, references=(images,), samples=samples,
                generator=torch.Generator().manual_seed(1),
            )  # fmt: skip

        members = make()
        yield from _evaluating(net, members, images, h)
        yield from _making(net, members, images, h, make)


def _network(h: int) -> nn.Sequential:
    torch.manual_seed(0)
    front = [nn.Conv2d(3, 32, 3, padding=1), nn.LeakyReLU(), nn.MaxPool2d(2), nn.Flatten()]
    back = [nn.Linear(FEATURES, h), nn.LeakyReLU(0.1), nn.Linear(h, 10)]
    return nn.Sequential(*front, *back).eval().requires_grad_(False)


def _evaluating(
    net: nn.Sequential, members: Ensemble, images: Tensor, h: int
) -> Iterator[Comparison]:
    moved = [members.member(i) for i in range(MEMBERS)]
    elements = [g.float() for g in members.get_buffer("moves.g")]
    readers = [(p["6.weight"], p["6.bias"]) for p in moved]

    def ours() -> Tensor:
        return members(images)

    def hidden_once() -> Tensor:
        """The fastest loop: what is in front of the members is run once.

        On all images: what ours gains most by is that it runs it on few images at a time.
        """
        z = net[:5](images)
        loop = zip(elements, readers, strict=True)
        return torch.stack([nn.functional.linear(net[5](z @ g.mT), *U) for g, U in loop])

    def whole() -> Tensor:
        """The plain loop, over the first twelve members."""
        few = (torch.func.functional_call(net, p, (images,)) for p in moved[:12])
        return torch.stack(list(few))

    title = f"{MEMBERS} members, {IMAGES} images, h={h}"
    yield compare(f"{title} / loop behind z", ours, hidden_once, pairs=5, limit=1.0)
    yield compare(f"{title} / loop, 12 members", ours, whole, pairs=3, limit=0.5)
    # The same without the images' own part: the members alone.
    z = net[:5](images)
    head = nn.Sequential(nn.Linear(h, h), net[5], net[6]).eval().requires_grad_(False)
    small = ensemble(
        head, hidden_space(head, "0", "2", (z,)), MEMBERS, SCALE, references=(z,),
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    each = [small.member(i) for i in range(MEMBERS)]

    def alone() -> Tensor:
        return torch.stack([torch.func.functional_call(head, p, (z,)) for p in each])

    yield compare(
        f"{title}, hidden states given / loop", lambda: small(z), alone, pairs=7, limit=1.0
    )


def _making(
    net: nn.Sequential, members: Ensemble, images: Tensor, h: int, make: Callable[..., Ensemble]
) -> Iterator[Comparison]:
    elements, index = members.get_buffer("moves.g"), members.references
    assert index is not None

    def matrix(g: Tensor, z: Tensor) -> Tensor:
        before, after = net[5](z), net[5](z @ g.mT)
        return torch.linalg.pinv(after, rcond=1e-15) @ before

    def from_images() -> list[Tensor]:
        """The plain loop: hidden states of each member's references."""
        loop = zip(elements, index, strict=True)
        return [matrix(g, net[:5](images[chosen]).double()) for g, chosen in loop]

    def from_pool() -> list[Tensor]:
        """The same with the hidden states of the pool computed once."""
        z = net[:5](images).double()
        return [matrix(g, z[chosen]) for g, chosen in zip(elements, index, strict=True)]

    title = f"π of {MEMBERS} members, h=k={h}"
    yield compare(f"{title} / loop from images", make, from_images, pairs=3, limit=1.0)
    yield compare(f"{title} / loop from z", make, from_pool, pairs=3, limit=1.0)
    yield compare(f"{title}, QR / loop from z", lambda: make("qr"), from_pool, pairs=3, limit=None)
    few = h // 2
    yield compare(
        f"{title}, k={few}, QR / loop from z", lambda: make("qr", few), from_pool,
        pairs=3, limit=None,
    )  # fmt: skip
