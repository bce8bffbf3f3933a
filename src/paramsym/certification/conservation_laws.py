"""How many conservation laws does gradient flow have in all?

Under gradient flow of any loss of the outputs, θ moves along the fields ∇_θ⟨w, F(θ, x)⟩. A quantity
that every such flow leaves constant is one that every field, hence every Lie bracket of fields,
leaves constant. By Frobenius' theorem there are d − dim Lie(θ) independent ones near a generic θ,
where Lie is the Lie algebra that the fields generate (S. Marcotte, R. Gribonval, G. Peyré, "Abide
by the law and follow the flow: conservation laws for gradient flows", NeurIPS 2023). It is spanned
numerically here, by nested brackets of random fields.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vmap

from paramsym.certification.parametric import (
    Function,
    Inputs,
    Parametric,
    draw,
    hold,
    parametric,
)

PARAMETER_LIMIT = 128
"""Largest number of parameters: brackets are dense, and as many are drawn as there are."""

NUDGE = 8 * torch.finfo(torch.float64).eps
"""Relative size of the step that tells rounding errors from values."""

NOISE_LIMIT = 1e-9
"""A bracket is left out if the nudge changes more than this fraction of it. Parallel fields
commute, and their brackets are rounding errors, which change altogether; others lose digits near a
pole of the function. More brackets are drawn than are needed."""

RANK_TOLERANCE = 1e-7
"""A direction counts if its singular value is above this fraction of the largest: above
`NOISE_LIMIT` times √(2·rows), the most that noise adds to a singular value, for 128 parameters."""

CLEAR_GAP = 1e3
"""Factor between the singular values that count and those that do not, for a count to be clear."""

CANDIDATES = 16
"""Random parameters of which the best is taken."""

OVERSAMPLING = 1.6
"""Brackets drawn at each depth, as a multiple of the number of parameters."""

Field = Callable[[Tensor, tuple[Tensor, ...], Tensor], Tensor]
"""A vector field at θ `[d]`, given inputs and output weights along a first axis."""


@final
@dataclass(frozen=True)
class ConservationLaws:
    """The number of independent conservation laws of gradient flow, and how it was measured.

    Attributes:
        parameters: Number d of parameters that gradient flow moves.
        ranks: Dimension of the span of the brackets of depth at most 1, 2, ….
        kept: Smallest singular value that was counted at any depth, as a fraction of the largest.
        dropped: Largest one that was not.
        settled: Whether the dimension had stopped growing (equal at three depths, or full). If not,
            `laws` is an upper bound.
        seconds: Time taken.
    """

    parameters: int
    ranks: tuple[int, ...]
    kept: float
    dropped: float
    settled: bool
    seconds: float

    @property
    def rank(self) -> int:
        """Dimension of the Lie algebra at θ: of what gradient flows can reach from there."""
        return self.ranks[-1]

    @property
    def laws(self) -> int:
        """The number of independent conservation laws."""
        return self.parameters - self.rank

    @property
    def depth(self) -> int:
        """Depth of the deepest brackets."""
        return len(self.ranks)

    @property
    def is_clear(self) -> bool:
        """Whether the count is settled, and no singular value is close to the threshold."""
        return self.settled and self.kept >= CLEAR_GAP * self.dropped


def count_conservation_laws(
    function: nn.Module | Function,
    inputs: Inputs,
    params: Mapping[str, Tensor] | None = None,
    *,
    fixed: bool = False,
    generic: bool = True,
    scale: float = 1.0,
    max_depth: int = 8,
    seed: int = 0,
) -> ConservationLaws:
    """Count the functions of the parameters that gradient flow conserves for every loss.

    Every loss means every differentiable function of the outputs, on every data set of such inputs;
    with `fixed`, on these inputs alone. Everything runs in float64 on the CPU.

    Inputs that are special (all on a line, say) have more laws than others, and a sampler that
    returns such inputs gets their count; one that repeats itself is rejected.

    Args:
        function: A module, or a function of a parameter dict and inputs that returns a tensor. It
            must be made of ops with derivatives of any order that `torch.func` can batch.
        inputs: One example of an input (or a tuple of inputs), as the function takes it; fresh
            normal inputs of its shape are drawn. Or a sampler, which is given a `torch.Generator`
            and returns one input (or a tuple).
        params: The parameters θ; of a module by default its own. Frozen ones (of a module) are
            constants.
        fixed: Whether the inputs are the whole data set.
        generic: Count at random parameters of these shapes, so that the answer is that of the
            architecture. Otherwise at the parameters given, where laws that hold only there (of
            dead units, or of zero biases) count too.
        scale: Standard deviation of the random parameters.
        max_depth: Deepest brackets, at least 3. The cost doubles or more with each.
        seed: Seed of every draw.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there are more than `PARAMETER_LIMIT` parameters, the outputs are not
            differentiable often enough or not finite, or do not depend on the parameters.
    """
    start = time.perf_counter()
    if max_depth < 3:
        raise ValueError(
            "`max_depth` must be at least 3, the number of equal ranks that settle the count; "
            f"got {max_depth}."
        )
    network = parametric(function, params)
    d = network.dim
    if d > PARAMETER_LIMIT:
        raise ValueError(
            f"`count_conservation_laws` is for small networks, of at most {PARAMETER_LIMIT} "
            f"parameters that are free to move; got {d}. Use narrower layers of the same kind; "
            "`symmetry.law_dim` counts the laws that symmetries give at any size."
        )
    generator = torch.Generator().manual_seed(seed)
    draws = _Draws(network, inputs, fixed, int(OVERSAMPLING * d) + 6, generator)
    if generic:
        theta, span = _generic_point(draws, scale)
    else:
        theta, span = network.theta(), torch.zeros(0, d, dtype=torch.float64)
    ranks: list[int] = []
    kept, dropped = 1.0, 0.0
    settled = False
    while not settled and len(ranks) < max_depth:
        depth = len(ranks) + 1
        rows = torch.cat([span, draws.brackets(theta, depth)])
        _, values, directions = torch.linalg.svd(rows, full_matrices=False)
        if len(values) == 0:
            raise ValueError(
                "the outputs of `function` have derivative zero in all parameters. Pass a function "
                "that depends on them and is differentiable: without `detach`, rounding or argmax."
            )
        values = values / values[0]
        rank = int((values > RANK_TOLERANCE).sum())
        kept = min(kept, float(values[rank - 1]))
        dropped = max(dropped, float(values[rank:].amax())) if rank < len(values) else dropped
        span = directions[:rank]
        ranks.append(rank)
        settled = rank == d or (depth >= 3 and ranks[-3] == rank)
    return ConservationLaws(d, tuple(ranks), kept, dropped, settled, time.perf_counter() - start)


@final
@dataclass(frozen=True)
class _Draws:
    """A source of random brackets of the fields ∇_θ⟨w, F(θ, x)⟩.

    Attributes:
        network: F.
        inputs: Where x comes from.
        fixed: Whether x is always the same.
        count: How many brackets are drawn at a time.
        generator: Source of randomness.
    """

    network: Parametric
    inputs: Inputs
    fixed: bool
    count: int
    generator: torch.Generator

    def slots(self, theta: Tensor, depth: int) -> tuple[tuple[Tensor, ...], Tensor]:
        """Inputs, each `[count, depth, ...]`, and output weights `[count, depth, outputs]`."""
        total = self.count * depth
        xs = hold(self.inputs, total) if self.fixed else draw(self.inputs, total, self.generator)
        outputs = self.network.output_count(theta, xs)
        shape = (self.count, depth, outputs)
        weights = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        return tuple(x.unflatten(0, (self.count, depth)) for x in xs), weights

    def brackets(self, theta: Tensor, depth: int) -> Tensor:
        """Brackets of this depth at θ, normalised, without those that are noise, `[rows, d]`."""
        slots, weights = self.slots(theta, depth)
        signs = torch.randn(theta.shape, generator=self.generator, dtype=torch.float64).sign()
        thetas = torch.stack([theta, theta * (1 + NUDGE * signs)])
        field = vmap(_bracket(self.network, depth), in_dims=(None, 0, 0))
        twice = vmap(field, in_dims=(0, None, None))
        values, nudged = self.network.batched(twice, thetas, slots, weights)
        norms = values.norm(dim=1)
        if not bool(torch.isfinite(norms).all()):
            raise ValueError(
                f"derivative {depth} of the outputs of `function` is not finite at random "
                "parameters and inputs. Look for square roots, norms or divisions at zero, or pass "
                "`params` where it is finite, with `generic=False`."
            )
        sound = (norms > 0) & ((nudged - values).norm(dim=1) <= NOISE_LIMIT * norms)
        return values[sound] / norms[sound, None]


def _generic_point(draws: _Draws, scale: float) -> tuple[Tensor, Tensor]:
    """The one of several random θ where the gradients span most, best conditioned; and gradients.

    Where a unit is dead or always active, or two are nearly parallel, they span less.
    """
    best, found = None, (-1, 0.0)
    for _ in range(CANDIDATES):
        theta = draws.network.random_theta(scale, draws.generator)
        gradients = draws.brackets(theta, 1)
        values = torch.linalg.svdvals(gradients)
        rank = int((values > RANK_TOLERANCE * values[:1]).sum())
        here = (rank, float(values[rank - 1] / values[0]) if rank else 0.0)
        if best is None or here > found:
            best, found = (theta, gradients), here
    assert best is not None
    return best


def _bracket(network: Parametric, depth: int) -> Field:
    """The field [g_p, [… [g₂, g₁]]], with [b, a] = Da·b − Db·a, where g_i is the i-th gradient."""
    gradient = grad(lambda theta, xs, w: w @ network(theta, *xs))

    def last(theta: Tensor, slots: tuple[Tensor, ...], weights: Tensor) -> Tensor:
        return gradient(theta, tuple(x[depth - 1] for x in slots), weights[depth - 1])

    if depth == 1:
        return last
    inner = _bracket(network, depth - 1)

    def field(theta: Tensor, slots: tuple[Tensor, ...], weights: Tensor) -> Tensor:
        b = last(theta, slots, weights)
        a, a_along_b = jvp(lambda theta: inner(theta, slots, weights), (theta,), (b,))[:2]
        b_along_a = jvp(lambda theta: last(theta, slots, weights), (theta,), (a,))[1]
        return a_along_b - b_along_a

    return field
