"""The figure of q-reach: draws and orbits above, training below."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from paramsym.experiments.measuring.initialisers import INITIALISERS
from paramsym.experiments.measuring.reached_q import allowed, central
from paramsym.experiments.measuring.training_from_q import STARTS, FromQ
from paramsym.report.style import (
    BLUE,
    CYAN,
    FAINT,
    GREEN,
    INK,
    PURPLE,
    RED,
    WIDTH,
    YELLOW,
    figure_style,
)

Widths = tuple[int, int, int]


@final
@dataclass(frozen=True, eq=False)
class Reach:
    """Draws of all initialisers, and targets that were asked for.

    Attributes:
        draws: By initialiser and (n, h, m), `drawn`'s arrays with the seeds in front.
        moved: Targets of neurons, `moved`'s arrays with the seeds in front.
        asked: Targets of a linear space, `asked`'s arrays with the seeds in front.
        ranks: (n, h, m) of the linear network whose inertias are counted.
    """

    draws: Mapping[tuple[str, Widths], Mapping[str, Tensor]]
    moved: Mapping[str, Tensor]
    asked: Mapping[str, Tensor]
    ranks: Widths

    @property
    def widths(self) -> list[int]:
        """w of the networks of widths (w, 2w, w/2)."""
        return sorted({widths[0] for _, widths in self.draws if widths != self.ranks})

    def at(self, name: str, width: int) -> Mapping[str, Tensor]:
        """The draws of an initialiser at one width."""
        return self.draws[name, (width, 2 * width, width // 2)]

    def relative_spread(self, name: str, width: int) -> Tensor:
        """Standard deviation of a neuron's Q over the mean size of its terms, `[seeds]`."""
        found = self.at(name, width)
        return found["square"].mean(1).sqrt() / found["size"].mean(1)


CAPTION = (
    "(a) Where the neurons of ReLU networks of widths (w, 2w, w/2) lie on their orbits, along "
    "which s takes every real value: the middle 95 % (thin) and half (thick) of each initialiser "
    "at three widths, and points that were asked for and reached. (b) Standard deviation of Q over "
    "the size of its terms, measured (dots) and predicted (lines). (c) Numbers of positive and "
    "negative eigenvalues of Q of a linear network: those that the orbit has (shaded), targets "
    "that were reached or refused, and where initialisers put it. (d, e) One function, trained on "
    "digits from several points of its orbit: training loss and test accuracy at the end, at each "
    "start's best learning rate; medians and ranges over seeds, dashed as drawn."
)
_COLORS = dict(zip(INITIALISERS, (BLUE, CYAN, RED, GREEN, YELLOW, PURPLE), strict=True))
_OPTIMISERS = {"sgd": ("SGD", BLUE), "adam": ("Adam", RED)}


def draw(reach: Reach, trained: Sequence[FromQ]) -> Figure:
    """One panel over the width of the page, and two rows of two."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 7.8), layout="constrained")
        grid = figure.add_gridspec(3, 1, height_ratios=(1.2, 1, 0.9))
        above, middle, below = (figure.add_subfigure(grid[i]) for i in range(3))
        _places(above.subplots(), reach)
        left, right = middle.subplots(1, 2)
        _spreads(left, reach)
        _inertias(right, reach)
        left, right = below.subplots(1, 2)
        _curve(left, trained, "loss")
        _curve(right, trained, "accuracy")
    return figure


def _places(axis: Axes, reach: Reach) -> None:
    widths = reach.widths[:3]
    shades = (0.35, 0.6, 1.0)
    for row, name in enumerate(INITIALISERS):
        for k, width in enumerate(widths):
            values = reach.at(name, width)["imbalance"]
            y = row + 0.29 * (k - 1)
            for share, size in ((0.95, 1.2), (0.5, 3.4)):
                axis.plot(
                    central(values, share), (y, y), color=_COLORS[name], lw=size,
                    alpha=shades[k], solid_capstyle="butt",
                )  # fmt: skip
            if row == 0:
                end = central(values, 0.95)[1]
                axis.text(end + 0.12, y, f"w = {width}", fontsize=6, va="center", color=FAINT)
        axis.axhline(row + 0.5, color=FAINT, lw=0.3)
    count = len(INITIALISERS)
    chosen = reach.moved["imbalance"].flatten()[::7]
    axis.plot(chosen, torch.full_like(chosen, count), "|", color=INK, ms=7, mew=0.4)
    axis.set_yticks(
        range(count + 1), [*(i.label for i in INITIALISERS.values()), "chosen, and reached"]
    )
    axis.set(ylim=(count + 0.5, -0.5), xlabel="s = ½ log(writers² / readers²)  of a neuron")
    axis.set_title("(a) places of neurons on their orbits; the orbit is the whole line")
    axis.tick_params(axis="y", length=0)


def _spreads(axis: Axes, reach: Reach) -> None:
    for name, initialiser in INITIALISERS.items():
        own = [reach.relative_spread(name, w) for w in reach.widths]
        axis.plot(reach.widths, [float(s.mean()) for s in own], "o", ms=3.5, color=_COLORS[name])
        expected = [initialiser.moments(w, 2 * w, w // 2).relative_spread for w in reach.widths]
        axis.plot(reach.widths, expected, color=_COLORS[name], lw=0.9, label=initialiser.label)
    axis.set(xscale="log", yscale="log", xlabel="width w", ylabel="std of Q / size of its terms")
    axis.set_xticks(reach.widths, [str(w) for w in reach.widths])
    axis.minorticks_off()
    low, high = axis.get_ylim()
    axis.set_ylim(low / 3.2, high)
    axis.set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
    axis.legend(fontsize=6.5, loc="lower left", ncols=2, columnspacing=1.0, handlelength=1.4)
    axis.set_title("(b) spread of Q over its size")


def _inertias(axis: Axes, reach: Reach) -> None:
    n, h, m = reach.ranks
    inside = [(p, q) for p in range(h + 1) for q in range(h + 1 - p) if allowed(p, q, reach.ranks)]
    axis.plot(*zip(*inside, strict=True), "s", color=FAINT, alpha=0.22, ms=3.6, mew=0)
    reached = reach.asked["inertia"][0][reach.asked["reached"].amin(0) > 0]
    axis.plot(reached[:, 0], reached[:, 1], "+", color=INK, ms=4.5, mew=0.8, label="reached")
    refused = reach.asked["inertia"][0][reach.asked["reached"].amax(0) == 0]
    axis.plot(refused[:, 0], refused[:, 1], "x", color=FAINT, ms=3, mew=0.6, label="refused")
    for k, (name, initialiser) in enumerate(INITIALISERS.items()):
        seen = reach.draws[name, reach.ranks]["inertia"].flatten(0, 1)
        # Six points at one place: as a hexagon around it.
        angle = 2 * math.pi * k / len(INITIALISERS)
        axis.plot(
            seen[:, 0] + 0.55 * math.cos(angle), seen[:, 1] + 0.55 * math.sin(angle), "o",
            color=_COLORS[name], ms=3, mew=0, label=initialiser.label,
        )  # fmt: skip
    axis.set(xlabel="positive eigenvalues of Q", ylabel="negative", xlim=(-1, h + 1))
    axis.set_ylim(-1, h + 1)
    axis.legend(fontsize=6.5, loc="upper right", handletextpad=0.3, borderpad=0)
    axis.set_title(f"(c) inertia of Q, linear, widths {n}, {h}, {m}")


def _curve(axis: Axes, trained: Sequence[FromQ], what: str) -> None:
    for own in trained:
        label, color = _OPTIMISERS[own.optimiser]
        values = own.best(own.loss if what == "loss" else 100 * own.accuracy)
        low, middle, high = values.amin(0), values.median(0).values, values.amax(0)
        axis.fill_between(STARTS, low[:-1], high[:-1], color=color, alpha=0.15, lw=0)
        axis.plot(STARTS, middle[:-1], "o-", ms=3, color=color, label=label)
        axis.axhline(float(middle[-1]), color=color, lw=0.8, ls=(0, (4, 3)))
    axis.set_xlabel("s of every neuron at the start")
    if what == "loss":
        axis.set(yscale="log", ylabel="training loss")
        axis.set_title("(d) one function, several Q: training")
    else:
        axis.set_ylabel("test accuracy, %")
        axis.set_title("(e) … and generalisation")
    axis.legend(fontsize=7)
