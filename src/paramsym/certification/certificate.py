"""A certificate: what of a model's flat directions is explained, and what is not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

import torch
from torch import Tensor

Verdict = Literal["complete", "incomplete", "undecided", "unsound"]
Place = Literal["generic", "here"]

SCHEMA = "paramsym.certificate/1"

_NUMBERS = (
    *("parameters", "unused", "rows", "nullity", "rank", "idle", "extra", "undecided", "grew"),
    *("kept", "dropped", "tolerance", "special_inputs", "at", "mode", "seed"),
)

LISTED = 12
"""Parameters that the text lists where unexplained directions lie."""


@final
@dataclass(frozen=True)
class FamilyShare:
    """A family's own flat directions at the parameters.

    Attributes:
        name: The family's name.
        group: Its group, as text.
        dim: Dimension of its own orbit there. Families overlap: the sum may exceed the joint rank.
        residual: Largest cosine of a generator with a row of the Jacobian.
        holds: Whether rounding explains that.
    """

    name: str
    group: str
    dim: int
    residual: float
    holds: bool


@final
@dataclass(frozen=True, eq=False)
class LocalFamily:
    """Flat directions that exist because of the values of the parameters, or of the inputs' shape.

    Attributes:
        kind: What makes them flat; see `paramsym.certification.exceptions`.
        where: Parameter, module or family.
        dim: How many directions it adds to those of the symmetry and of the ones listed before.
        detail: A few words on its numbers.
    """

    kind: str
    where: str
    dim: int
    detail: str = ""


@final
@dataclass(frozen=True)
class Unit:
    """A hidden unit that can go without changing the function.

    Attributes:
        layer: The parameter that reads it.
        unit: Its number along the axis that is read.
        kind: `"dead"` (always zero), `"constant"`, or `"duplicate"` (a multiple of another unit, up
            to a constant).
        of: The other unit, for a duplicate.
    """

    layer: str
    unit: int
    kind: Literal["dead", "constant", "duplicate"]
    of: int | None = None


@final
@dataclass(frozen=True, eq=False)
class Certificate:
    """How many directions of parameter space leave a model's outputs alone, and what explains them.

    Nullity = rank + idle + local + extra. The nullity is that of ∂outputs/∂θ over as many inputs as
    it takes to be stable; the rank is that of the symmetry's infinitesimal action at the same θ.

    Attributes:
        parameters: Number d of real parameters that outputs depend on.
        unused: Entries of parameters that no output depends on; not among the d.
        rows: Rows of the Jacobian that were computed, each at inputs of its own.
        nullity: Dimension of the kernel of the Jacobian.
        rank: Dimension of the symmetry's orbit through θ, without families that are not sound here.
        idle: Further directions that move only entries of θ that never enter, for inputs of these
            shapes: embeddings of positions beyond their length, or of tokens never drawn.
        local: Further directions that are there for a known reason that depends on θ.
        extra: Further directions, not explained.
        undecided: Singular values that are neither clearly zero nor clearly not.
        grew: Whether fresh rows still removed directions when `max_rows` was reached.
        kept: Smallest singular value that is not zero, relative to the largest.
        dropped: Largest one that counts as zero, the families' residuals included.
        tolerance: Rounding explains residuals up to this.
        families: Every family by itself.
        unexplained: Orthonormal basis of the extra directions, orthogonal to all that is explained:
            parameter name → `[extra, *shape]`.
        local_directions: The same of the local ones.
        special_inputs: How many extra directions inputs of the default kind would remove: those
            that are flat on the given sampler's inputs alone.
        units: Hidden units that can go.
        held: Numbers of the inputs, in the order of `args` and `kwargs`, that were left as given.
        at: `"generic"` or `"here"`.
        mode: Mode in which the model was recorded.
        seed: Seed of every draw.
        within: The parameters that were looked at, where it was not all: all counts are of
            directions that move no others, and `families` are those that do not.
        left_out: Families that move other parameters as well and are too large to look how they
            combine to directions that do not: what is extra may be such.
    """

    parameters: int
    unused: int
    rows: int
    nullity: int
    rank: int
    idle: int
    local: tuple[LocalFamily, ...]
    extra: int
    undecided: int
    grew: bool
    kept: float
    dropped: float
    tolerance: float
    families: tuple[FamilyShare, ...]
    unexplained: Mapping[str, Tensor] = field(repr=False)
    local_directions: Mapping[str, Tensor] = field(repr=False)
    special_inputs: int
    units: tuple[Unit, ...]
    held: tuple[int, ...]
    at: Place
    mode: str
    seed: int
    within: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def explained(self) -> int:
        """Flat directions that are explained: nullity − extra."""
        return self.nullity - self.extra

    @property
    def beyond(self) -> dict[str, int]:
        """Flat directions that the symmetry does not give, nullity − rank, by kind."""
        kinds = {"entries that never enter": self.idle, "by these values": self.local_dim}
        return {k: n for k, n in kinds.items() if n} | {"not explained": self.extra}

    @property
    def local_dim(self) -> int:
        """Flat directions that depend on θ."""
        return sum(family.dim for family in self.local)

    @property
    def unsound(self) -> tuple[str, ...]:
        """Families that are no symmetries here."""
        return tuple(f.name for f in self.families if not f.holds)

    @property
    def residual(self) -> float:
        """Largest residual of a family: rounding, if all are symmetries."""
        return max((f.residual for f in self.families), default=0.0)

    @property
    def verdict(self) -> Verdict:
        """`"unsound"` if a family is no symmetry, `"undecided"` if the numbers do not tell,
        `"incomplete"` if a direction is not explained; `"complete"` otherwise."""
        if self.unsound:
            return "unsound"
        if self.undecided or self.grew or (self.extra and self.left_out):
            return "undecided"
        return "incomplete" if self.extra else "complete"

    @property
    def energy(self) -> tuple[tuple[str, float], ...]:
        """Where the extra directions lie: parameters with their share, largest first.

        The share of a parameter is the sum of squares of its entries in `unexplained`, divided by
        `extra`; shares add up to 1.
        """
        whole = max(1, self.extra)
        shares = [(k, float(v.square().sum()) / whole) for k, v in self.unexplained.items()]
        return tuple(sorted((s for s in shares if s[1] > 0), key=lambda s: -s[1]))

    def line(self) -> str:
        """The certificate in one line."""
        counts = f"nullity {self.nullity}, found {self.rank}"
        counts += f", idle {self.idle}" if self.idle else ""
        counts += f", local {self.local_dim}" if self.local_dim else ""
        return (
            f"{self.verdict}: {self.parameters} parameters, {counts}, extra {self.extra} "
            f"(at {self.at} parameters; gap {self.kept:.0e} / {self.dropped:.0e})"
        )

    def __str__(self) -> str:
        from paramsym.certification.telling import as_text

        return as_text(self)

    def to_dict(self, *, directions: bool = False) -> dict[str, Any]:
        """The certificate as JSON-ready data.

        Args:
            directions: Also the bases, as nested lists.
        """
        plain = {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "explained": self.explained,
            "residual": self.residual,
            "local": [vars_of(f) for f in self.local],
            "families": [vars_of(f) for f in self.families],
            "units": [vars_of(u) for u in self.units],
            "energy": [{"parameter": k, "share": share} for k, share in self.energy],
            "held": list(self.held),
            "within": list(self.within),
            "left_out": list(self.left_out),
        }
        for name in _NUMBERS:
            plain[name] = getattr(self, name)
        if directions:
            plain["unexplained"] = {k: v.tolist() for k, v in self.unexplained.items()}
            plain["local_directions"] = {k: v.tolist() for k, v in self.local_directions.items()}
        return plain


def vars_of(value: Any) -> dict[str, Any]:
    """The fields of a flat dataclass."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def no_directions(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """An empty basis."""
    return {k: torch.empty(0, *shape, dtype=torch.float64) for k, shape in shapes.items()}
