"""Figure 11: attacks on the single model and on ensembles made by group actions."""

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from matplotlib.axes import Axes
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
from paramsym.experiments.measuring.attacking import (
    GROUP,
    PGD_STEP,
    PGD_WITHIN,
    SINGLE,
    VICTIMS,
    Attacked,
    attack_all,
    attacked_of,
)
from paramsym.experiments.measuring.image_models import Training
from paramsym.experiments.measuring.intervals import Interval, above_zero, each_of, within
from paramsym.report.style import BLUE, CYAN, FAINT, GREEN, PURPLE, RED, WIDTH, YELLOW, figure_style
from paramsym.robustness import (
    paired_difference,
)

FGSM = (0.0, 0.003, 0.006, 0.009, 0.012)
"""ε of the attack, of a range of width 1."""
PGD_STEPS = (0, 1, 2, 3)

DIGITS = 10
"""Digits of 64 pixels stand larger changes than images of 3,072: lengths are this much larger."""


def attacks(factor: float) -> dict[str, tuple[float, ...]]:
    """Strengths of every attack: ε, or a number of iterations.

    `strong` is 20 iterations of PGD from a random start, with steps of a tenth of ε.
    """
    lengths = tuple(round(factor * eps, 6) for eps in FGSM)
    return {"fgsm": lengths, "pgd": PGD_STEPS, "strong": lengths[1:]}


MEMBERS: Mapping[Scale, int] = {"paper": 200, "quick": 40}
IMAGES: Mapping[Scale, int] = {"paper": 500, "quick": 200}
SUITE = ("apgd-ce", "apgd-t")
"""Attacks of the standard suite, AutoAttack, that are put to the single model and to `GROUP`."""

HIDDEN = 16
ACTIVATION = "leaky_relu(0.1)"

NEGLIGIBLE = 0.02
"""Effects on accuracy of less than this are negligible."""

REFERENCE = "Appendix I, Figure 11"


def tasks(settings: Settings) -> list[Task]:
    """One task a seed: train once, and attack everything."""
    members = MEMBERS[settings.scale]
    images = IMAGES[settings.scale]
    factor = DIGITS if settings.data == "digits" else 1
    return [
        Task(
            f"attacks, seed {seed}",
            attack_all,
            {
                "training": Training.of(
                    settings, seed, hidden=HIDDEN, activation=ACTIVATION
                ).as_settings(),
                "victims": {name: list(made) for name, made in VICTIMS.items()},
                "attacks": {name: list(values) for name, values in attacks(factor).items()},
                "step": factor * PGD_STEP,
                "members": members,
                "images": images,
                # Part of the task, because a machine without the suite finds less.
                "suite": list(SUITE) if find_spec("pyautoattack") else [],
                "published": settings.published,
            },
            cost=(0.1 if settings.data == "digits" else 0.8) * images * (1 + members / 100),
        )
        for seed in settings.repetitions
    ]


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and table."""
    found = attacked_of(results)
    return Summary(
        [
            improves(found, adaptive=False),
            improves(found, adaptive=True),
            negligible(found),
            beats(found),
            standard(found),
        ],
        {"figure": Drawing(draw(found), CAPTION)},
        {"data": table(found)},
    )


# -- findings --------------------------------------------------------------------------------------

PUBLISHED = ".598/.538, .210/.223, .133/.158, .066/.109, .028/.083"
"""The authors' stored outputs under FGSM, single model / ensemble, at each strength."""


def improves(found: Attacked, *, adaptive: bool) -> Finding:
    """Does the group ensemble improve robustness under FGSM?"""
    strengths = found.strengths["fgsm"][1:]
    level = each_of(len(strengths))
    gains = [
        paired_difference(
            found.ensemble(GROUP, "fgsm", s, adaptive=adaptive), found.single("fgsm", s), level
        )
        for s in strengths
    ]
    least = min(gains, key=lambda gain: gain.interval[0])
    each = ", ".join(
        f"{100 * g.value:+.1f} [{100 * g.interval[0]:+.1f}, {100 * g.interval[1]:+.1f}] at {s:g}"
        for g, s in zip(gains, strengths, strict=True)
    )
    clean = paired_difference(
        found.ensemble(GROUP, "fgsm", 0.0, adaptive=False), found.single("fgsm", 0.0)
    )
    how = "the ensemble itself is attacked" if adaptive else "examples made on the single model"
    return Finding(
        f"In FGSM the group ensemble improves robustness ({how}).",
        ("ours, after " if adaptive else "") + REFERENCE,
        "Accuracy of the ensemble minus that of the single model, attacked as strongly, in points: "
        f"{each}. Without attack {100 * clean.value:+.1f}.",
        above_zero(least.interval, NEGLIGIBLE),
        "the intervals of all strengths are above 0",
        least.value,
        least.interval,
        level,
        note=""
        if adaptive
        else f"The authors' stored outputs, single / ensemble: {PUBLISHED}; "
        "their data are clipped by the attack.",
    )


def negligible(found: Attacked) -> Finding:
    """Is the effect under PGD negligible?"""
    strengths = found.strengths["pgd"][1:]
    level = each_of(len(strengths))
    gains = [
        paired_difference(
            found.ensemble(GROUP, "pgd", k, adaptive=False), found.single("pgd", k), level
        )
        for k in strengths
    ]
    worst = max(gains, key=lambda gain: max(map(abs, gain.interval)))
    each = ", ".join(
        f"{100 * g.value:+.1f} after {k}" for g, k in zip(gains, strengths, strict=True)
    )
    return Finding(
        "In PGD the ensemble has a negligible effect on robustness (examples made on the single "
        "model).",
        REFERENCE,
        "Accuracy of the ensemble minus that of the single model, in points, after iterations of "
        f"{found.step:g} within {PGD_WITHIN:g}: {each}.",
        within(worst.interval, -NEGLIGIBLE, NEGLIGIBLE),
        f"all intervals are within {100 * NEGLIGIBLE:g} points of 0",
        worst.value,
        worst.interval,
        level,
    )


def beats(found: Attacked) -> Finding:
    """Does any ensemble beat the single model when it may be attacked itself, strongly?"""
    strengths = found.strengths["strong"]
    level = each_of(len(found.victims) * len(strengths))

    def worst(victim: str, eps: float) -> Tensor:
        """An attacker has both kinds of examples."""
        own = found.ensemble(victim, "strong", eps, adaptive=True)
        return own & found.ensemble(victim, "strong", eps, adaptive=False)

    gains = {
        (victim, eps): paired_difference(worst(victim, eps), found.single("strong", eps), level)
        for victim in found.victims
        for eps in strengths
    }
    best = {
        victim: max((gains[victim, s] for s in strengths), key=lambda g: g.interval[0])
        for victim in found.victims
    }
    first = max(best, key=lambda victim: best[victim].interval[0])
    each = "; ".join(
        f"{victim} {100 * g.value:+.1f} [{100 * g.interval[0]:+.1f}, {100 * g.interval[1]:+.1f}]"
        for victim, g in best.items()
    )
    return Finding(
        "Some ensemble is more robust than the single model when it may be attacked itself.",
        "ours, after " + REFERENCE,
        "20 iterations of PGD from a random start; an image counts if the vote is right on the "
        "example made on the ensemble and on that made on the single model. For each ensemble its "
        f"best ε of {', '.join(f'{s:g}' for s in strengths)}: accuracy minus that of the single "
        f"model, in points: {each}.",
        any_above_zero([gain.interval for gain in gains.values()]),
        "the interval of one of them is above 0, jointly",
        best[first].value,
        best[first].interval,
        level,
        note="Where an ensemble stands its own examples better than those of the single model, its "
        "gradient misleads the attack: that is no robustness.",
    )


def any_above_zero(intervals: Sequence[Interval]) -> bool | None:
    """Whether one of several values is above 0; not, if none can be by more than is negligible."""
    each = [above_zero(interval, NEGLIGIBLE) for interval in intervals]
    if any(each):
        return True
    return None if None in each else False


def standard(found: Attacked) -> Finding:
    """Does the paper's ensemble beat the single model under the standard suite?"""
    claim = "The group ensemble is more robust than the single model under the standard suite."
    reference = "ours, after " + REFERENCE
    bound = "the interval is above 0"
    if not found.suite.shape[-1]:
        measured = "Not measured: pyautoattack is not installed."
        return Finding(claim, reference, measured, None, bound, math.nan)
    single, group = found.suite.unbind(1)
    gain = paired_difference(group, single)
    return Finding(
        claim,
        reference,
        f"AutoAttack's {' and '.join(SUITE)} at ε = {found.strengths['fgsm'][-1]:g}, "
        f"{single.shape[-1]} images a seed: accuracy {100 * float(group.double().mean()):.1f} % "
        f"(mean probability of the ensemble, which is attacked) and "
        f"{100 * float(single.double().mean()):.1f} % (single model).",
        above_zero(gain.interval, NEGLIGIBLE),
        bound,
        gain.value,
        gain.interval,
        0.95,
    )


# -- figure and table ------------------------------------------------------------------------------

CAPTION = (
    "Test accuracy under attack, mean over seeds: FGSM and few steps of PGD as in the paper, and "
    "20 steps of PGD. Top: examples are made on the single model and put to the ensembles. Bottom: "
    "each ensemble is attacked itself, through its mean probability. Black: the single model. "
    "Stars: the standard suite of attacks, which is stronger."
)

_COLORS = (BLUE, CYAN, RED, GREEN, PURPLE, YELLOW)
_AXES = {"fgsm": "FGSM: ε", "pgd": "PGD, few steps: steps", "strong": "PGD, 20 steps: ε"}


def draw(found: Attacked) -> Figure:
    """Transfer above, adaptive below; a column for each attack."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
        axes = figure.subplots(2, len(found.strengths), sharey=True, sharex="col")
        for column, attack in enumerate(found.strengths):
            for row, adaptive in enumerate((False, True)):
                _curves(axes[row, column], found, attack, adaptive=adaptive)
            axes[0, column].set_title(_AXES[attack].partition(":")[0])
            axes[1, column].set_xlabel(_AXES[attack])
        axes[0, 0].set_ylabel("accuracy, transferred")
        axes[1, 0].set_ylabel("accuracy, adaptive")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _curves(axis: Axes, found: Attacked, attack: str, *, adaptive: bool) -> None:
    strengths = found.strengths[attack]
    for victim, color in zip(found.victims, _COLORS, strict=False):
        means = [
            float(found.ensemble(victim, attack, s, adaptive=adaptive).double().mean())
            for s in strengths
        ]
        axis.plot(strengths, means, color=color, marker="o", ms=2.5, lw=1.1, label=victim)
    own = [float(found.single(attack, s).double().mean()) for s in strengths]
    axis.plot(strengths, own, color="black", marker="o", ms=2.5, label=SINGLE)
    if attack == "strong" and adaptive and found.suite.shape[-1]:
        single, group = found.suite.double().mean((0, 2))
        for value, color in ((single, "black"), (group, _COLORS[found.victims.index(GROUP)])):
            axis.plot(strengths[-1], value, marker="*", ms=7, color=color, ls="", clip_on=False)
    axis.set_ylim(0, 1.02)
    axis.axhline(0, color=FAINT, lw=0.5)


def table(found: Attacked) -> Table:
    """A row for each classifier, attack, strength and seed."""
    return row_table(
        {
            "seed": seed,
            "attack": attack,
            "strength": float(strength),
            "made_on": "itself" if adaptive or victim == SINGLE else SINGLE,
            "classifier": victim,
            "accuracy": float(
                (
                    found.single(attack, strength)
                    if victim == SINGLE
                    else found.ensemble(victim, attack, strength, adaptive=adaptive)
                )[k]
                .double()
                .mean()
            ),
        }
        for attack, strengths in found.strengths.items()
        for victim in (SINGLE, *found.victims)
        for adaptive in ((False,) if victim == SINGLE else (False, True))
        for strength in strengths
        for k, seed in enumerate(found.seeds)
    )


FIG11 = Experiment(
    "fig11",
    "Attacks on the single model and on ensembles made by group actions",
    REFERENCE,
    tasks,
    summarize,
    seeds={"quick": 5, "paper": 5},
    setup={
        "network": "Conv 3×3 (32) → LeakyReLU(0.01) → MaxPool 2 → Linear(16) → LeakyReLU(0.1) → "
        "Linear",
        "training": "Adam, batch 32, 10 epochs; once a seed",
        "ensembles": "40 members quick, 200 paper; exp(εT), T ~ N(0, 1/h); they vote by mode",
        "attacks": "in the data's own range, of width 1; lengths ten times the paper's on digits",
        "published": "softmax twice, tested on training images, FGSM's examples clipped to [0, 1]",
    },
    images=True,
)
