"""Which spaces count independent copies of which.

Elements of a space that are never met without an element of a slower one, such as the channels of a
group, may be permuted differently for every element of the slower one. Where two elements of the
slower one are met at once, as when heads attend to each other, nothing says which of them counts.
"""

from collections import Counter

from paramsym.discovery.permuting.spaces import Axis, Factor, Spaces
from paramsym.discovery.permuting.walk import Axes


def counting(axes: Axes) -> dict[int, list[int]]:
    """For every space the slower ones, in products with it, that it always stands beside."""
    beside: dict[int, set[int]] = {}
    for value in {*axes.values, *axes.parameters.values(), *axes.spaces.inner}:
        for space, others in _companions(axes.spaces, value):
            beside[space] = beside[space] & others if space in beside else others
    slower = _slower(axes.spaces)
    return {space: sorted(others & slower.get(space, set())) for space, others in beside.items()}


def _companions(spaces: Spaces, value: tuple[Axis, ...]) -> list[tuple[int, set[int]]]:
    """For every place of a space in a value, the spaces that each of its entries also stands in."""
    settled = [
        [{f.space for f in segment if f.space >= 0} for segment in spaces.segments(axis)]
        for axis in value
    ]
    everywhere = [set.intersection(*pieces) if pieces else set[int]() for pieces in settled]
    axes_of = Counter(space for pieces in settled for space in set[int]().union(*pieces))
    found = []
    for a, pieces in enumerate(settled):
        others = set[int]().union(*everywhere[:a], *everywhere[a + 1 :])
        elsewhere = {space for space in others if axes_of[space] == 1}
        found += [(space, (piece | elsewhere) - {space}) for piece in pieces for space in piece]
    return found


def _slower(spaces: Spaces) -> dict[int, set[int]]:
    """For every space those before it in a product that a larger space was taken apart into."""
    found: dict[int, set[int]] = {}
    for root, (is_sum, children) in spaces.parts.items():
        if is_sum or spaces.is_fixed(root):
            continue
        slow, fast = (
            {
                factor.space
                for segment in spaces.segments(((Factor(child, spaces.sizes[child]),),))
                for factor in segment
                if factor.space >= 0
            }
            for child in children
        )
        for space in fast:
            found.setdefault(space, set()).update(slow)
    return found
