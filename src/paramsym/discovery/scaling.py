"""The scaling analysis: all diagonal symmetries, as the null space of the balances.

Dimensional analysis: one unknown log-scale a label, one linear equation a balance. Two kinds of
solutions are left out, because they say nothing new: gauges, which move no parameter (all rows of
a matrix up, all columns down), and those that a general linear family contains.
"""

import numpy as np

from paramsym.discovery.balances import Classes, solve
from paramsym.discovery.distinct import changes, counted, distinct_rows
from paramsym.discovery.equations import Row
from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import FIXED, Labels


def scalings(
    facts: Facts, mixed: Classes, linear: Labels, last: Labels | None = None
) -> tuple[Classes, list[Row]]:
    """A sparse basis of the scalings.

    Args:
        facts: What the rules stated.
        mixed: Labels grouped by the mixing analysis.
        linear: Groups of it that a general linear family acts on, so that each of them may scale.
        last: Labels that few scalings should move, if others will do.

    Returns:
        Classes of labels, and basis vectors as class → log-scale (of its positive labels).
    """
    classes, elimination = solve(facts.balances, facts.count, last)
    size = np.bincount(classes.of, minlength=len(elimination.dead))
    alone, contained = _contained(mixed, linear, classes, elimination.free())
    gauges = _gauges(facts, classes, elimination.free())
    elimination.leave_out(alone, [*contained, *gauges], size)
    return classes, elimination.basis()


def _contained(
    mixed: Classes, linear: Labels, classes: Classes, free: np.ndarray
) -> tuple[Labels, list[Row]]:
    """The scalings of single coordinates of linear families: those that scale one free class, and
    others."""
    is_linear = np.zeros(len(mixed.degenerate), dtype=bool)
    is_linear[linear] = True
    chosen = is_linear[mixed.of] & free[classes.of]
    sign = mixed.sign[chosen] * classes.sign[chosen]
    group, of, sign, _ = counted(mixed.of[chosen], classes.of[chosen], sign)
    starts = np.flatnonzero(changes(group))
    count = np.diff(np.append(starts, len(group)))
    several = [
        dict(zip(of[k : k + n].tolist(), sign[k : k + n].tolist(), strict=True))
        for k, n in zip(starts[count > 1].tolist(), count[count > 1].tolist(), strict=True)
    ]
    return of[starts[count == 1]], several


def _gauges(facts: Facts, classes: Classes, is_free: np.ndarray) -> list[Row]:
    """Solutions that move no parameter.

    They are constant along each axis of each parameter, and add up to 0 over its axes. So they
    solve the balances with one label an axis, which are few.
    """
    if all(len(axes) == 1 for axes in facts.gauges):
        return []
    axis = np.arange(facts.count + 1)
    axis[FIXED] = FIXED
    for axes in facts.gauges:
        for labels in axes:
            axis[labels] = FIXED if len(axes) == 1 else labels[0]
    names, axis = np.unique(axis, return_inverse=True)
    axis -= 1  # the first of the names is FIXED
    balances = {
        exponents: [distinct_rows(axis[rows]) for rows in blocks]
        for exponents, blocks in facts.balances.items()
    }
    for axes in facts.gauges:
        if len(axes) > 1:
            row = np.array([[axis[labels[0]] for labels in axes]])
            balances.setdefault((1.0,) * len(axes), []).append(row)
    of_axes, solutions = solve(balances, len(names) - 1)

    # A solution by the scales of the free classes, each read off at its first label.
    free = np.flatnonzero(is_free)
    _, first = np.unique(classes.of, return_index=True)
    label = axis[first[free]]
    fixed = label == FIXED
    there, sign = of_axes.of[label], of_axes.sign[label] * classes.sign[first[free]]
    found = []
    for solution in solutions.basis():
        touched = np.flatnonzero(np.isin(there, list(solution)) & ~fixed)
        found.append({int(free[i]): solution[int(there[i])] * int(sign[i]) for i in touched})
    return found
