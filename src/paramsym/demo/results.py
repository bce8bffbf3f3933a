"""What the demo found, as one value and as JSON."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, final

import torch
from torch import Tensor

import paramsym
from paramsym.demo.drift import Drift
from paramsym.demo.moving import Move, Path
from paramsym.demo.training import Training
from paramsym.report.page import totals_of
from paramsym.storage import to_dict
from paramsym.symmetry import Symmetry

CURVE_POINTS = 100
"""Steps of a training curve that are stored."""


@final
@dataclass(frozen=True)
class Settings:
    """How large a run is.

    Attributes:
        epochs: Passes over the training images of the run that is followed.
        lr: Its learning rate.
        drift_seeds: Networks trained for each optimizer and learning rate.
        drift_share: Share of the drift experiment's training time that is run.
    """

    epochs: int
    lr: float
    drift_seeds: int
    drift_share: float


FULL = Settings(epochs=40, lr=0.05, drift_seeds=6, drift_share=1.0)
QUICK = Settings(epochs=3, lr=0.05, drift_seeds=2, drift_share=0.1)


@final
@dataclass(frozen=True, eq=False)
class Results:
    """Everything that the page shows."""

    seed: int
    settings: Settings
    symmetry: Symmetry
    training: Training
    move: Move
    drifts: list[Drift]
    test_images: Tensor
    seconds: float
    made: str


@final
@dataclass(frozen=True)
class Claim:
    """A number that the demo promises, beside its bound.

    Attributes:
        what: The claim in words.
        value: What was measured.
        bound: What it is held against.
        above: Whether the value must lie above the bound; below it otherwise.
    """

    what: str
    value: float
    bound: float
    above: bool = False

    @property
    def holds(self) -> bool:
        """Whether it came true in this run."""
        return self.value > self.bound if self.above else self.value < self.bound


def claims(results: Results) -> list[Claim]:
    """What this run promised, and what it measured."""
    move, check = results.move, results.symmetry.verification
    assert check is not None
    return [
        Claim("distance moved, in norms of the parameters", move.distance, 1.0, above=True),
        Claim("relative change of the outputs, float64", move.change, 1e-12),
        Claim("relative change of the outputs, float32", move.change_float32, 1e-6),
        Claim(
            "relative distance of Q from its law", float(results.training.residual().max()), 1e-12
        ),
        Claim("invariance under a random element, at discovery", check.invariance, check.tolerance),
    ]


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    packages = ("torch", "numpy", "scikit-learn", "matplotlib")
    return {
        "paramsym": paramsym.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def as_json(results: Results) -> dict[str, Any]:
    """The numbers behind the page, JSON-ready; curves at `CURVE_POINTS` of their steps."""
    training, move = results.training, results.move
    steps = len(training.time)
    kept = torch.linspace(0, steps - 1, min(steps, CURVE_POINTS)).round().long()
    totals = totals_of(results.symmetry)
    return {
        "made": results.made,
        "seconds": results.seconds,
        "seed": results.seed,
        "settings": vars(results.settings),
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "totals": vars(totals),
        "claims": [{**vars(claim), "holds": claim.holds} for claim in claims(results)],
        "symmetry": to_dict(results.symmetry),
        "move": {
            "distance": move.distance,
            "condition": move.g.condition(),
            "change_float64": move.change,
            "change_float32": move.change_float32,
            "rounding_float32": move.rounding_float32,
            "accuracy_before": move.accuracy_before,
            "accuracy_after": move.accuracy_after,
            "element": {name: g.tolist() for name, g in move.g.items()},
            "orbit": _path(move.orbit),
            "straight": _path(move.straight),
        },
        "training": {
            "lr": training.lr,
            "steps": steps - 1,
            "accuracy": training.accuracy.tolist(),
            "loss_first": float(training.loss[0]),
            "loss_last": float(training.loss[-1]),
            "largest_residual": float(training.residual().max()),
            "final_drift": float(training.drift()[-1]),
            "time": training.time[kept].tolist(),
            "residual": training.residual()[kept].tolist(),
            "drift": training.drift()[kept].tolist(),
            "measured": {name: Q[kept].tolist() for name, Q in training.measured.items()},
            "predicted": {name: Q[kept].tolist() for name, Q in training.predicted.items()},
        },
        "drift": [
            {
                "optimizer": drift.optimizer,
                "rates": drift.rates.tolist(),
                "steps": drift.steps.tolist(),
                "relative_drift": drift.drift.tolist(),
                "slopes": drift.slopes.tolist(),
                "slopes_between_smallest": drift.last_slopes.tolist(),
                "loss_at_start": drift.loss_at_start.tolist(),
                "loss": drift.loss.tolist(),
            }
            for drift in results.drifts
        ],
    }


def _path(path: Path) -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in vars(path).items()}
