"""Q at initialisation, Figures 4 and 5 at paper scale, beside a loop over draws.

The loop draws U and V of every network by `torch.randn`, as float32, and computes Q by the paper's
formula as it is printed, or by sums of squares. Ours draws the numbers of all networks of a figure
at once: 40 million instead of 150 million, because shapes and activations share them. At one thread
most of our time is the generator's, whose own time for the same numbers is the last row.
"""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.timing import Comparison, compare
from paramsym.experiments.experiment import Settings
from paramsym.experiments.figures.fig4 import layers
from paramsym.experiments.figures.fig5 import FIG5
from paramsym.experiments.measuring.initialisation import DRAWS, SHAPES, WIDTH, draw

POTENTIALS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: torch.relu(x) ** 2 / 2,
    "tanh": lambda x: torch.sinh(x) ** 2 / 2,
    "sigmoid": lambda x: x + torch.exp(x) - 1,
}

TASKS = [task for task in FIG5.tasks(Settings("paper", 1)) if task.compute is draw]


def ours(executor: ThreadPoolExecutor | None = None) -> None:
    """All draws of both figures, task after task or side by side."""
    folder = Path(tempfile.gettempdir())
    each = map if executor is None else executor.map
    list(each(lambda task: draw(task.settings, folder), TASKS))


def loop(upper: Callable[[Tensor], Tensor], lower: Callable[[Tensor], Tensor]) -> list[float]:
    """Draw after draw; `upper` gives Tr[UᵀU] and `lower` Tr[VVᵀ]."""
    found: list[float] = []
    for i in range(len(SHAPES)):
        m, h, n = layers(i)
        for _ in range(DRAWS):
            U, V = torch.randn(m, h) / h**0.5, torch.randn(h, n) / n**0.5
            found.append((upper(U) - lower(V)).item())
    for potential in POTENTIALS.values():
        for _ in range(DRAWS):
            U, V = (torch.randn(WIDTH, WIDTH) / WIDTH**0.5 for _ in range(2))
            found.append((upper(U) / 2 - potential(V).sum()).item())
    return found


def as_printed() -> None:
    """Eq. (50) and (53): traces of products."""
    loop(lambda U: torch.trace(U.T @ U), lambda V: torch.trace(V @ V.T))


def as_sums() -> None:
    """The same numbers, as a careful reader writes them."""
    loop(lambda U: (U**2).sum(), lambda V: (V**2).sum())


def numbers() -> None:
    """Nothing but the random numbers of ours."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(DRAWS // 4):
        torch.randn(4, 4, WIDTH, WIDTH, generator=generator)


def run() -> Iterator[Comparison]:
    """One thread throughout, but for the row that says otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        what = "Figures 4 and 5, 1000 draws"
        yield compare(f"{what} / loop, Q as printed", ours, as_printed, pairs=7, limit=0.2)
        yield compare(f"{what} / loop, sums of squares", ours, as_sums, pairs=7, limit=None)
        with ThreadPoolExecutor(2) as executor:
            name = f"{what}, two workers / loop, sums of squares"
            yield compare(name, lambda: ours(executor), as_sums, pairs=7, limit=None)
        yield compare(f"{what} / their random numbers alone", ours, numbers, pairs=7, limit=None)
    finally:
        torch.set_num_threads(threads)
