"""The main job: train a small network, find its symmetries, move it, follow what it conserves."""

import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from paramsym.data import digits
from paramsym.demo.drift import OPTIMIZERS, count_steps, drift
from paramsym.demo.moving import move
from paramsym.demo.page import DATA, write
from paramsym.demo.results import FULL, QUICK, Results
from paramsym.demo.training import train
from paramsym.discovery import discover
from paramsym.files import finished_folder, require_free
from paramsym.nets import DigitsCNN

__all__ = ["run"]


def run(
    out: Path,
    *,
    seed: int = 0,
    quick: bool = False,
    console: Console | None = None,
    force: bool = False,
) -> Path:
    """Run the demo and write its page.

    A small CNN learns scikit-learn's handwritten digits. Its symmetries are discovered; the trained
    network is moved along its orbit by twice the norm of its parameters, and its outputs are
    compared; its conserved quantities are followed through training beside the exact law of their
    drift, and their drift is measured at several learning rates.

    Args:
        out: Folder for `index.html` (self-contained), `demo.json` (the same numbers) and
            `figures/`. It appears when everything is done; after an error there is none.
        seed: Seed of all randomness.
        quick: A short run of some seconds, whose network is hardly trained.
        console: Where progress is shown; nowhere when absent.
        force: Replace an earlier result in `out`. Folders that hold anything else are never
            replaced.

    Returns:
        The path of the page.

    Raises:
        FileExistsError: If `out` may not be replaced.
        ImportError: If scikit-learn is not installed.
    """
    out = Path(out)
    require_free(out, DATA, force=force)
    settings = QUICK if quick else FULL
    began = time.perf_counter()
    data = digits(seed)
    rng = torch.Generator().manual_seed(seed)
    model = DigitsCNN(dtype=torch.float64, generator=rng)
    seeds = range(seed + 1, seed + 1 + settings.drift_seeds)
    work = {
        name: len(seeds) * sum(count_steps(rates, settings.drift_share * length))
        for name, (_, rates, length) in OPTIMIZERS.items()
    }
    with finished_folder(out, DATA, force=force) as folder, _progress(console) as bar:
        task = bar.add_task("discovering symmetries", total=None)
        symmetry = discover(model, (data.train_images[:8],))
        bar.update(task, total=1, completed=1)
        task = bar.add_task("training on digits", total=settings.epochs)
        training = train(
            model,
            symmetry,
            data,
            lr=settings.lr,
            epochs=settings.epochs,
            generator=rng,
            advance=lambda: bar.advance(task),
        )
        moving = bar.add_task("moving along the orbit", total=1)
        moved = move(
            model, symmetry, training.params, data.test_images, data.test_labels, generator=rng
        )
        bar.advance(moving)
        drifts = []
        for name, (_, rates, length) in OPTIMIZERS.items():
            counting = bar.add_task(f"drift under {name}", total=work[name])
            drifts.append(
                drift(
                    name,
                    symmetry,
                    data,
                    seeds,
                    rates,
                    settings.drift_share * length,
                    advance=lambda counting=counting: bar.advance(counting),
                )
            )
        drawing = bar.add_task("drawing the page", total=1)
        write(
            Results(
                seed,
                settings,
                symmetry,
                training,
                moved,
                drifts,
                data.test_images,
                time.perf_counter() - began,
                datetime.now(UTC).isoformat(timespec="seconds"),
            ),
            folder,
        )
        bar.advance(drawing)
    return out / "index.html"


def _progress(console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console or Console(quiet=True),
        disable=console is None,
    )
