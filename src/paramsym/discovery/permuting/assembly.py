"""From spaces to discrete families: permutations, signs, copies, names."""

from collections.abc import Mapping, Sequence

from paramsym.discovery.naming import sides
from paramsym.discovery.permuting.layout import Occurrence, occurrences, port
from paramsym.discovery.permuting.nesting import counting
from paramsym.discovery.permuting.signs import solutions
from paramsym.discovery.permuting.spaces import Spaces
from paramsym.discovery.permuting.walk import Axes
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import DiscreteGroup, Permutations, Signs
from paramsym.ports import Port

Places = Mapping[int, list[Occurrence]]


def assemble(axes: Axes) -> list[DiscreteFamily]:
    """The families of every space that is not fixed, in the order of the parameters."""
    spaces = axes.spaces
    for value in (*axes.values, *axes.parameters.values()):
        for axis in value:
            spaces.segments(axis)  # what is no sum of products is fixed, before any place is told
    places = occurrences(spaces, axes.parameters)
    copies, constraints = counting(axes), spaces.leaf_constraints()
    families: list[DiscreteFamily] = []
    for space, own in places.items():
        slower = [s for s in copies.get(space, ()) if s in places]
        by_axis = list(_by_axis(own).values())
        ports = _ports(spaces, by_axis, slower, places)
        if ports is None:
            slower = []
            ports = _ports(spaces, by_axis, slower, places)
        assert ports is not None
        families.append(_family(Permutations, "permutations", ports))
        signed = [place for place in own if place.unknown]
        for flipped in solutions([p.unknown for p in signed], constraints.get(space, [])):
            chosen = [[place] for place in signed if place.unknown & flipped]
            ports = _ports(spaces, chosen, slower, places)
            if ports is not None:
                families.append(_family(Signs, "signs", ports))
    return families


def _by_axis(own: Sequence[Occurrence]) -> dict[tuple[str, int], list[Occurrence]]:
    found: dict[tuple[str, int], list[Occurrence]] = {}
    for place in own:
        found.setdefault((place.parameter, place.axis), []).append(place)
    return found


def _ports(
    spaces: Spaces, chosen: Sequence[list[Occurrence]], slower: Sequence[int], places: Places
) -> list[Port] | None:
    """A port for each set of occurrences; `None` where copies cannot be told apart."""
    made = []
    for own in chosen:
        name = own[0].parameter
        others = [[p for p in places[s] if p.parameter == name] for s in slower]
        if any(len({p.axis for p in other}) != 1 for other in others):
            return None
        found = port(spaces, own, others, spaces.sizes[own[0].space])
        if found is None:
            return None
        made.append(found)
    return made


def _family(kind: type[DiscreteGroup], what: str, ports: list[Port]) -> DiscreteFamily:
    copies, n, _ = ports[0].index.shape
    # A space may have no writer or no reader among the parameters.
    where = " → ".join(side for side in sides(ports) if side)
    return DiscreteFamily(f"{where} ({what})", kind(n, copies), tuple(ports))
