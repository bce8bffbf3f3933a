"""What a minimisation on an orbit needs to be given."""

import math
from collections.abc import Iterable, Mapping

from torch import Tensor

from paramsym.family import Family
from paramsym.parameters import check_params
from paramsym.sharded import is_sharded
from paramsym.symmetry import Symmetry


def chosen_families(symmetry: Symmetry, names: Iterable[str] | None) -> tuple[Family, ...]:
    """The families that may act: those named, or all that are exact.

    Raises:
        TypeError: If there is no symmetry, or the names are one string.
        ValueError: If a name is unknown or no family is left.
    """
    if not isinstance(symmetry, Symmetry):
        raise TypeError(
            "`symmetry` must be a symmetry, as `discover` returns it; "
            f"got {type(symmetry).__name__}."
        )
    if isinstance(names, str):
        raise TypeError(f"`families` must be a list of names; got the string {names!r}.")
    if names is None:
        chosen = tuple(f for f in symmetry.families if not f.exactness.as_eps_vanishes)
        if not chosen:
            inexact = [f.name for f in symmetry.families]
            hint = f" Those that are exact as ε → 0 must be named: {inexact}." if inexact else ""
            raise ValueError(
                f"`symmetry` must have a family that is exact and continuous; it has none.{hint}"
            )
        return chosen
    chosen_names = list(dict.fromkeys(names))
    known = [f.name for f in symmetry.families]
    for name in chosen_names:
        if name not in known:
            raise ValueError(
                f"`families` must name continuous families of the symmetry; {name!r} is none of "
                f"{known}."
            )
    if not chosen_names:
        raise ValueError("`families` must name at least one family; leave it out for all.")
    return tuple(symmetry[name] for name in chosen_names)


def require_inputs(
    params: Mapping[str, Tensor],
    symmetry: Symmetry,
    objective: object,
    families: tuple[Family, ...],
    iterations: int,
    tolerance: float,
    max_condition: float,
) -> None:
    """Raise unless a minimisation can begin.

    Raises:
        TypeError: If the objective is no function.
        ValueError: If parameters do not fit or are sharded, a gain is zero, or a number is out of
            range.
    """
    if not callable(objective):
        raise TypeError(
            "`objective` must be a function of a parameter dict; "
            f"got {type(objective).__name__}. Write `lambda p: …`, or choose one of "
            "`paramsym.orbit.objectives`."
        )
    check_params(params, symmetry.parameters, values=True)
    sharded = [k for k, p in params.items() if is_sharded(p)]
    if sharded:
        raise ValueError(
            f"`params` must be whole tensors; {sharded[0]!r} is sharded. Gather them with "
            "`p.full_tensor()`."
        )
    for family in families:
        family.require_gains(params)
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 0:
        raise ValueError(f"`iterations` must be a whole number, 0 or more; got {iterations!r}.")
    if not (tolerance >= 0 and math.isfinite(tolerance)):
        raise ValueError(f"`tolerance` must be a number, 0 or more; got {tolerance}.")
    if not max_condition > 1:
        raise ValueError(f"`max_condition` must be above 1; got {max_condition}.")
