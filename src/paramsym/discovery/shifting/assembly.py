"""From what goes unnoticed and what is taken up to families."""

from collections.abc import Mapping
from dataclasses import replace

from paramsym.discovery.shifting.along_mean import families_along_mean
from paramsym.discovery.shifting.killing import families_killed, killed
from paramsym.discovery.shifting.nulling import families_null
from paramsym.discovery.shifting.parallel import parallel_families
from paramsym.discovery.shifting.taking_up import families_taken_up
from paramsym.discovery.shifting.walk import Run
from paramsym.family import Family
from paramsym.terms import Slot


def shift_families_of(run: Run) -> list[Family]:
    """All translations of a run.

    Where data decide what runs and a part of the model did not, that part may read the same values,
    and nothing is known.
    """
    if run.decides:
        return []
    shapes = {name: value.shape for name, value in run.parameters.items()}
    tolerances = {name: killed(run, name) for name in run.parameters}
    families: list[Family] = []
    parallel = parallel_families(run)
    for name, tolerance in tolerances.items():
        if name in parallel:  # what else it does by itself, what takes it up does as well
            families.append(parallel[name])
            continue
        families += families_killed(name, shapes[name], tolerance)
        taken_up = list(families_taken_up(run, name, tolerance))
        families += taken_up
        families += families_null(run, name, tolerance, as_table=not taken_up)
    return [*families_along_mean(run), *(_tidy(family, shapes) for family in families)]


def _tidy(family: Family, shapes: Mapping[str, tuple[int, ...]]) -> Family:
    """The family with blocks counted in the parameters' own shapes where they can be."""

    def slot(s: Slot) -> Slot:
        return replace(s, view=()) if s.view == shapes[s.parameter] else s

    terms = tuple(
        replace(
            term,
            target=slot(term.target),
            sources=tuple(
                s if s.is_constant else replace(s, slot=slot(s.slot)) for s in term.sources
            ),
        )
        for term in family.terms
    )
    return replace(family, terms=terms)
