"""Which Q common initialisers reach, which the orbit allows, and whether it matters."""

import math
from collections.abc import Mapping, Sequence

import torch

from paramsym.experiments.experiment import (
    Drawing,
    Experiment,
    Finished,
    Scale,
    Settings,
    Summary,
    Table,
    Task,
)
from paramsym.experiments.figures.curves import row_table
from paramsym.experiments.figures.q_reach_draws import (
    PREDICTED,
    REFERENCE,
    few_inertias,
    narrows,
    neurons_reached,
    predicted,
    spaces_reached,
    thin,
)
from paramsym.experiments.figures.q_reach_panels import CAPTION, Reach, draw
from paramsym.experiments.figures.q_reach_training import (
    OPTIMISERS,
    one_function,
    training_findings,
)
from paramsym.experiments.measuring.initialisers import INITIALISERS
from paramsym.experiments.measuring.reached_q import asked, central, drawn, moved
from paramsym.experiments.measuring.training_from_q import STARTS, FromQ, from_q_of, train

NETWORKS: Mapping[Scale, Mapping[int, int]] = {
    "quick": {16: 40, 64: 40, 256: 10},
    "paper": {16: 200, 64: 100, 256: 40, 1024: 10},
}
"""Networks a seed of widths (w, 2w, w/2)."""
RANKS = (48, 32, 24)
"""(n, h, m) of the linear network whose inertias are counted; UV has a lower rank than V."""
STEP: Mapping[Scale, int] = {"quick": 4, "paper": 2}
MOVED = (64, 128, 32)
EPOCHS: Mapping[Scale, int] = {"quick": 15, "paper": 60}
LRS = {
    "sgd": (0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6),
    "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}


def tasks(settings: Settings) -> list[Task]:
    """Draws of every initialiser and shape, targets that are asked for, and training."""
    scale, found = settings.scale, list[Task]()
    networks = NETWORKS[scale]
    shapes = {**{(w, 2 * w, w // 2): count for w, count in networks.items()}, RANKS: networks[64]}
    for seed in settings.repetitions:
        for name in INITIALISERS:
            for widths, count in shapes.items():
                what = {"initialiser": name, "widths": list(widths), "networks": count}
                cost = 0.5 + 2e-9 * count * widths[1] ** 3
                found.append(
                    Task(f"{name} {widths}, seed {seed}", drawn, {**what, "seed": seed}, cost=cost)
                )
        given = {"widths": list(MOVED), "seed": seed}
        found.append(Task(f"targets of neurons, seed {seed}", moved, given))
        given = {"widths": list(RANKS), "step": STEP[scale], "seed": seed}
        found.append(Task(f"targets of a space, seed {seed}", asked, given, cost=2))
        for optimiser, lrs in LRS.items():
            given = {"optimiser": optimiser, "seed": seed, "epochs": EPOCHS[scale]}
            given |= {"batch": 32, "lrs": list(lrs)}
            cost = 0.1 * EPOCHS[scale] * len(lrs)
            found.append(Task(f"{OPTIMISERS[optimiser]}, seed {seed}", train, given, cost=cost))
    return found


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and tables."""
    reach = reach_of(results)
    trained = [from_q_of(results, optimiser) for optimiser in OPTIMISERS]
    findings = [
        *(predicted(reach, what) for what in PREDICTED),
        narrows(reach),
        thin(reach),
        neurons_reached(reach),
        spaces_reached(reach),
        few_inertias(reach),
        one_function(trained),
        *(f for own in trained for f in training_findings(own)),
    ]
    drawing = Drawing(draw(reach, trained), CAPTION)
    return Summary(
        findings,
        {"figure": drawing},
        {"initialisers": table(reach), "training": training_table(trained)},
    )


def reach_of(results: Sequence[Finished]) -> Reach:
    """All draws and targets."""
    by: dict[tuple[str, tuple[int, int, int]], list[Finished]] = {}
    for f in results:
        if f.task.compute is drawn:
            n, h, m = f.task.settings["widths"]
            by.setdefault((f.task.settings["initialiser"], (n, h, m)), []).append(f)
    draws = {
        key: {name: torch.stack([f[name] for f in own]) for name in own[0].arrays}
        for key, own in by.items()
    }
    targets = [
        {name: torch.stack([f[name] for f in own]) for name in own[0].arrays}
        for own in ([f for f in results if f.task.compute is kind] for kind in (moved, asked))
    ]
    return Reach(draws, targets[0], targets[1], RANKS)


# -- tables ----------------------------------------------------------------------------------------


def table(reach: Reach) -> Table:
    """A row for every initialiser, width and seed."""
    rows = []
    for (name, widths), found in reach.draws.items():
        expected = INITIALISERS[name].moments(*widths)
        for seed in range(len(found["mean"])):
            low, high = central(found["imbalance"][seed], 0.95)
            rows.append(
                {
                    "initialiser": name,
                    **dict(zip("nhm", widths, strict=True)),
                    "repetition": seed,
                    "mean": float(found["mean"][seed].mean()),
                    "mean_predicted": expected.mean,
                    "std": float(found["square"][seed].mean().sqrt()),
                    "std_predicted": math.sqrt(expected.variance),
                    "matrix": float(found["matrix"][seed].mean()),
                    "matrix_predicted": expected.matrix,
                    "imbalance_low": low,
                    "imbalance_high": high,
                }
            )
    return row_table(rows)


def training_table(trained: Sequence[FromQ]) -> Table:
    """A row for every run."""
    return row_table(
        {
            "optimiser": own.optimiser,
            "seed": seed,
            "start": start,
            "lr": lr,
            "loss": float(own.loss[i, j, k]),
            "accuracy": float(own.accuracy[i, j, k]),
            "turned": float(own.turned[i, j, k]),
        }
        for own in trained
        for i, seed in enumerate(own.seeds)
        for j, start in enumerate((*map(str, STARTS), "as drawn"))
        for k, lr in enumerate(own.lrs)
    )


Q_REACH = Experiment(
    "q-reach",
    "Q that initialisers reach, against what the orbit allows",
    REFERENCE,
    tasks,
    summarize,
    seeds={"quick": 5, "paper": 10},
    setup={
        "networks": "U σ(Vx + b) + c of widths (w, 2w, w/2), ReLU; linear without biases; float64",
        "s": "½ log((‖V_i‖² + b_i²)/‖U_:i‖²) of a neuron, so that Q_i = 2p sinh s, with p the same "
        "all over the orbit",
        "training": "digits, 64 ReLU neurons, Kaiming's initialiser; batches of 32; best of "
        "several learning rates by the training loss",
    },
)
