"""Ensembles of every kind and scale on one trained network, and on several."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

import paramsym as ps
from paramsym.data_dependent import hidden_space
from paramsym.ensembling import pairwise_disagreement, vote
from paramsym.experiments.experiment import (
    Arrays,
    Finished,
)
from paramsym.experiments.measuring.image_models import trained

GROUP = "group"
"""The paper's ensemble: its pseudo-inverse at h samples, where all actions are the same map."""

ACTIONS = {
    GROUP: "group action",
    "pinv/2": "pseudo-inverse, h/2",
    "qr/2": "QR, h/2",
    "twisted/2": "twisted, h/2",
    "minimal/2": "minimal, h/2",
}
"""Data-dependent actions at h reference samples or half as many, and their names on the page."""

BASELINES = {
    "inverse": "g⁻¹",
    "random": "random",
    "shuffle": "shuffle",
    "interpolated": "interpolated",
}
"""The paper's baselines."""

KINDS = {**ACTIONS, **BASELINES}


def made_as(kind: str, h: int) -> tuple[str, int]:
    """The kind that `ps.ensemble` knows, and the number of reference samples."""
    if kind == GROUP:
        return "pinv", h
    name, half, _ = kind.partition("/")
    return name, h // 2 if half else h


def compare(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Train a network, and test ensembles of every kind and scale on it, in float64.

    Returns:
        `single` `[n]`, which test images the network itself gets right; `right`
        `[kinds, scales, members, n]`, which the mode of the first so many members gets right;
        `member` `[kinds, scales]`, mean accuracy of a member; `loss` `[kinds, scales, 2]`, the
        median and the mean over members of their mean cross-entropy on test images, and
        `single_loss`; `disagreement` `[kinds, scales]`; `condition` `[scales]`, the median of
        cond(g); `finite` `[kinds, scales]`, the share of members with finite outputs;
        `training_loss`.
    """
    found = trained(settings["training"], scratch)
    images, labels = found.images, found.images.test_labels
    head, features = found.head(images.test_images)
    _, pool = found.head(images.train_images)
    space = hidden_space(head, "hidden", "head", (pool[:2],))
    counts, seed = settings["members"], settings["training"]["seed"]
    shape = (len(settings["kinds"]), len(settings["scales"]))
    right = torch.zeros(*shape, len(counts), len(labels), dtype=torch.bool)
    member, disagreement, finite = (torch.zeros(shape).double() for _ in range(3))
    loss = torch.zeros(*shape, 2, dtype=torch.float64)
    condition = torch.zeros(shape[1], dtype=torch.float64)
    for i, kind in enumerate(settings["kinds"]):
        name, samples = made_as(kind, space.width)
        for j, scale in enumerate(settings["scales"]):
            made = ps.ensemble(
                head,
                space,
                max(counts),
                scale,
                kind=name,
                references=(pool,),
                samples=samples,
                generator=torch.Generator().manual_seed(seed),
                # At ε = 20 and 10 members are what rounding makes of them, as in the paper.
                check=False,
            )
            if kind != "interpolated":
                condition[j] = made.condition.median()
            with torch.no_grad():
                logits = made(features)
            good = logits.isfinite().all(-1).all(-1)
            finite[i, j] = good.double().mean()
            member[i, j], loss[i, j], disagreement[i, j] = _members(logits[good], labels)
            for k, count in enumerate(counts):
                taken = logits[:count][good[:count]]
                right[i, j, k] = (vote(taken) == labels) if len(taken) else False
    with torch.no_grad():
        single = head(features)
    return {
        "single": single.argmax(-1) == labels,
        "single_loss": torch.nn.functional.cross_entropy(single, labels),
        "right": right,
        "member": member,
        "loss": loss,
        "disagreement": disagreement,
        "condition": condition,
        "finite": finite,
        "training_loss": found.losses,
    }


def _members(logits: Tensor, labels: Tensor) -> tuple[float, Tensor, float]:
    """Mean accuracy, median and mean loss, and disagreement of members; NaN of fewer than two."""
    if len(logits) < 2:
        return math.nan, torch.full((2,), math.nan, dtype=torch.float64), math.nan
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.repeat(len(logits)), reduction="none"
    ).reshape(len(logits), -1)
    each = losses.mean(1)
    accuracy = (logits.argmax(-1) == labels).double().mean()
    middle = torch.stack([each.quantile(0.5), each.mean()])
    return float(accuracy), middle, float(pairwise_disagreement(logits).mean())


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """All seeds together.

    Attributes:
        seeds: Of the repetitions.
        kinds: Names, in order.
        scales: ε, in order.
        members: Numbers of members, in order.
        single: `[seeds, n]`.
        right: `[seeds, kinds, scales, members, n]`.
        member: `[seeds, kinds, scales]`.
        loss: Cross-entropy of members over that of the network, the median member and the mean,
            `[seeds, kinds, scales, 2]`.
        disagreement: `[seeds, kinds, scales]`.
        condition: `[seeds, scales]`.
        finite: `[seeds, kinds, scales]`.
    """

    seeds: tuple[int, ...]
    kinds: tuple[str, ...]
    scales: tuple[float, ...]
    members: tuple[int, ...]
    single: Tensor
    right: Tensor
    member: Tensor
    loss: Tensor
    disagreement: Tensor
    condition: Tensor
    finite: Tensor

    def change(self) -> Tensor:
        """Accuracy minus that of the network, `[seeds, kinds, scales, members]`."""
        own = self.single.double().mean(-1)
        return self.right.double().mean(-1) - own[:, None, None, None]

    def of(self, kind: str, scale: float) -> Tensor:
        """Which images the largest ensemble gets right, `[seeds, n]`."""
        return self.right[:, self.kinds.index(kind), self.scales.index(scale), -1]


def comparison_of(results: Sequence[Finished]) -> Comparison:
    """Read the arrays of all seeds."""
    first = results[0].task.settings

    def stacked(name: str) -> Tensor:
        return torch.stack([result[name] for result in results])

    return Comparison(
        tuple(result.task.settings["training"]["seed"] for result in results),
        tuple(first["kinds"]),
        tuple(first["scales"]),
        tuple(first["members"]),
        stacked("single"),
        stacked("right"),
        stacked("member"),
        stacked("loss") / stacked("single_loss")[:, None, None, None],
        stacked("disagreement"),
        stacked("condition"),
        stacked("finite"),
    )
