"""Figure 10: accuracy of ensembles made by group actions, and of four baselines."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from paramsym.experiments.experiment import (
    Drawing,
    Experiment,
    Finding,
    Finished,
    Scale,
    Settings,
    Summary,
    Table,
    Task,
)
from paramsym.experiments.figures.curves import row_table
from paramsym.experiments.measuring.ensemble_comparison import (
    ACTIONS,
    BASELINES,
    GROUP,
    KINDS,
    Comparison,
    compare,
    comparison_of,
)
from paramsym.experiments.measuring.image_models import Training
from paramsym.experiments.measuring.intervals import above_zero, each_of, mean_interval, within
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
from paramsym.robustness import paired_difference

MEMBERS: Mapping[Scale, tuple[int, ...]] = {
    "paper": (10, 20, 40, 60, 80, 100, 120),
    "quick": (10, 20, 40, 60),
}
SCALES = (20.0, 10.0, 1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4)
"""ε: the paper's, and 0.3 and 0.03 between them."""
HIDDEN: Mapping[Scale, int] = {"paper": 32, "quick": 16}
ACTIVATION = "leaky_square"

SMALL = 0.01
"""ε is small up to this, in the paper's figure."""
KEPT = 0.01
"""An accuracy is preserved if it changes by less than a percentage point."""

UNCHANGED = 0.05
"""A loss is approximately unchanged if it changes by less than this share."""

REFERENCE = "Appendix I, Figure 10"


def tasks(settings: Settings) -> list[Task]:
    """One task a seed: train once, and try everything on that network."""
    hidden = 16 if settings.published else HIDDEN[settings.scale]
    members = MEMBERS[settings.scale]
    return [
        Task(
            f"ensembles, seed {seed}",
            compare,
            {
                "training": Training.of(
                    settings, seed, hidden=hidden, activation=ACTIVATION
                ).as_settings(),
                "kinds": list(KINDS),
                "scales": list(SCALES),
                "members": list(members),
            },
            cost=(20 if settings.data == "digits" else 90) * len(members) / 4,
        )
        for seed in settings.repetitions
    ]


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figures and tables."""
    found = comparison_of(results)
    published = settings.published and settings.data != "digits"
    return Summary(
        [
            preserves(found),
            *(smaller_drop(found, scale, published) for scale in (1.0, 0.1)),
            loss_unchanged(found),
            diversity(found),
        ],
        {
            "figure": Drawing(draw_accuracy(found), ACCURACY_CAPTION),
            "variants": Drawing(draw_variants(found), VARIANTS_CAPTION),
        },
        {"data": accuracy_table(found), "members": member_table(found)},
    )


# -- findings --------------------------------------------------------------------------------------


def preserves(found: Comparison) -> Finding:
    """Is the accuracy preserved for small ε?"""
    scales = [scale for scale in found.scales if scale <= SMALL]
    level = each_of(len(scales))
    changes = [paired_difference(found.of(GROUP, s), found.single, level) for s in scales]
    worst = max(changes, key=lambda change: max(map(abs, change.interval)))
    each = ", ".join(f"{100 * c.value:+.2f} at {s:g}" for c, s in zip(changes, scales, strict=True))
    return Finding(
        "The ensemble formed by group actions preserves the accuracy of the model for small ε.",
        REFERENCE,
        f"Change of the test accuracy of {found.members[-1]} members in percentage points: {each}.",
        within(worst.interval, -KEPT, KEPT),
        f"all intervals for ε ≤ {SMALL:g} are within a percentage point of 0",
        worst.value,
        worst.interval,
        level,
    )


PUBLISHED = {
    1.0: "−.207 (group), −.448, −.448, −.457, −.106",
    0.1: "−.002 (group), −.004, −.057, −.422, −.004",
}
"""The authors' stored outputs: group, g⁻¹, random, shuffle, interpolated."""


def smaller_drop(found: Comparison, scale: float, published: bool) -> Finding:
    """Is the drop smaller than that of every baseline?"""
    group = found.of(GROUP, scale)
    level = each_of(len(BASELINES))
    gains = {b: paired_difference(group, found.of(b, scale), level) for b in BASELINES}
    least = min(gains, key=lambda b: gains[b].interval[0])
    own = paired_difference(group, found.single)
    each = "; ".join(
        f"{BASELINES[b]} {100 * gain.value:+.1f} [{100 * gain.interval[0]:+.1f}, "
        f"{100 * gain.interval[1]:+.1f}]"
        for b, gain in gains.items()
    )
    return Finding(
        f"At larger ε the drop is smaller than that of every baseline (ε = {scale:g}).",
        REFERENCE,
        f"The group ensemble changes the accuracy by {100 * own.value:+.1f} points. Its accuracy "
        f"minus that of the baseline, in points: {each}.",
        above_zero(gains[least].interval),
        "the interval of every difference is above 0",
        gains[least].value,
        gains[least].interval,
        level,
        note="The authors' stored outputs, mean over member counts, in the order group, g⁻¹, "
        f"random, shuffle, interpolated: {PUBLISHED[scale]}."
        + ("" if published else " Theirs are of CIFAR-10 with their settings."),
    )


def loss_unchanged(found: Comparison) -> Finding:
    """Up to which ε is the loss on fresh data approximately unchanged?"""
    largest = {}
    for kind in ACTIONS:
        i = found.kinds.index(kind)
        kept = [
            scale
            for j, scale in enumerate(found.scales)
            if bool(((found.loss[:, i, j, 0] - 1).abs() < UNCHANGED).all())
        ]
        largest[kind] = f"{max(kept):g}" if kept else "none"
    each = ", ".join(f"{ACTIONS[kind]} {scale}" for kind, scale in largest.items())
    i, j = found.kinds.index(GROUP), found.scales.index(0.1)
    value, interval = mean_interval(found.loss[:, i, j, 0])
    return Finding(
        "The loss is approximately unchanged under the group action, even with fresh data (ε = "
        "0.1).",
        "Section 6, Appendix I",
        f"Loss of the median member on test images over that of the network: {value:.3f}; of the "
        f"mean member {float(found.loss[:, i, j, 1].mean()):.3g}. The largest ε of the grid at "
        f"which the median changes by less than {100 * UNCHANGED:g} % in every seed: {each}.",
        within(interval, 1 - UNCHANGED, 1 + UNCHANGED),
        f"the interval is within {100 * UNCHANGED:g} % of 1",
        value,
        interval,
        0.95,
        note="At h samples σ(gH) is square, and nearly singular for some members, whose π is then "
        "large: they make the mean.",
    )


def diversity(found: Comparison) -> Finding:
    """Which way of making members gives most disagreement for the accuracy that they lose?"""
    ways = [*ACTIONS, "inverse", "interpolated"]
    at = {kind: diversity_at(found, kind, KEPT) for kind in ways}
    never = [kind for kind in ways if bool(at[kind].isnan().any())]
    order = sorted(set(ways) - set(never), key=lambda kind: -float(at[kind].mean()))
    each = ", ".join(f"{KINDS[kind]} {100 * float(at[kind].mean()):.2f}" for kind in order)
    each += "".join(f"; {KINDS[kind]} loses more at every ε" for kind in never)
    gains = at[GROUP] - torch.stack([at[kind] for kind in order if kind != GROUP]).amax(0)
    value, interval = mean_interval(gains)
    return Finding(
        "The paper's group action gives the most diversity for the accuracy that its members lose.",
        "ours, after " + REFERENCE,
        "Pairs of members, in percent, that disagree on a test image where a member loses a "
        f"percentage point of accuracy, interpolated in ε: {each}.",
        above_zero(interval),
        "its lead over the best of the others has an interval above 0",
        value,
        interval,
        0.95,
        note="At h reference samples all actions are the same map, because π is then determined.",
    )


def diversity_at(found: Comparison, kind: str, drop: float) -> Tensor:
    """Disagreement where a member's accuracy has dropped so far, `[seeds]`.

    Interpolated linearly between the scales on either side, from small ε to large; NaN where the
    drop is larger at every scale.
    """
    i = found.kinds.index(kind)
    order = np.argsort(found.scales)
    own = found.single.double().mean(-1)
    values = []
    for s in range(len(found.seeds)):
        drops = (own[s] - found.member[s, i]).numpy()[order]
        pairs = found.disagreement[s, i].numpy()[order]
        # Rounding aside the drop grows with ε; noise must not make it turn back.
        grown = np.maximum.accumulate(np.nan_to_num(drops, nan=1.0))
        found_there = np.interp(drop, grown, np.nan_to_num(pairs, nan=1.0))
        values.append(float(found_there) if grown[0] <= drop else math.nan)
    return torch.tensor(values, dtype=torch.float64)


# -- figures and tables ----------------------------------------------------------------------------

ACCURACY_CAPTION = (
    "Change of the test accuracy against the single model, mean over seeds, for ensembles made by "
    "the paper's group action and by its four baselines; the mode of the members decides. Numbers "
    "are percentage points."
)

VARIANTS_CAPTION = (
    "Left: loss on test images of the median member over that of the single model, against ε; "
    "means over seeds. Middle: change of the ensemble's accuracy. Right: how often two members "
    "disagree against the accuracy that a member loses, each point an ε; further left and up is "
    "better."
)

_COLORS = dict(zip(KINDS, (BLUE, CYAN, RED, GREEN, PURPLE, YELLOW, FAINT, INK, INK), strict=True))


def draw_accuracy(found: Comparison) -> Figure:
    """A map of ε against members for the paper's action and each baseline."""
    shown = [GROUP, *BASELINES]
    change = 100 * found.change().mean(0)
    with figure_style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        axes = figure.subplots(1, len(shown), sharey=True)
        for axis, kind in zip(axes, shown, strict=True):
            values = change[found.kinds.index(kind)].numpy()
            axis.imshow(values, cmap="RdBu", vmin=-50, vmax=50, aspect="auto")
            for (row, column), value in np.ndenumerate(values):
                text = f"{value:+.0f}".replace("-", "−") if abs(value) >= 0.5 else "0"
                color = "white" if abs(value) > 30 else "black"
                axis.text(column, row, text, ha="center", va="center", size=5.5, color=color)
            axis.set_title(KINDS[kind])
            axis.set_xticks(range(len(found.members)), [str(k) for k in found.members], size=6)
            axis.set_xlabel("members")
            axis.spines[:].set_visible(False)
            axis.tick_params(length=0)
        axes[0].set_yticks(range(len(found.scales)), [f"{scale:g}" for scale in found.scales])
        axes[0].set_ylabel("ε")
    return figure


def draw_variants(found: Comparison) -> Figure:
    """Loss, accuracy and diversity of the actions, and of the baselines that are near."""
    shown = [*ACTIONS, "inverse", "interpolated"]
    with figure_style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        change = 100 * found.change()[..., -1].mean(0)
        drop = 100 * (found.single.double().mean(-1)[:, None, None] - found.member)
        for kind in shown:
            i, color = found.kinds.index(kind), _COLORS[kind]
            line = {"color": color, "marker": "o", "ms": 2.5, "lw": 1.1, "label": KINDS[kind]}
            left.plot(found.scales, found.loss[:, i, :, 0].mean(0), **line)
            middle.plot(found.scales, change[i], **line)
            right.plot(drop[:, i].mean(0), 100 * found.disagreement[:, i].mean(0), **line)
        left.set(xscale="log", yscale="log", xlabel="ε", title="loss of the median member / model")
        left.axhline(1, color=FAINT, lw=0.7, ls=":")
        middle.set(xscale="log", xlabel="ε", title="change of accuracy (points)")
        middle.axhline(0, color=FAINT, lw=0.7, ls=":")
        right.set(xlabel="accuracy lost by a member (points)", title="disagreement (%)")
        right.set_xscale("symlog", linthresh=1)
        right.set_xlim(left=-0.5)
        middle.legend(loc="lower left", fontsize=6.5, handlelength=1.2)
    return figure


def accuracy_table(found: Comparison) -> Table:
    """A row for each ensemble."""
    change = found.change()
    return row_table(
        {
            "seed": seed,
            "kind": kind,
            "scale": scale,
            "members": count,
            "accuracy": float(found.right[s, i, j, k].double().mean()),
            "change": float(change[s, i, j, k]),
        }
        for s, seed in enumerate(found.seeds)
        for i, kind in enumerate(found.kinds)
        for j, scale in enumerate(found.scales)
        for k, count in enumerate(found.members)
    )


def member_table(found: Comparison) -> Table:
    """A row for all members of a kind and scale."""
    return row_table(
        {
            "seed": seed,
            "kind": kind,
            "scale": scale,
            "condition": float(found.condition[s, j]),
            "finite_members": float(found.finite[s, i, j]),
            "member_accuracy": float(found.member[s, i, j]),
            "loss_ratio_of_median_member": float(found.loss[s, i, j, 0]),
            "loss_ratio_of_mean_member": float(found.loss[s, i, j, 1]),
            "disagreement": float(found.disagreement[s, i, j]),
        }
        for s, seed in enumerate(found.seeds)
        for i, kind in enumerate(found.kinds)
        for j, scale in enumerate(found.scales)
    )


FIG10 = Experiment(
    "fig10",
    "Accuracy of ensembles made by group actions, and of four baselines",
    REFERENCE,
    tasks,
    summarize,
    seeds={"quick": 5, "paper": 5},
    setup={
        "network": "Conv 3×3 (32) → LeakyReLU(0.01) → MaxPool 2 → Linear(h) → σ → Linear, "
        "σ(z) = LeakyReLU₀.₁(z)² + 0.01z; h = 16 quick and published, 32 paper",
        "training": "Adam, batch 32, 10 epochs; once a seed",
        "group elements": "exp(εT), T ~ N(0, 1/h); h reference images a member",
        "precision": "network float32; g, π and members float64",
        "published": "softmax twice, tested on training images",
    },
    images=True,
)
