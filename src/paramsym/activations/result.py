"""What was measured of an activation's symmetries."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.activations.algebra import Pairs, symmetric_part
from paramsym.activations.recognition import TOLERANCE, Factor


@final
@dataclass(frozen=True, eq=False)
class Equivariance:
    """The linear (or affine) symmetries of a function σ: R^h → R^p.

    They are pairs (M, N), in the affine case with shifts (a, b), such that
    J_σ(z)(M z + a) = N σ(z) + b for all z; then σ(exp(tM) z) = exp(tN) σ(z).

    Attributes:
        h: Number of inputs.
        p: Number of outputs.
        affine: Whether shifts were looked for.
        pairs: A basis of the pairs that act on the input: (M, a) are independent. N and b are
            orthogonal to the redundancies.
        redundant: A basis of the pairs with M = 0 and a = 0: linear relations of the outputs.
        scales: Sizes of the points that were sampled.
        dimensions: Number of pairs found at each scale alone.
        retained: Smallest singular value that is not null, as a part of the largest.
        null: Largest null one.
        stable: Whether all scales agree and every pair passed the checks on fresh points.
        reason: If not stable, why not.
        factors: The recognised groups; none for no symmetry, `None` where the group is not known.
        centre: The point about which the factors act, `[h]`; 0 in the linear case.
        discrete: Discrete symmetries that were seen: `"signs"` and `"no signs"` (flipping the sign
            of any inputs flips those outputs, or none), `"permutations"`.
    """

    h: int
    p: int
    affine: bool
    pairs: Pairs
    redundant: Pairs
    scales: tuple[float, ...]
    dimensions: tuple[int, ...]
    retained: float
    null: float
    stable: bool
    reason: str
    factors: tuple[Factor, ...] | None
    centre: Tensor
    discrete: tuple[str, ...]

    @property
    def dimension(self) -> int:
        """Number of pairs in a basis, redundancies of the output included."""
        return len(self.pairs) + len(self.redundant)

    @property
    def group_dim(self) -> int:
        """Dimension of the group that acts on the input."""
        return len(self.pairs)

    @property
    def lost_dim(self) -> int:
        """Dimension of the subgroup that leaves the output unchanged: N = 0 and b = 0."""
        if len(self.pairs) == 0:
            return 0
        values = torch.linalg.svdvals(self.pairs.output_part())
        return len(self.pairs) - int((values > TOLERANCE).sum())

    @property
    def conserved(self) -> Pairs:
        """The conserved part: a basis of the combinations with M = Mᵀ, N = Nᵀ and b = 0. Each gives
        a quantity that gradient flow conserves, ⟨V, MV⟩ + ⟨b, Mb + 2a⟩ − ⟨U, UN⟩ for z = Vx + b and
        Uσ(z) (eq. (12); the shift is docs/derivations.md §2)."""
        return symmetric_part(self.pairs.joined(self.redundant))

    @property
    def group(self) -> str:
        """The recognised group in words."""
        if self.factors is None:
            return f"a group of dimension {self.group_dim} that is not recognised"
        text = " × ".join(map(str, self.factors)) or "none that is continuous"
        if self.affine and bool(self.centre.abs().max() > 0):
            text += f" about {[round(c, 6) for c in self.centre.tolist()]}"
        return text

    def __str__(self) -> str:
        kind = "affine" if self.affine else "linear"
        lines = [f"{kind} symmetries of σ: R^{self.h} → R^{self.p}: {self.group}"]
        pairs = f"{self.dimension} pairs (M, N)"
        if len(self.redundant):
            pairs += f", {len(self.redundant)} of them with M = 0"
        if lost := self.lost_dim:
            pairs += f", {lost} that leave σ unchanged"
        lines.append(f"  {pairs}; conserved part of dimension {len(self.conserved)}")
        if self.discrete:
            lines.append("  discrete: " + ", ".join(self.discrete))
        lines.append(f"  singular values: {self.retained:.1e} retained, {self.null:.1e} null")
        lines.append("  stable over scales" if self.stable else f"  UNSTABLE: {self.reason}")
        return "\n".join(lines)
