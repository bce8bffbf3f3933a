"""The demo's figures: weights before and after, the paths, the law, the drift."""

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from paramsym.demo.drift import Drift
from paramsym.demo.moving import Move
from paramsym.demo.training import Training
from paramsym.report.style import BLUE, CYAN, FAINT, INK, RED, WIDTH, figure_style

DIVERGING = "RdBu_r"
_FLOOR = 1e-17


def weights(move: Move, images: Tensor) -> Figure:
    """Three weight tensors and the outputs, before the move and after it.

    Args:
        move: What was done.
        images: The test images, of which the first sixteen are shown.
    """
    columns = [
        ("conv1: 3×3 filters", lambda p: _filters(p["conv1.weight"])),
        ("bottleneck: 8×32", lambda p: p["bottleneck.weight"].numpy()),
        ("head: 10×8", lambda p: p["head.weight"].numpy()),
    ]
    with figure_style():
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        grid = figure.subplots(2, 4, gridspec_kw={"width_ratios": [1.55, 2.1, 0.85, 1.3]})
        for column, (title, picture) in enumerate(columns):
            pair = [picture(move.before), picture(move.after)]
            limit = float(np.nanquantile(np.abs(np.concatenate([p.ravel() for p in pair])), 0.97))
            for row in range(2):
                _show(grid[row, column], pair[row], limit, title if row == 0 else "")
        outputs = [move.outputs_before[:16].numpy(), move.outputs_after[:16].numpy()]
        limit = float(np.abs(outputs[0]).max())
        for row in range(2):
            title = "outputs: 16 images"
            _show(grid[row, 3], outputs[row], limit, title if row == 0 else "")
        for row, name in enumerate(["trained network θ", "moved network gθ"]):
            grid[row, 0].set_ylabel(name, fontsize=9, labelpad=8)
    return figure


def paths(move: Move) -> Figure:
    """Change of the outputs and accuracy, along the orbit and along a straight line."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
        change, accuracy = figure.subplots(1, 2)
        orbit, line = move.orbit, move.straight
        label = "distance from the trained parameters, ‖θ′ − θ‖ / ‖θ‖"
        change.semilogy(line.distance, line.change, color=RED)
        change.semilogy(orbit.distance, orbit.change_float32, color=CYAN)
        change.semilogy(orbit.distance, orbit.change.clamp(min=_FLOOR), color=BLUE)
        change.set(xlabel=label, ylim=(1e-17, 1e3), xlim=(0, None))
        change.set_title("relative change of the outputs")
        _write(change, 0.97, 2.5 * float(line.change[-1]), "random straight line", RED)
        _write(change, 0.97, 5e-6, "along the orbit, float32", CYAN)
        _write(change, 0.97, 2e-14, "along the orbit, float64", BLUE)
        start = torch.tensor([move.accuracy_before])
        zero = torch.zeros(1)
        for path, color in ((line, RED), (orbit, BLUE)):
            x = torch.cat([zero, path.distance])
            accuracy.plot(x, 100 * torch.cat([start, path.accuracy]), color=color)
        accuracy.axhline(10, color=FAINT, linewidth=0.7, linestyle=(0, (4, 3)))
        accuracy.set(xlabel=label, ylim=(0, 105), xlim=(0, None))
        accuracy.set_title("test accuracy (%)")
        _write(accuracy, 0.97, 100 * move.accuracy_before - 7, "along the orbit", BLUE)
        _write(accuracy, 0.97, 27, "random straight line", RED)
        _write(accuracy, 0.97, 3, "guessing", FAINT)
    return figure


def law(training: Training, family: str) -> Figure:
    """One family's quantities through training beside the law, and their distance from it.

    Args:
        training: A run.
        family: A family of scalings, one quantity a coordinate.
    """
    measured, predicted = training.measured[family], training.predicted[family]
    time = training.time
    marks = torch.linspace(0, len(time) - 1, 12).round().long()
    with figure_style():
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        curves, gaps = figure.subplots(1, 2)
        colors = mpl.colormaps["viridis"](np.linspace(0.3, 0.85, measured.shape[1]))
        for Q, law, color in zip(measured.T, predicted.T, colors, strict=True):
            curves.plot(time, Q, color=color, linewidth=1.2)
            curves.plot(time[marks], law[marks], ".", color=INK, markersize=3.5)
        curves.set(xlabel="training time, η × steps", xlim=(0, None))
        curves.set_title(f"Q of each channel, {family} (dots: law)")
        drift, residual = training.drift()[1:], training.residual()[1:]
        gaps.loglog(time[1:], drift, color=RED)
        gaps.loglog(time[1:], residual.clamp(min=_FLOOR), color=BLUE, linewidth=1)
        gaps.set(xlabel="training time, η × steps", ylim=(1e-17, 10), xlim=(float(time[1]), None))
        gaps.set_title(f"all {_count(training)} quantities together, relative")
        _write(gaps, 0.97, float(drift[-1]) / 300, "drift from the start", RED)
        _write(gaps, 0.97, 1e-13, "distance from the law", BLUE)
    return figure


def drifts(results: list[Drift]) -> Figure:
    """Drift in equal training time against the learning rate, for every optimizer."""
    with figure_style():
        figure = Figure(figsize=(0.72 * WIDTH, 2.9), layout="constrained")
        axes = figure.subplots()
        for result, color in zip(results, (BLUE, RED), strict=False):
            for drift in result.drift:
                axes.loglog(result.rates, drift, color=color, linewidth=0.6, alpha=0.45)
            mean = result.drift.log().mean(0).exp()
            axes.loglog(result.rates, mean, "o-", color=color, markersize=4)
            place = (float(result.rates[0]), float(mean[0]))
            _beside(axes, place, (7, 0), result.optimizer, color)
        rates, drift = results[0].rates, results[0].drift
        guide = 0.5 * drift.min() * rates / rates[-1]
        axes.loglog(rates, guide, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
        _beside(axes, (float(rates[0]), float(guide[0])), (7, 0), "∝ η", FAINT)
        axes.set(xlabel="learning rate η", ylabel="relative drift ‖Q(T) − Q(0)‖ / ‖Q(0)‖")
        ticks = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02]
        axes.set_xticks(ticks, [f"{rate:g}" for rate in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", which="minor", length=0)
        axes.margins(x=0.08)
    return figure


def _beside(
    axes: Axes, place: tuple[float, float], offset: tuple[float, float], text: str, color: str
) -> None:
    """A label beside a point of the axes."""
    axes.annotate(
        text, place, offset, textcoords="offset points", color=color, fontsize=8, va="center"
    )


def _filters(weight: Tensor) -> np.ndarray:
    """Filters `[8, 1, 3, 3]` as a 2×4 mosaic with gaps."""
    rows, columns = 2, len(weight) // 2
    mosaic = np.full((rows * 4 - 1, columns * 4 - 1), np.nan)
    for k, kernel in enumerate(weight[:, 0].numpy()):
        i, j = divmod(k, columns)
        mosaic[4 * i : 4 * i + 3, 4 * j : 4 * j + 3] = kernel
    return mosaic


def _show(axes: Axes, picture: np.ndarray, limit: float, title: str) -> None:
    axes.imshow(
        picture, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest", aspect="auto"
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(title, fontsize=8)


def _write(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    """A label inside the axes, right-aligned at the fraction x of the width and the value y."""
    axes.text(x, y, text, color=color, ha="right", fontsize=8, transform=axes.get_yaxis_transform())


def _count(training: Training) -> int:
    return sum(
        Q[0].numel() if Q.ndim == 2 else Q.shape[-1] * (Q.shape[-1] + 1) // 2
        for Q in training.measured.values()
    )
