"""Draws of two-layer networks at initialisation, and their conserved quantities (Appendix F).

A draw is four blocks of w×w independent standard normal numbers, from which every network of
Figures 4 and 5 is built: a layer of shape (w, 2w) has two blocks, one of shape (w, w) has one. Each
figure so has independent draws of each of its networks, as if the networks were drawn one by one;
networks of different shapes or activations share numbers, which makes comparisons between them
sharper. The linear network that Figure 5 is compared with has blocks that its others do not.

Normal numbers are float32, which moves Q by less than 10⁻⁴ of its standard deviation, and sums over
blocks are float64.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paramsym.experiments.experiment import Arrays, Finished, Settings, Task

SHAPES = ((1, 1, 1), (1, 2, 1), (2, 1, 1))
"""(m, h, n) of Figure 4, in units of w = 100."""

ACTIVATIONS = ("relu", "tanh", "sigmoid")
"""Those of Figure 5, at m = h = n = w."""

WIDTH = 100
DRAWS = 1000
PARTS = 2
"""Tasks that share the draws of one seed."""

_TOGETHER = 4
"""Draws in one pass, so that they stay in the cache."""


def tasks(settings: Settings) -> list[Task]:
    """The draws of all seeds; Figures 4 and 5 have these tasks in common."""
    return [
        Task(
            f"{DRAWS // PARTS} networks, seed {seed}, part {part + 1} of {PARTS}",
            draw,
            {"seed": seed, "part": part, "draws": DRAWS // PARTS, "width": WIDTH},
        )
        for seed in settings.repetitions
        for part in range(PARTS)
    ]


def blocks(settings: Mapping[str, Any], generator: torch.Generator, count: int) -> Tensor:
    """The next `count` draws, `[count, 4, w, w]`: two blocks for U and two for V."""
    width = settings["width"]
    return torch.randn(count, 4, width, width, generator=generator)


def source(settings: Mapping[str, Any]) -> torch.Generator:
    """The random numbers of one task."""
    entropy = np.random.SeedSequence((settings["seed"], settings["part"]))
    return torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint32)[0]))


def draw(settings: Mapping[str, Any], folder: Path) -> Arrays:
    """Conserved quantities of `settings["draws"]` networks D of each kind, all float64.

    Returns:
        `fan_in` and `glorot`, `[D, 3]`: Tr[UᵀU − VVᵀ] of the linear networks of `SHAPES`, for
        entries of variance 1/fan_in (eq. (51)) and 2/(fan_in + fan_out) (Glorot and Bengio).
        `linear`, `[D]`: eq. (50), with its ½, of a linear network of width w.
        `upper`, `[D]`, and `lower`, `[D, 3]`: ½Tr[UᵀU] and Σ Φ(V_aj), whose difference is eq. (53),
        for `ACTIVATIONS`, with variance 1/fan_in.
    """
    generator, width, total = source(settings), settings["width"], settings["draws"]
    squares, lower = torch.empty(total, 4).double(), torch.empty(total, len(ACTIVATIONS)).double()
    for start in range(0, total, _TOGETHER):
        z = blocks(settings, generator, min(_TOGETHER, total - start))
        done = slice(start, start + len(z))
        squares[done] = _squares(z.flatten(0, 1)).view(-1, 4)
        lower[done] = torch.stack(_potentials(z[:, 2] / width**0.5), dim=1)
    return {
        "fan_in": _traces(squares, width, lambda fan_in, fan_out: 1 / fan_in),
        "glorot": _traces(squares, width, lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        "linear": (squares[:, 1] - squares[:, 3]) / (2 * width),
        "upper": squares[:, 0] / (2 * width),
        "lower": lower,
    }


def _potentials(V: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Σ Φ(V_aj) of each of `ACTIVATIONS`, for matrices `[count, w, w]`, with one exponential.

    They are ½v₊², ½sinh²v and v + eᵛ − 1, as `paramsym.laws.potentials` has them one by one.
    """
    growth = torch.expm1(V)
    sigmoid = (V + growth).sum((1, 2), dtype=torch.float64)
    twice_sinh = growth + growth / (growth + 1)
    return _squares(V.clamp(min=0)) / 2, _squares(twice_sinh) / 8, sigmoid


def _squares(matrices: Tensor) -> Tensor:
    """Sum of squares of each matrix: float32 within some rows, float64 over them."""
    count, width, _ = matrices.shape
    rows = matrices.view(count, -1, 10 * width if width % 10 == 0 else width)
    return torch.linalg.vecdot(rows, rows).sum(-1, dtype=torch.float64)


def _traces(squares: Tensor, width: int, variance: Any) -> Tensor:
    """Tr[UᵀU − VVᵀ] for `SHAPES`, from the sums of squares of the blocks."""
    return torch.stack(
        [
            variance(width * h, width * m) * squares[:, : m * h].sum(1)
            - variance(width * n, width * h) * squares[:, 2 : 2 + h * n].sum(1)
            for m, h, n in SHAPES
        ],
        dim=1,
    )


def joined(results: Sequence[Finished]) -> dict[str, Tensor]:
    """The arrays of all draws, of all tasks that are draws."""
    found = [result for result in results if result.task.compute is draw]
    return {name: torch.cat([r[name] for r in found]) for name in found[0].arrays}
