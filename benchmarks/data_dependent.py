"""The data-dependent action in O(h) against dense matrices and against pseudo-inverses."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.timing import Comparison, compare
from paramsym.data_dependent import QR, Cumulative, Geodesic, Householder, MovingFrame

SAMPLES = 256
FRAMES: dict[str, MovingFrame] = {
    "Householder": Householder(),
    "geodesic": Geodesic(),
    "Definition D.1": Cumulative(),
}


def run() -> Iterator[Comparison]:
    """Carry one vector a sample, for 256 samples; then a batch of k = h/2 samples at once."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    for h in (32, 512):
        a, b, w = torch.sigmoid(draw(SAMPLES, h)), torch.sigmoid(draw(SAMPLES, h)), draw(SAMPLES, h)
        # The dense products get their matrices for free: only R_a (R_bᵀ w) is timed.
        dense = [torch.rand(64, h, h, generator=generator, dtype=torch.float64) for _ in range(2)]

        def products(dense: list[Tensor] = dense, w: Tensor = w) -> None:
            for part in w.split(64):
                _ = dense[0] @ (dense[1].mT @ part[..., None])

        def pinv(a: Tensor = a, b: Tensor = b, w: Tensor = w) -> Tensor:
            return (w @ torch.linalg.pinv(b)) @ a

        for name, frame in FRAMES.items():

            def ours(
                frame: MovingFrame = frame, a: Tensor = a, b: Tensor = b, w: Tensor = w
            ) -> Tensor:
                return frame.transfer(a, b, w)

            yield compare(f"{name}, h={h} / dense", ours, products, pairs=5, limit=1.0)
            yield compare(f"{name}, h={h} / pinv", ours, pinv, pairs=3, limit=1.0)
    for h, k in ((32, 16), (512, 256)):
        z, g = draw(k, h), torch.eye(h, dtype=torch.float64) + 0.01 * draw(h, h)
        U = draw(10, h)

        def by_qr(z: Tensor = z, g: Tensor = g, U: Tensor = U) -> Tensor:
            return QR().reader(g, z, torch.tanh).transpose(U)

        def by_pinv(z: Tensor = z, g: Tensor = g, U: Tensor = U) -> Tensor:
            before, after = torch.tanh(z), torch.tanh(z @ g.mT)
            return (U @ before.mT) @ torch.linalg.pinv(after.mT)

        yield compare(f"batch by QR, h={h} k={k} / pinv", by_qr, by_pinv, pairs=7, limit=None)
