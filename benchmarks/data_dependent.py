"""The data-dependent action in O(h) against dense matrices and against pseudo-inverses."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.timing import Comparison, compare
from paramsym.data_dependent import QR, Cumulative, Geodesic, Householder, MovingFrame

FRAMES: dict[str, MovingFrame] = {
    "Householder": Householder(),
    "geodesic": Geodesic(),
    "Definition D.1": Cumulative(),
}
SAMPLES = 256
DENSE_SAMPLES = {32: 256, 512: 256, 4096: 2}
"""Fewer where the dense matrices would not fit in memory; ours then gets as few."""


def run() -> Iterator[Comparison]:
    """Carry one vector a sample; then move a reader by a batch of k = h/2 samples at once."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    for h, few in DENSE_SAMPLES.items():
        a, b, w = torch.sigmoid(draw(SAMPLES, h)), torch.sigmoid(draw(SAMPLES, h)), draw(SAMPLES, h)
        matrices = draw(min(few, 64), h, h)  # made for free: only R_a (R_bᵀ w) is timed

        def dense(
            matrices: Tensor = matrices, parts: tuple[Tensor, ...] = w[:few].split(len(matrices))
        ) -> None:
            for part in parts:
                _ = matrices @ (matrices.mT @ part[..., None])

        def pinv(a: Tensor = a, b: Tensor = b, w: Tensor = w) -> Tensor:
            return (w @ torch.linalg.pinv(b)) @ a

        for name, frame in FRAMES.items():
            promise = 1.0 if h > 32 else None
            for what, theirs, count in (("dense", dense, few), ("pinv", pinv, SAMPLES)):

                def ours(
                    frame: MovingFrame = frame,
                    a: Tensor = a[:count],
                    b: Tensor = b[:count],
                    w: Tensor = w[:count],
                ) -> Tensor:
                    return frame.transfer(a, b, w)

                title = f"{name}, h={h}, {count} samples / {what}"
                yield compare(title, ours, theirs, pairs=3, limit=promise)
    for h, k in ((32, 16), (512, 256)):
        z, g, U = draw(k, h), torch.eye(h, dtype=torch.float64) + 0.01 * draw(h, h), draw(10, h)

        def by_qr(z: Tensor = z, g: Tensor = g, U: Tensor = U) -> Tensor:
            return QR().reader(g, z, torch.tanh).transpose(U)

        def by_pinv(z: Tensor = z, g: Tensor = g, U: Tensor = U) -> Tensor:
            before, after = torch.tanh(z), torch.tanh(z @ g.mT)
            return (U @ before.mT) @ torch.linalg.pinv(after.mT)

        yield compare(f"batch by QR, h={h}, k={k} / pinv", by_qr, by_pinv, pairs=7, limit=None)
