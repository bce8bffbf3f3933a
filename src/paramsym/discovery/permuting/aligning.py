"""Axes brought to the same shape: paired entry by entry, cut, and regrouped."""

from collections.abc import Sequence
from enum import Enum, auto
from itertools import accumulate, pairwise

from paramsym.discovery.permuting.spaces import (
    FIXED,
    ONE,
    UNIFORM,
    Axis,
    Factor,
    Segment,
    Spaces,
    axis_size,
    fixed,
    segment_size,
)


class Pairing(Enum):
    """What an op does with the entries that it pairs, which says how their signs combine."""

    ADDED = auto()
    MULTIPLIED = auto()
    CONTRACTED = auto()


def pair(spaces: Spaces, left: Axis, right: Axis, how: Pairing) -> Axis:
    """Two axes of one size whose positions are paired; the axis of the result."""
    assert axis_size(left) == axis_size(right)
    if axis_size(left) == 0:
        spaces.fix_axis((*left, *right))
        return fixed(0)
    while True:  # a cut of one axis may take apart a space on the other
        left, right = tuple(spaces.segments(left)), tuple(spaces.segments(right))
        bounds = [_bounds(axis) for axis in (left, right)]
        if bounds[0] == bounds[1]:
            break
        joint = sorted({*bounds[0], *bounds[1]})
        sizes = [b - a for a, b in pairwise([0, *joint])]
        left = tuple(s for piece in cut(spaces, left, sizes) for s in piece)
        right = tuple(s for piece in cut(spaces, right, sizes) for s in piece)
    paired: list[Segment] = []
    for a, b in zip(left, right, strict=True):
        paired += _pair_segments(spaces, a, b, how)
    return spaces.settle(tuple(paired))


def _bounds(axis: Axis) -> list[int]:
    return list(accumulate(map(segment_size, axis)))


def _pair_segments(spaces: Spaces, left: Segment, right: Segment, how: Pairing) -> list[Segment]:
    done: list[Factor] = []
    a, b = _again(spaces, left), _again(spaces, right)
    while a and b:
        f, g = a[0], b[0]
        size = min(f.size, g.size)
        if f.size % size == g.size % size == 0:
            f, *after = (f,) if f.size == size else spaces.divide(f, size, f.size // size)
            # Dividing one may have taken apart the other.
            if g.space >= 0 and spaces.find(g.space) in spaces.parts:
                a, b = _again(spaces, (f, *after, *a[1:])), _again(spaces, b)
                continue
            g, *behind = (g,) if g.size == size else spaces.divide(g, size, g.size // size)
            done.append(_pair_factors(spaces, f, g, how))
            a = _again(spaces, (*after, *a[1:]))
            b = _again(spaces, (*behind, *b[1:]))
        else:
            spaces.fix_axis((a, b))
            return [(*done, Factor(FIXED, segment_size(a)))]
    return [tuple(done)]


def _again(spaces: Spaces, segment: Segment) -> Segment:
    """The segment settled after another one was taken apart; what became a sum is fixed."""
    products = spaces.settle_segment(segment)
    if len(products) == 1:
        return products[0]
    spaces.fix_axis((segment,))
    return (Factor(FIXED, segment_size(segment)),)


def _pair_factors(spaces: Spaces, f: Factor, g: Factor, how: Pairing) -> Factor:
    if UNIFORM in (f.space, g.space):
        space = g.space if f.space == UNIFORM else f.space
    elif FIXED in (f.space, g.space):
        spaces.fix(f.space)
        spaces.fix(g.space)
        space = FIXED
    else:
        space = spaces.unify(f.space, g.space)
    if space < 0:
        return Factor(space, f.size)
    if how is Pairing.MULTIPLIED:
        return Factor(space, f.size, f.parity ^ g.parity)
    if f.parity != g.parity:
        spaces.constraints.append((space, f.parity ^ g.parity))
    return Factor(space, f.size, f.parity)


def cut(spaces: Spaces, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    """The axis in consecutive pieces."""
    pieces: list[Axis] = []
    rest = list(axis)
    for size in sizes:
        piece: list[Segment] = []
        missing = size
        while missing:
            segment, *others = spaces.settle_segment(rest.pop(0))
            rest = [*others, *rest]
            have = segment_size(segment)
            if have > missing:
                segment, after = _cut_segment(spaces, segment, missing)
                rest.insert(0, after)
                have = missing
            piece.append(segment)
            missing -= have
        pieces.append(tuple(piece) if piece else ())
    return pieces


def _cut_segment(spaces: Spaces, segment: Segment, size: int) -> tuple[Segment, Segment]:
    first, others = segment[0], segment[1:]
    inner = segment_size(others)
    if size % inner == 0:
        left, right = spaces.sever(first, size // inner)
        return (left, *others), (right, *others)
    spaces.fix_axis((segment,))
    return (Factor(FIXED, size),), (Factor(FIXED, segment_size(segment) - size),)


def regroup(spaces: Spaces, axes: Sequence[Axis], shape: Sequence[int]) -> list[Axis]:
    """The axes after a reshape, which keeps the order of the entries."""
    if 0 in shape or any(axis_size(axis) == 0 for axis in axes):
        for axis in axes:
            spaces.fix_axis(axis)
        return [fixed(size) for size in shape]
    old = [axis for axis in map(spaces.settle, axes) if axis_size(axis) > 1]
    new = [size for size in shape if size > 1]
    made: list[Axis] = []
    while new:
        group, wanted = [old.pop(0)], [new.pop(0)]
        have, want = axis_size(group[0]), wanted[0]
        while have != want:
            if have < want:
                group.append(old.pop(0))
                have *= axis_size(group[-1])
            else:
                wanted.append(new.pop(0))
                want *= wanted[-1]
        made += _regroup(spaces, [spaces.settle(axis) for axis in group], wanted)
    following = iter(made)
    return [ONE if size == 1 else next(following) for size in shape]


def _regroup(spaces: Spaces, group: list[Axis], wanted: list[int]) -> list[Axis]:
    if len(group) == len(wanted) == 1:
        return group
    first, *others = group
    simple = all(len(axis) == 1 for axis in others)
    if simple and len(wanted) == 1:  # (a + b)·c = a·c + b·c
        tail = tuple(factor for axis in others for factor in axis[0])
        return [spaces.settle(tuple(segment + tail for segment in first))]
    if not simple or len(first) > 1:
        for axis in group:
            spaces.fix_axis(axis)
        return [fixed(size) for size in wanted]
    rest: Segment = tuple(factor for axis in group for factor in axis[0])
    made: list[Axis] = []
    for size in wanted:
        taken: list[Factor] = []
        missing = size
        while missing > 1:
            rest = _again(spaces, rest)
            factor = rest[0]
            if missing % factor.size == 0:
                taken.append(factor)
                rest, missing = rest[1:], missing // factor.size
            elif factor.size % missing == 0:
                slow, fast = spaces.divide(factor, missing, factor.size // missing)
                taken.append(slow)
                rest, missing = (fast, *rest[1:]), 1
            else:
                spaces.fix_axis((tuple(taken), rest))
                for axis in made:
                    spaces.fix_axis(axis)
                return [fixed(n) for n in wanted]
        made.append((tuple(taken),))
    return [spaces.settle(axis) for axis in made]
