"""`paramsym transform`."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paramsym.cli.saying import as_data, as_text
from paramsym.cli.talking import fail, status, user_errors, versions

if TYPE_CHECKING:
    from paramsym.orbit import Canonical
    from paramsym.symmetry import Symmetry
    from paramsym.transform.choices import Choice


_SPREAD = 0.1


def transform(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="The model, named as for `paramsym inspect`.",
            show_default=False,
        ),
    ],
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Its weights: a safetensors file, or a folder with such files.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="OUT", help="File or folder to write.", show_default=False
        ),
    ],
    balance: Annotated[
        bool,
        typer.Option("--balance", help="Writers and readers of equal size: Q = 0."),
    ] = False,
    canonical: Annotated[
        bool,
        typer.Option(
            "--canonical",
            help="The point that stands for the orbit: the same for all checkpoints on it.",
        ),
    ] = False,
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Conserved quantities by family: JSON, or safetensors.",
        ),
    ] = None,
    minimise: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Make one of these small: weight-norm, channel-range, tensor-range, kurtosis.",
        ),
    ] = None,
    random: Annotated[
        int | None, typer.Option(metavar="SEED", help="A random point of the orbit.")
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            metavar="S", help=f"Spread of the generators, with --random; {_SPREAD} by default."
        ),
    ] = None,
    discrete: Annotated[
        bool, typer.Option("--discrete", help="Permutations and signs too, with --random.")
    ] = False,
    families: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Move only families whose names match, as `*mlp*`; may be repeated.",
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            metavar="T",
            help="Accept this relative change of the outputs, and move families that are exact "
            "only as a normalisation's ε vanishes too.",
        ),
    ] = 0.0,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Compare the function on these inputs: safetensors named 0, 1, … or by keyword.",
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Tensors that the checkpoint may have and the model does not; may be repeated.",
        ),
    ] = None,
    train: Annotated[
        bool,
        typer.Option("--train/--eval", help="Mode in which the function is to stay the same."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON to stdout, and nothing else.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of the checks and of a factory's parameters.")
    ] = 0,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Read a .pt2 file even where that can run code inside it."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error as well.")
    ] = False,
) -> None:
    """Write CHECKPOINT with other weights that compute the same function.

    The symmetries of MODEL are found; its own values do not matter. The weights are moved to the
    point of their orbit that one of --balance, --canonical, --target, --minimise, --random names.
    Outputs are compared before anything is written; metadata are kept, and the transformation is
    added to them. Nothing is overwritten unless --force is given. The copy is moved in a memory
    map, one parameter at a time.

    \b
    Examples:
      paramsym transform my_models:net a.safetensors --balance -o b.safetensors
      paramsym transform hf:./llama ./llama --random 0 -o ./elsewhere
      paramsym transform hf:./llama ./llama --canonical -o ./canonical
      paramsym transform cnn a.safetensors --minimise kurtosis -o b.safetensors
      paramsym transform cnn a.safetensors --target q.json -o b.safetensors

    A target gives for families by name a number q (Q = q for every neuron, qI for matrices) or the
    whole of Q as `symmetry.conserved` returns it: {"fc1 → fc2": 0.5}.
    """
    _require_one(
        {
            "--balance": balance,
            "--canonical": canonical,
            "--target": target,
            "--minimise": minimise,
            "--random": random,
        }
    )
    if random is None and (discrete or scale is not None):
        fail(f"{'--discrete' if discrete else '--scale'} is of a random point; give --random too.")
    scale = _SPREAD if scale is None else scale
    _require_elsewhere(out, checkpoint, force)
    record: dict[str, Any] = {
        "operation": "canonical" if canonical else _named(balance, target, minimise, random, scale),
        "model": model,
        "families": families or "all",
        "versions": versions(),
    }
    points: list[Canonical] = []
    with (
        user_errors(ValueError, TypeError, ArithmeticError, OSError, debug=debug),
        status(f"Looking at {model} …") as show,
    ):
        from paramsym.transform.selecting import read_inputs, selected

        choose = (
            _canonical(points)
            if canonical
            else _choice(balance, target, minimise, random, scale, discrete, show)
        )
        loaded, symmetry = _discovered(model, train, seed, trust)
        symmetry = selected(symmetry, families or [], inexact=tolerance > 0)
        args, kwargs = loaded.args or (), loaded.kwargs
        if inputs is not None:
            args, kwargs = read_inputs(inputs)
        show(f"Moving {checkpoint} …")
        from paramsym.transform import transform as write

        done = write(
            loaded.model,
            args,
            kwargs,
            symmetry,
            checkpoint,
            out,
            choose,
            record,
            ignored=tuple(ignore or ()),
            tolerance=tolerance,
            force=force,
            seed=seed,
        )
    if as_json:
        data = as_data(done, symmetry, points, {**record, "seed": seed})
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        print(as_text(done, symmetry, points))


def _require_one(given: Mapping[str, Any]) -> None:
    chosen = [name for name, value in given.items() if value is not None and value is not False]
    if len(chosen) != 1:
        fail(
            f"give exactly one of {', '.join(given)}, the point of the orbit to go to; "
            f"got {' and '.join(chosen) or 'none'}."
        )


def _require_elsewhere(out: Path, checkpoint: Path, force: bool) -> None:
    """Before any work."""
    if not checkpoint.exists():
        fail(f"there is no checkpoint {str(checkpoint)!r}.")
    if out.resolve() == checkpoint.resolve():
        fail(
            "OUT must not be CHECKPOINT itself. Write beside it, and replace it when you are sure."
        )
    if checkpoint.is_file() and out.is_dir():
        fail(f"OUT must be a file; {out} is a folder. Write `-o {out / checkpoint.name}`.")
    if out.exists() and not force:
        fail(f"{out} exists. Choose another name, or replace it with --force.")
    if not out.parent.is_dir():
        fail(f"the folder {out.parent} does not exist. Create it first.")


def _named(
    balance: bool, target: Path | None, minimise: str | None, random: int | None, scale: float
) -> str:
    if balance:
        return "balance"
    if target is not None:
        return f"target {target.name}"
    return f"minimise {minimise}" if minimise else f"random {random}, scale {scale}"


def _choice(
    balance: bool,
    target: Path | None,
    minimise: str | None,
    random: int | None,
    scale: float,
    discrete: bool,
    show: Callable[[str], None],
) -> "Choice":
    """What was asked for; `show` is told how far it is where that takes long."""
    from paramsym.transform.choices import at_random, balanced, smallest, towards

    if minimise is not None:
        return smallest(
            minimise, lambda step: show(f"{minimise}: step {step.iteration}, {step.value:.6g}")
        )
    if target is not None:
        return towards(target)
    return balanced() if balance else at_random(random or 0, scale, discrete=discrete)


def _canonical(points: list["Canonical"]) -> "Choice":
    """The canonical point, which is put into a list."""
    from paramsym.transform.choices import at_canonical_point

    return at_canonical_point(points.append)


def _discovered(name: str, train: bool, seed: int, trust: bool) -> tuple[Any, "Symmetry"]:
    """The model with its inputs, and its symmetry."""
    from torch import nn

    from paramsym.discovery import discover
    from paramsym.loading import LoadedModel, load_model

    loaded = load_model(name, trust=trust, seed=seed)
    if isinstance(loaded.model, nn.Module):
        loaded.model.train(train)
        found = discover(loaded.model, loaded.args, loaded.kwargs, buffers=True, seed=seed)
        return loaded, found
    program = loaded.model
    args, kwargs = program.example_inputs or ((), {})
    symmetry = discover(program, seed=seed)
    return LoadedModel(program.module(), args, kwargs, loaded.title), symmetry
