"""Hessian spectra, beside `torch.autograd.functional.hessian` and LAPACK as torch calls it.

The nets are those of Figure 9: 10×50×5, 750 parameters, four scales of the start for each of four
activations. The whole figure is timed, training by plain gradient descent included, and the spectra
alone, which come from the batched analytic Hessian of `TwoLayer` or, for any loss, from
`hessian_spectrum`. Eigenvalues of a matrix are part of all times, and cost about the same.

Products of a larger Hessian are compared with those of curvlinops where that is installed. (It
requires torchvision, through backpack, and works without it: `pip install --no-deps` it and
`backpack-for-pytorch unfoldNd einconv linear_operator einops opt-einsum tqdm`.)
"""

import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.timing import Comparison, compare
from paramsym.dynamics.gradient_descent import gradient_descent
from paramsym.dynamics.two_layer import TwoLayer
from paramsym.landscape import extreme_eigenvalues, hessian, hessian_operator, hessian_spectrum
from paramsym.landscape.hessian import eigenvalues
from paramsym.nets import DigitsCNN

M, H, N = 10, 50, 5
SCALES = (0.001, 0.3, 0.6, 0.9)
LR = 0.1
STEPS = {"identity": 4000, "relu": 4000, "tanh": 4000, "sigmoid": 8000}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}

Params = dict[str, Tensor]


def run() -> Iterator[Comparison]:
    """Figure 9, its spectra alone in two ways, and the top of a convolutional net's spectrum."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    Y = draw(M, N)
    starts = [{"U": s * draw(M, H), "V": s * draw(H, N)} for s in SCALES]
    batch = {k: torch.stack([params[k] for params in starts]) for k in "UV"}

    def squares(name: str, p: Params) -> Tensor:
        return (Y - p["U"] @ FUNCTIONS[name](p["V"])).square().sum()

    def trained_plainly(name: str, params: Params) -> Params:
        """A loop that a user would write, on the mean of squares."""
        leaves = {k: p.clone().requires_grad_() for k, p in params.items()}
        optimizer = torch.optim.SGD(leaves.values(), lr=LR)
        for _ in range(STEPS[name]):
            optimizer.zero_grad()
            (squares(name, leaves) / (M * N)).backward()
            optimizer.step()
        return {k: p.detach() for k, p in leaves.items()}

    def spectrum_plainly(name: str, params: Params) -> Tensor:
        def loss(theta: Tensor) -> Tensor:
            U, V = theta[: M * H].view(M, H), theta[M * H :].view(H, N)
            return squares(name, {"U": U, "V": V})

        theta = torch.cat([params[k].flatten() for k in "UV"])
        matrix: Any = torch.autograd.functional.hessian(loss, theta)
        return torch.linalg.eigvalsh(matrix)

    def analytic(name: str, params: Params) -> list[Tensor]:
        return [eigenvalues(matrix) for matrix in TwoLayer(name, Y).hessian(params)]

    def generic(name: str) -> list[Tensor]:
        return [hessian_spectrum(lambda p: squares(name, p), params) for params in starts]

    def figure(name: str) -> list[Tensor]:
        mean, steps = TwoLayer(name, Y, scale=1 / (M * N)), STEPS[name]
        ends = gradient_descent(mean, batch, lr=LR, steps=steps, runs=len(SCALES), at=[steps])
        return analytic(name, dict(ends.params))

    yield compare(
        "Figure 9 / a loop for each run and autograd.functional",
        lambda: [figure(name) for name in FUNCTIONS],
        lambda: [
            spectrum_plainly(name, trained_plainly(name, params))
            for name in FUNCTIONS
            for params in starts
        ],
        pairs=2,
        limit=1 / 5,
        warm_up=False,
    )
    for title, ours in (
        ("TwoLayer.hessian", lambda: [analytic(name, batch) for name in FUNCTIONS]),
        ("hessian_spectrum", lambda: [generic(name) for name in FUNCTIONS]),
    ):
        yield compare(
            f"16 spectra of Figure 9, {title} / autograd.functional",
            ours,
            lambda: [spectrum_plainly(name, params) for name in FUNCTIONS for params in starts],
            pairs=3,
            limit=0.5,
        )
    yield from _large(generator)


def _large(generator: torch.Generator) -> Iterator[Comparison]:
    model = DigitsCNN(channels=(4, 8), hidden=16, dtype=torch.float64, generator=generator)
    x = torch.rand(128, 1, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(10, (128,), generator=generator)
    params = {name: p.detach() for name, p in model.named_parameters()}
    d = sum(p.numel() for p in params.values())

    def loss(p: Params) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, p, (x,)), labels)

    yield compare(
        f"largest of {d} eigenvalues / dense Hessian and eigvalsh",
        lambda: extreme_eigenvalues(loss, params),
        lambda: torch.linalg.eigvalsh(hessian(loss, params)),
        pairs=1,
        limit=0.5,
    )
    if find_spec("curvlinops") is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curvlinops: Any = __import__("curvlinops")
        theirs: Any = curvlinops.HessianLinearOperator(
            model,
            nn.CrossEntropyLoss(),
            list(model.parameters()),
            [(x, labels)],
            check_deterministic=False,
        )
    vector = torch.randn(d, generator=generator, dtype=torch.float64)
    ours = hessian_operator(loss, params)
    yield compare(
        f"product with a {d}×{d} Hessian / curvlinops",
        lambda: ours @ vector.numpy(),
        lambda: theirs @ vector,
        pairs=9,
        limit=None,
    )
