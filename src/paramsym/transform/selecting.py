"""Which families move, and on which inputs the function is compared."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from paramsym.symmetry import Symmetry
from paramsym.transform.weight_files import read_header


def selected(symmetry: Symmetry, patterns: Sequence[str], *, inexact: bool) -> Symmetry:
    """The families whose names match one of the patterns; all without patterns.

    Args:
        symmetry: All families.
        patterns: As for file names, `*mlp*`.
        inexact: Whether those count that are exact only as a normalisation's ε vanishes.

    Raises:
        ValueError: If a pattern matches none, or none is left.
    """
    everything = (*symmetry.families, *symmetry.discrete)
    for pattern in patterns:
        if not any(fnmatchcase(family.name, pattern) for family in everything):
            raise ValueError(
                f"no family matches {pattern!r}. `paramsym inspect MODEL --all` shows them all."
            )
    guarded = {f.name for f in symmetry.families if f.exactness.as_eps_vanishes}
    names = [
        family.name
        for family in everything
        if (inexact or family.name not in guarded)
        and (not patterns or any(fnmatchcase(family.name, p) for p in patterns))
    ]
    if not names:
        raise ValueError(
            "there is no family to move. Those that are exact only as a normalisation's ε vanishes "
            "need `--tolerance`."
            if guarded
            else "the model has no symmetry that could move its weights."
        )
    return symmetry.select(*names)


def read_inputs(path: Path) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Inputs of a model from a safetensors file: `0`, `1`, … by position, others by keyword.

    Raises:
        ValueError: If it is no such file, or a position is missing.
    """
    read_header(path)
    tensors = load_file(path)
    positions = sorted(int(name) for name in tensors if name.isdecimal())
    if positions != list(range(len(positions))):
        raise ValueError(
            f"the inputs in {str(path)!r} must be numbered from 0 without a gap; got {positions}."
        )
    args = tuple(tensors[str(i)] for i in positions)
    return args, {name: x for name, x in tensors.items() if not name.isdecimal()}
