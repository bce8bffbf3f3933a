"""Hidden spaces as index sets, and the axes of tensors as sums and products of them.

An axis of a tensor is a sum of products of spaces: 3·h·d for a fused projection that is viewed as
(3, h, d), a + b for a concatenation. A space is taken apart where an op cuts or reshapes an axis
that it stands on, everywhere at once; spaces that an op pairs entry by entry become one
(docs/derivations.md §20).
"""

from typing import NamedTuple, final

FIXED = -1
"""The space of positions that no permutation moves: inputs, outputs, pixels, vocabulary."""
UNIFORM = -2
"""The space of positions that all hold the same, as an expansion makes them."""


class Factor(NamedTuple):
    """A space as a factor of an axis.

    Attributes:
        space: Its number, `FIXED` or `UNIFORM`.
        size: Its number of elements.
        parity: Which unknowns a change of sign of the space's coordinates multiplies the entries
            by, as a bit set. An unknown says whether one axis of one parameter changes sign.
    """

    space: int
    size: int
    parity: int = 0


Segment = tuple[Factor, ...]
"""A product of spaces, the slowest first; without factors it is a single position."""
Axis = tuple[Segment, ...]
"""A sum of segments, one after the other."""

ONE: Axis = ((),)
"""An axis of size 1."""


def fixed(size: int) -> Axis:
    """An axis that nothing permutes."""
    return () if size == 0 else ONE if size == 1 else ((Factor(FIXED, size),),)


def uniform(size: int) -> Axis:
    """An axis along which nothing varies."""
    return () if size == 0 else ONE if size == 1 else ((Factor(UNIFORM, size),),)


def segment_size(segment: Segment) -> int:
    size = 1
    for factor in segment:
        size *= factor.size
    return size


def axis_size(axis: Axis) -> int:
    return sum(map(segment_size, axis))


class Parts(NamedTuple):
    """What a space was taken apart into: a sum, or a product (slowest first)."""

    is_sum: bool
    children: tuple[int, ...]


@final
class Spaces:
    """All spaces of a walk: which are one, which are fixed, which are made of others.

    Attributes:
        parts: What a space is made of.
        constraints: (space, parity) pairs: changes of sign of this space must cancel.
        unknowns: Number of unknown signs.
        base: For every unknown the parameter axis it speaks of (its first ancestor).
        read: Unknowns of parameter axes that were summed over: readers.
        inner: Axes of what ops make on the way and do not return: products before they are summed
            over, statistics of normalisations.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.parts: dict[int, Parts] = {}
        self.constraints: list[tuple[int, int]] = []
        self.unknowns = 0
        self.base: list[int] = []
        self.read: set[int] = set()
        self.inner: list[tuple[Axis, ...]] = []
        self._parent: list[int] = []
        self._fixed: set[int] = set()
        self._descended: dict[tuple[int, int], int] = {}

    def new(self, size: int) -> int:
        """A new space."""
        self.sizes.append(size)
        self._parent.append(len(self._parent))
        return len(self._parent) - 1

    def unknown(self) -> int:
        """A new unknown sign, as a bit."""
        self.base.append(self.unknowns)
        self.unknowns += 1
        return 1 << (self.unknowns - 1)

    def find(self, space: int) -> int:
        """The space that stands for all that are one with this one."""
        while self._parent[space] != space:
            self._parent[space] = self._parent[self._parent[space]]
            space = self._parent[space]
        return space

    def is_fixed(self, space: int) -> bool:
        return space < 0 or self.find(space) in self._fixed

    # -- statements --------------------------------------------------------------------------

    def fix(self, space: int) -> None:
        """Nothing permutes this space, nor changes its signs."""
        if space < 0:
            return
        root = self.find(space)
        self._fixed.add(root)
        for child in self.parts.get(root, Parts(True, ())).children:
            self.fix(child)

    def fix_axis(self, axis: Axis) -> None:
        for segment in axis:
            for factor in segment:
                self.fix(factor.space)

    def unify(self, left: int, right: int) -> int:
        """Two spaces that are not taken apart are one; the space that stands for both."""
        left, right = self.find(left), self.find(right)
        if left != right:
            assert left not in self.parts
            assert right not in self.parts
            self._parent[right] = left
            if left in self._fixed or right in self._fixed:
                self._fixed |= {left, right}
        return left

    def even(self, axis: Axis) -> Axis:
        """Entries along this axis must not change sign; the axis without signs."""
        for segment in axis:
            for factor in segment:
                if factor.space >= 0 and factor.parity:
                    self.constraints.append((factor.space, factor.parity))
        return unsigned(axis)

    def mark_read(self, axis: Axis) -> None:
        """Parameter axes whose unknowns stand here are summed over."""
        for segment in axis:
            for factor in segment:
                self.read |= {self.base[u] for u in bits(factor.parity)}

    # -- taking apart ------------------------------------------------------------------------

    def divide(self, factor: Factor, outer: int, inner: int) -> tuple[Factor, Factor]:
        """A factor as a product, slow by fast; each of the two has signs of its own."""
        assert outer * inner == factor.size
        if factor.space < 0:
            return Factor(factor.space, outer), Factor(factor.space, inner)
        return self._take_apart(factor, (outer, inner), is_sum=False)

    def sever(self, factor: Factor, first: int) -> tuple[Factor, Factor]:
        """A factor as a sum of its first elements and the rest."""
        sizes = first, factor.size - first
        if factor.space < 0:
            return Factor(factor.space, sizes[0]), Factor(factor.space, sizes[1])
        return self._take_apart(factor, sizes, is_sum=True)

    def _take_apart(
        self, factor: Factor, sizes: tuple[int, int], *, is_sum: bool
    ) -> tuple[Factor, Factor]:
        children = self.new(sizes[0]), self.new(sizes[1])
        self.parts[self.find(factor.space)] = Parts(is_sum, children)
        left, right = (self._child(factor.parity, child) for child in children)
        return left, right

    def _child(self, parity: int, child: int) -> Factor:
        return Factor(child, self.sizes[child], self._descend(parity, child))

    def _descend(self, parity: int, child: int) -> int:
        """The unknowns of a part: its signs are its own."""
        result = 0
        for u in bits(parity):
            if (u, child) not in self._descended:
                self._descended[u, child] = self.unknown()
                self.base[-1] = self.base[u]
            result ^= self._descended[u, child]
        return result

    # -- reading -------------------------------------------------------------------------------

    def settle(self, axis: Axis) -> Axis:
        """The axis in terms of spaces that are not taken apart; fixed neighbours joined."""
        settled: list[Segment] = []
        for piece in self.segments(axis):
            if settled and _all_fixed(piece) and _all_fixed(settled[-1]):
                joint = segment_size(piece) + segment_size(settled.pop())
                settled.append((Factor(FIXED, joint),))
            else:
                settled.append(piece)
        return tuple(settled)

    def segments(self, axis: Axis) -> list[Segment]:
        """The segments in terms of spaces that are not taken apart."""
        return [piece for segment in axis for piece in self.settle_segment(segment)]

    def settle_segment(self, segment: Segment) -> list[Segment]:
        """The segment as a sum of products of spaces that are not taken apart."""
        products: list[Segment] = [()]
        for factor in segment:
            terms = self._terms(factor)
            if len(terms) > 1 and products != [()]:
                self.fix(factor.space)  # a sum in a faster place is no sum of segments
                terms = [(Factor(FIXED, factor.size),)]
            products = [_merged(p, t) for p in products for t in terms]
        return products

    def _terms(self, factor: Factor) -> list[Segment]:
        if factor.size == 1:
            return [()]
        if factor.space < 0:
            return [(factor,)]
        root = self.find(factor.space)
        if root in self._fixed:
            return [(Factor(FIXED, factor.size),)]
        if root not in self.parts:
            return [(Factor(root, factor.size, factor.parity),)]
        is_sum, children = self.parts[root]
        factors = [self._child(factor.parity, child) for child in children]
        if is_sum:
            return [term for child in factors for term in self._terms(child)]
        return self.settle_segment(tuple(factors))

    def leaf_constraints(self) -> dict[int, list[int]]:
        """For every space that is not taken apart the parities that must cancel."""
        found: dict[int, list[int]] = {}
        for space, parity in self.constraints:
            for segment in self.settle(((Factor(space, self.sizes[space], parity),),)):
                for factor in segment:
                    if factor.space >= 0 and factor.parity:
                        found.setdefault(factor.space, []).append(factor.parity)
        return found


def unsigned(axis: Axis) -> Axis:
    """The axis without signs."""
    return tuple(tuple(Factor(f.space, f.size) for f in segment) for segment in axis)


def bits(parity: int) -> list[int]:
    """The positions of the bits that are set."""
    return [u for u in range(parity.bit_length()) if parity >> u & 1]


def _all_fixed(segment: Segment) -> bool:
    return len(segment) == 1 and segment[0].space == FIXED


def _merged(left: Segment, right: Segment) -> Segment:
    if left and right and left[-1].space == right[0].space < 0:
        joint = Factor(left[-1].space, left[-1].size * right[0].size)
        return (*left[:-1], joint, *right[1:])
    return left + right
