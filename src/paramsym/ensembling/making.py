"""Ensembles from one model, by kind."""

import math

import torch
from torch import Tensor, nn
from torch.func import vmap

from paramsym.data_dependent import VARIANTS, HiddenSpace, PseudoInverse, Variant
from paramsym.data_dependent.runs import Inputs
from paramsym.element import GroupElement
from paramsym.ensembling import baselines
from paramsym.ensembling.elements import (
    condition_numbers,
    group_elements,
    require_conditioned,
)
from paramsym.ensembling.members import Ensemble
from paramsym.ensembling.moves import FrozenMoves, OrbitMoves
from paramsym.ensembling.references import draw_references, reader_matrices
from paramsym.symmetry import Symmetry

BASELINES = ("inverse", "random", "shuffle", "interpolated")
"""The baselines of Appendix I."""
KINDS = (*VARIANTS, *BASELINES)
"""How members may be made on a hidden space."""


def ensemble(
    model: nn.Module,
    where: Symmetry | HiddenSpace,
    members: int,
    scale: float,
    *,
    kind: str | None = None,
    references: Inputs | None = None,
    samples: int | None = None,
    elements: str = "exp",
    generator: torch.Generator,
    check: bool = True,
    chunk: int | None = None,
) -> Ensemble:
    """An ensemble from one trained model, without training (Section 6, Appendix I).

    Each member has a group element of its own. On a `Symmetry` (kind `"orbit"`) all members compute
    the model's own function, up to rounding, which grows with `condition`: no diversity, by
    construction. On a `HiddenSpace` a member is (U π_i, g_i V):

    | kind | π_i | outputs kept | the model at ε = 0 |
    |---|---|---|---|
    | `"qr"`, `"polar"`, `"twisted"` | the action at the member's references | at these | yes |
    | `"minimal"` | the same, with the smallest change | at these, for k ≤ h | yes |
    | `"pinv"` | the paper's σ(Z)σ(gZ)†, of rank k | at these, for k ≤ h | at these |
    | `"inverse"` | g⁻¹ | | yes |
    | `"random"` | I + εD | | yes |
    | `"shuffle"` | π of `"pinv"`, its entries in random order | | no |
    | `"interpolated"` | P⁻¹, and P for g; see `baselines` | | yes |

    π is made once and frozen: recomputed on each batch it would give the model back. It is
    made in float64, as g is, whatever the model's dtype. With k = h references it is σ(Z)σ(gZ)⁻¹
    for all kinds of the action, which differ for fewer only.

    The same seed gives the same elements for every scale and, but for `"interpolated"`, every kind,
    and the same references for all kinds that take them. For fewer members take the first of them.

    Args:
        model: The model; on a hidden space in evaluation mode.
        where: `discover(…)`, or `hidden_space(…)` of this model.
        members: K, at least 1.
        scale: ε, the size of the generators of g; see `group_elements`.
        kind: One of the above; by default `"orbit"` on a symmetry and `"qr"` on a hidden space.
        references: A pool of data, a tuple of the model's arguments with samples along the first
            axis, of which each member draws its own. Not read by kinds that need none.
        samples: How many, k; by default as many as give h hidden states.
        elements: `"exp"` for exp(εT), or `"linear"` for I + εT, as the paper prints it.
        generator: Source of all randomness.
        check: Refuse values that do not do: g singular in float64, hidden states off the locus.
        chunk: Most pairs of a member and a sample that are evaluated at once. It bounds the memory
            to `chunk` times what one sample takes behind the writer, what the model itself takes
            in front of it for max(1, chunk/K) samples, K moved readers, and the outputs; on a
            symmetry, to `chunk` times what one sample takes and min(K, chunk) moved models. Where
            gradients are recorded, all is kept. By default all members at once, and as many
            samples as give 2¹⁸ entries in the largest tensor that a module makes behind the writer
            (for one sample at most 2²⁴; members are cut otherwise). Samples are cut along the
            first axis, in evaluation mode only, and not if two together give something else than
            each alone.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number, kind or name does not fit; the model is not that of the hidden
            space or the symmetry; there are too few references, or more than GL(h) can keep; or,
            with `check`, g is singular in float64 or the references lose rank.
    """
    _require(model, where, members, scale, generator, chunk)
    if isinstance(where, Symmetry):
        return _on_orbit(model, where, members, scale, kind, elements, generator, check, chunk)
    kind = "qr" if kind is None else kind
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {list(KINDS)} on a hidden space; got {kind!r}.")
    if where.model is not model:
        raise ValueError(
            "`where` is the hidden space of another model. Use `hidden_space(model, …)` of this."
        )
    if model.training:
        raise ValueError(
            "`model` must be in evaluation mode, because in training mode σ may depend on the "
            "batch and on chance. Call `model.eval()`."
        )
    h = where.width
    if kind == "interpolated":
        g = baselines.interpolated(h, members, scale, generator)
    else:
        g = group_elements(h, members, scale, elements, generator=generator)
    condition = condition_numbers(g)
    if check:
        require_conditioned(condition, h, scale)
    device = model.get_parameter(f"{where.writer}.weight").device
    g, index = g.to(device), None
    variant: Variant | None = PseudoInverse() if kind == "shuffle" else VARIANTS.get(kind)
    if variant is not None:
        if references is None:
            raise ValueError(
                f"`references` must be given for kind {kind!r}: each member keeps the outputs at "
                "some of them. Pass `(images,)`."
            )
        taken = draw_references(
            where, references, members, samples, generator, at_most=not variant.any_batch
        )
        index = taken.index
        pi = reader_matrices(where, g, taken, variant, check=check)
        if kind == "shuffle":
            pi = baselines.shuffled(pi, generator)
    else:
        if kind == "random":
            one = baselines.random_diagonal(h, members, scale, generator).to(device)
        else:
            one = baselines.inverse(g)
        pi = one[:, None].expand(-1, len(where.readers), -1, -1).clone()
    return Ensemble(
        model,
        FrozenMoves(where, g, pi),
        kind=kind,
        scale=scale,
        condition=condition.to(device),
        references=index,
        chunk=chunk,
    )


def _on_orbit(
    model: nn.Module,
    symmetry: Symmetry,
    members: int,
    scale: float,
    kind: str | None,
    elements: str,
    generator: torch.Generator,
    check: bool,
    chunk: int | None,
) -> Ensemble:
    if kind not in (None, "orbit"):
        raise ValueError(
            f"`kind` must be 'orbit' on a symmetry, which acts exactly; got {kind!r}. The others "
            "act on a hidden space: `where=hidden_space(model, writer, readers, inputs)`."
        )
    if elements != "exp":
        raise ValueError(
            f"`elements` must be 'exp' on a symmetry, because I + εM leaves the group; got "
            f"{elements!r}."
        )
    if not len(symmetry):
        raise ValueError("`where` has no families: there is nothing to move the model by.")
    names, groups = zip(*((f.name, f.group) for f in symmetry), strict=True)
    drawn: list[Tensor] = []
    for group in groups:
        M = torch.stack([group.sample_algebra(scale, generator=generator) for _ in range(members)])
        drawn.append(vmap(group.exp)(M))
    letters = (tuple(g[i] for g in drawn) for i in range(members))
    condition = torch.tensor(
        [_condition(GroupElement(names, groups, each)) for each in letters], dtype=torch.float64
    )
    if check:
        width = max(group.n for group in groups)
        require_conditioned(condition, width, scale)
    params = dict(model.named_parameters())
    symmetry.act({name: g[0] for name, g in zip(names, drawn, strict=True)}, params, check=check)
    device = next(iter(params.values())).device
    moves = OrbitMoves(symmetry, [g.to(device) for g in drawn])
    moves.require_mode(model)
    return Ensemble(
        model, moves, kind="orbit", scale=scale, condition=condition.to(device), chunk=chunk
    )


def _condition(g: GroupElement) -> float:
    if not all(bool(torch.isfinite(letter).all()) for letter in g.tensors):
        return math.inf
    return g.condition()


def _require(
    model: object,
    where: object,
    members: object,
    scale: object,
    generator: object,
    chunk: object,
) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` must be a torch.nn.Module; got {type(model).__name__}.")
    if not isinstance(where, Symmetry | HiddenSpace):
        raise TypeError(
            "`where` must be a symmetry, from `discover(model, inputs)`, or a hidden space, from "
            f"`hidden_space(model, writer, readers, inputs)`; got {type(where).__name__}."
        )
    if isinstance(members, bool) or not isinstance(members, int) or members < 1:
        raise ValueError(f"`members` must be a positive integer; got {members!r}.")
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        raise TypeError(f"`scale` must be a number; got {type(scale).__name__}.")
    if not 0 <= scale < math.inf:
        raise ValueError(f"`scale` must be finite and not negative; got {scale}.")
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"`generator` must be a torch.Generator; got {type(generator).__name__}. Use "
            "`torch.Generator().manual_seed(0)`."
        )
    if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1):
        raise ValueError(f"`chunk` must be a positive integer or None; got {chunk!r}.")
