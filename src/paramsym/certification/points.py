"""Parameters at which flat directions are counted."""

import torch

from paramsym.certification.certificate import Place
from paramsym.certification.generic import generic_params, jittered_params, own_params
from paramsym.certification.jacobian import Jacobian, Params
from paramsym.certification.measuring import Measured, measure
from paramsym.certification.pilot import PILOT
from paramsym.certification.within import Within
from paramsym.discovery.recording import Recording
from paramsym.discovery.replaying import replay

DRAWS = {300: 8, 2000: 3}
"""How many random parameters are tried while directions are unexplained, by the size of the model
up to which so many are: a unit may be dead at one, or on for every input. One beyond."""

CANDIDATES, ACTIVE = 12, 0.25
"""Random parameters looked at, and the share of inputs for which an entry should matter."""


def best_point(
    jacobian: Jacobian, families: Within, at: Place, max_rows: int, seed: int
) -> tuple[Measured, Params]:
    """At generic parameters the smallest nullity is the answer: others add directions of their
    own."""
    recording = jacobian.recording
    best: tuple[Measured, Params] | None = None
    points = [point(recording, at, seed)] if at == "here" else _active_points(jacobian, seed)
    for draw, params in enumerate(points):
        found = measure(
            jacobian,
            families.inside,
            params,
            across=families.across,
            seed=1000 * (seed + draw),
            max_rows=max_rows,
        )
        if best is None or _quality(found) < _quality(best[0]):
            best = found, params
        if not len(found.rest) and not found.undecided:
            break
    assert best is not None
    return best


def _active_points(jacobian: Jacobian, seed: int) -> list[Params]:
    """Random parameters, those first at which few entries matter for few inputs alone.

    A unit that is on for one input in a thousand needs thousands of rows to show what it reads.
    """
    count = next((n for size, n in DRAWS.items() if jacobian.dim <= size), 1)
    scored: list[tuple[float, int, Params]] = []
    for k in range(CANDIDATES):
        params = point(jacobian.recording, "generic", seed + k)
        active = (jacobian.rows(params, PILOT, seed) != 0).double().mean(0)
        scored.append((float((ACTIVE - active).clamp_min(0).sum()), k, params))
        if scored[-1][0] == 0:
            break
    return [params for _, _, params in sorted(scored, key=lambda s: s[:2])[:count]]


def _quality(found: Measured) -> tuple[int, int, float]:
    return found.nullity, found.undecided, -found.kept


def point(recording: Recording, at: Place, seed: int) -> Params:
    """Parameters at which the outputs are finite.

    Raises:
        ValueError: If there are none, or no output is a real number.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = {i: x.detach() for i, x in recording.inputs.items()}
    if at == "here":
        candidates = [own_params(recording)]
    else:
        candidates = [generic_params(recording, generator), jittered_params(recording, generator)]
    for params in candidates:
        outputs = replay(recording, params, inputs, seed=seed)
        real = [y for y in outputs if y.is_floating_point() or y.is_complex()]
        if sum(y.numel() for y in real) == 0:
            raise ValueError(
                "the model has no output of real numbers, so that there is no derivative to look "
                "at. Return logits or probabilities instead of choices."
            )
        if all(bool(torch.isfinite(y).all()) for y in real):
            return params
    raise ValueError(
        "the model's outputs are not finite at "
        f"{'its own' if at == 'here' else 'random'} parameters and the given inputs. Pass inputs "
        "for which it computes finite numbers."
    )
