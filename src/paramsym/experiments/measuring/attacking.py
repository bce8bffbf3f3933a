"""Attacks on a trained network and on its ensembles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

import paramsym as ps
from paramsym.data_dependent import hidden_space
from paramsym.ensembling import Ensemble, vote
from paramsym.experiments.experiment import (
    Arrays,
    Finished,
)
from paramsym.experiments.measuring.image_models import Trained, trained
from paramsym.nets import ImageCNN
from paramsym.robustness import (
    fgsm,
    mean_probability,
    pgd,
    strongest,
    under_attack,
)

SINGLE = "single model"

GROUP = "group action, ε = 10"
"""The paper's ensemble."""

VICTIMS: Mapping[str, tuple[str, float, int]] = {
    GROUP: ("pinv", 10.0, 1),
    "group action, ε = 1": ("pinv", 1.0, 1),
    "QR, h/2, ε = 1": ("qr", 1.0, 2),
    "minimal, h/2, ε = 1": ("minimal", 1.0, 2),
    "interpolated, ε = 1": ("interpolated", 1.0, 1),
}
"""Ensembles: the kind that `ps.ensemble` knows, ε, and how many times fewer than h references."""

PGD_WITHIN, PGD_STEP = 0.3, 0.01
"""Iterations; ε and length of a step."""

SUITE_IMAGES = 100


def attack_all(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Train a network, and attack it and its ensembles, in float64.

    Transfer: the examples are made on the single model and put to all. Adaptive: they are made on
    the ensemble itself, through the mean probability of its members, and put to its vote.

    Returns:
        For each attack `<attack>_transfer` `[1 + victims, strengths, n]`, which images the single
        model and each ensemble get right, and `<attack>_adaptive` `[victims, strengths, n]`;
        `suite` `[2, n]`, which images the single model and the mean probability of `GROUP` get
        right whatever the standard suite does, at the largest ε, or nothing if it is not
        installed; `condition` `[victims]`, the median of cond(g).
    """
    found = trained(settings["training"], scratch)
    single = found.model.double()
    images = found.images.test_images[: settings["images"]].double()
    labels = found.images.test_labels[: settings["images"]]
    seed = settings["training"]["seed"]
    made = {
        name: _ensemble(single, found, settings["members"], seed, *what)
        for name, what in settings["victims"].items()
    }
    judges: dict[str, Callable[[Tensor], Tensor]] = {SINGLE: single}
    judges |= {name: _votes(ensemble) for name, ensemble in made.items()}
    arrays: Arrays = {}
    for name, strengths in settings["attacks"].items():

        def by(predict: Callable[[Tensor], Tensor], name: str = name) -> Any:
            return _attack(name, predict, found, settings)

        right = under_attack(by(single), judges, images, labels, strengths)
        arrays[f"{name}_transfer"] = torch.stack(list(right.values()))
        arrays[f"{name}_adaptive"] = torch.stack(
            [
                under_attack(
                    by(mean_probability(ensemble)),
                    {victim: judges[victim]},
                    images,
                    labels,
                    strengths,
                )[victim]
                for victim, ensemble in made.items()
            ]
        )
    condition = [ensemble.condition.median() for ensemble in made.values()]
    suite = _suite([single, mean_probability(made[GROUP])], images, labels, found, settings)
    return {**arrays, "suite": suite, "condition": torch.stack(condition)}


def _suite(
    predicts: Sequence[Callable[[Tensor], Tensor]],
    images: Tensor,
    labels: Tensor,
    found: Trained,
    settings: Mapping[str, Any],
) -> Tensor:
    """Which of the first images each classifier gets right under the standard suite."""
    attacks = settings["suite"]
    if not attacks:
        return torch.zeros(len(predicts), 0, dtype=torch.bool)
    few = slice(SUITE_IMAGES)
    return torch.stack(
        [
            strongest(
                predict,
                images[few],
                labels[few],
                settings["attacks"]["fgsm"][-1],
                low=found.images.low,
                high=found.images.high,
                attacks=attacks,
                seed=settings["training"]["seed"],
            ).robust
            for predict in predicts
        ]
    )


def _ensemble(
    model: ImageCNN,
    found: Trained,
    members: int,
    seed: int,
    kind: str,
    scale: float,
    fewer: int,
) -> Ensemble:
    pool = found.images.train_images.double()
    space = hidden_space(model, "hidden", "head", (pool[:2],))
    made = ps.ensemble(
        model,
        space,
        members,
        scale,
        kind=kind,
        references=(pool,),
        samples=space.width // fewer,
        generator=torch.Generator().manual_seed(seed),
        check=False,
    )
    return made.eval()


def _votes(ensemble: Ensemble) -> Callable[[Tensor], Tensor]:
    return lambda images: vote(ensemble(images))


def _attack(
    name: str,
    predict: Callable[[Tensor], Tensor],
    found: Trained,
    settings: Mapping[str, Any],
) -> Callable[[Tensor, Tensor, float], Tensor]:
    """The attack of that name on a classifier, as a function of images, labels and strength.

    The range of the data has width 1.
    """
    low, high = found.images.low, found.images.high

    def by_fgsm(images: Tensor, labels: Tensor, eps: float) -> Tensor:
        attacked = fgsm(predict, images, labels, eps, low=low, high=high)
        # The public code clips data of [−0.5, 0.5] to [0, 1].
        return attacked.clamp(0, 1) if settings["published"] else attacked

    def by_pgd(images: Tensor, labels: Tensor, iterations: float) -> Tensor:
        return pgd(
            predict,
            images,
            labels,
            PGD_WITHIN,
            step=settings["step"],
            iterations=int(iterations),
            low=low,
            high=high,
        )

    def strongly(images: Tensor, labels: Tensor, eps: float) -> Tensor:
        generator = torch.Generator().manual_seed(settings["training"]["seed"])
        return pgd(
            predict,
            images,
            labels,
            eps,
            step=eps / 10,
            iterations=20,
            low=low,
            high=high,
            generator=generator,
        )

    return {"fgsm": by_fgsm, "pgd": by_pgd, "strong": strongly}[name]


@final
@dataclass(frozen=True, eq=False)
class Attacked:
    """All seeds together.

    Attributes:
        seeds: Of the repetitions.
        victims: Names of the ensembles, in order.
        strengths: Of each attack.
        step: Length of a step of the paper's PGD.
        transfer: For each attack `[seeds, 1 + victims, strengths, n]`, the single model first.
        adaptive: For each attack `[seeds, victims, strengths, n]`.
        suite: `[seeds, 2, n]`, the single model and `GROUP` under the standard suite; n = 0 without
            it.
    """

    seeds: tuple[int, ...]
    victims: tuple[str, ...]
    strengths: Mapping[str, tuple[float, ...]]
    step: float
    transfer: Mapping[str, Tensor]
    adaptive: Mapping[str, Tensor]
    suite: Tensor

    def single(self, attack: str, strength: float) -> Tensor:
        """Which images the single model gets right, `[seeds, n]`."""
        return self.transfer[attack][:, 0, self.strengths[attack].index(strength)]

    def ensemble(self, victim: str, attack: str, strength: float, *, adaptive: bool) -> Tensor:
        """Which images an ensemble gets right, `[seeds, n]`."""
        j, i = self.strengths[attack].index(strength), self.victims.index(victim)
        return self.adaptive[attack][:, i, j] if adaptive else self.transfer[attack][:, 1 + i, j]


def attacked_of(results: Sequence[Finished]) -> Attacked:
    """Read the arrays of all seeds."""
    first = results[0].task.settings
    strengths = {name: tuple(values) for name, values in first["attacks"].items()}

    def stacked(kind: str) -> dict[str, Tensor]:
        return {
            name: torch.stack([result[f"{name}_{kind}"] for result in results])
            for name in strengths
        }

    return Attacked(
        tuple(result.task.settings["training"]["seed"] for result in results),
        tuple(first["victims"]),
        strengths,
        first["step"],
        stacked("transfer"),
        stacked("adaptive"),
        torch.stack([result["suite"] for result in results]),
    )
