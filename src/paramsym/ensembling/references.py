"""π of all members at once, each from reference samples of its own (Appendix I, eq. (112))."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from paramsym.data_dependent import HiddenSpace, Variant
from paramsym.data_dependent.hidden_space import CHANNEL_AXES
from paramsym.data_dependent.requirements import require_finite
from paramsym.data_dependent.runs import Inputs, run
from paramsym.ensembling.together import together

SLICE = 32
"""References whose hidden states are computed at once: few, so that images stay in the cache."""
ENTRIES = 2**20
"""Entries of hidden states of members that σ is evaluated on at once."""

_SolverError = torch.linalg.LinAlgError  # pyright: ignore[reportPrivateImportUsage]


@final
@dataclass(frozen=True, eq=False)
class References:
    """Reference samples of every member.

    Attributes:
        pool: The data they are of, a tuple of tensors with samples along the first axis.
        index: Which of them, `[members, k]`; different ones within a member.
    """

    pool: Inputs
    index: Tensor

    def take(self, index: Tensor) -> Inputs:
        """The samples of these numbers."""
        return tuple(x[index.to(x.device)] if isinstance(x, Tensor) else x for x in self.pool)


def pool_size(pool: object) -> int:
    """Number of samples.

    Raises:
        TypeError: If it is no tuple with a tensor.
        ValueError: If its tensors differ in their first axis, or are not finite.
    """
    tensors = [x for x in pool if isinstance(x, Tensor)] if isinstance(pool, tuple) else []
    if not tensors:
        raise TypeError(
            "`references` must be a tuple of the model's arguments, with samples along their first "
            f"axis; got {type(pool).__name__}. Use `(images,)`."
        )
    sizes = {x.shape[0] if x.ndim else 0 for x in tensors}
    if len(sizes) > 1 or 0 in sizes:
        shapes = [list(x.shape) for x in tensors]
        raise ValueError(f"`references` must hold the same samples in every tensor; got {shapes}.")
    for x in tensors:
        if x.is_floating_point():
            require_finite("references", x)
    return sizes.pop()


@torch.no_grad()
def draw_references(
    space: HiddenSpace,
    pool: Inputs,
    members: int,
    samples: int | None,
    generator: torch.Generator,
    *,
    at_most: bool,
) -> References:
    """k references for each member, drawn without replacement; members may share some.

    Args:
        space: The hidden space.
        pool: What to draw from.
        members: How many members.
        samples: k; by default as many as give h hidden states, the most that GL(h) can keep.
        generator: Source of randomness.
        at_most: Whether more hidden states than h are an error.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If there are too few references, or too many for h.
    """
    size, h = pool_size(pool), space.width
    each = _states_of_one(space, pool, size)
    if samples is None:
        samples = max(1, h // each)
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"`samples` must be a positive integer; got {samples!r}.")
    if at_most and samples * each > h:
        states = "" if each == 1 else f" of {each} hidden states each"
        raise ValueError(
            f"`samples` must be at most {h // each} here: GL({h}) keeps the outputs at {h} hidden "
            f"states, not more (Lemma D.6); got {samples} samples{states}. Take fewer, or the kind "
            "'pinv' or 'minimal', which are then least squares."
        )
    if samples > size:
        raise ValueError(
            f"`references` must hold at least the {samples} samples that a member takes; it holds "
            f"{size}. Give more, or a smaller `samples`."
        )
    device = generator.device
    orders = [
        torch.randperm(size, generator=generator, device=device)[:samples] for _ in range(members)
    ]
    return References(pool, torch.stack(orders))


@torch.no_grad()
def reader_matrices(
    space: HiddenSpace, g: Tensor, references: References, variant: Variant, *, check: bool
) -> Tensor:
    """π(g_i, Z_i) of every member and reader, `[members, readers, h, h]`, in float64.

    Z are computed in the model's dtype and once for each reference that is used; σ(Z), σ(gZ) and
    all that follows in float64, where the model runs in it (in its own dtype otherwise).

    Args:
        space: The hidden space.
        g: One element a member, `[members, h, h]`.
        references: Samples of each.
        variant: The choice of cocycle.
        check: Also check values: the locus of Lemma D.6.

    Raises:
        ValueError: With `check`, if a member's samples are off the locus.
    """
    z, shape = _hidden_states(space, references, g)
    stacked = torch.cat([z, z @ g.to(z).mT])
    values = _values(space, references, stacked.reshape(-1, *shape))
    matrices = []
    for name, value in values.items():
        before, after = value.chunk(2)
        given = (g.to(z), z, before, after)
        try:
            matrices.append(_pi(variant, *given, check))
        except (ValueError, _SolverError) as error:
            bad = [i for i in range(len(g)) if not _exists(variant, given, i, check)]
            shown = ", ".join(map(str, bad[:10])) + (", …" if len(bad) > 10 else "")
            raise ValueError(
                f"`references` do not do for {len(bad)} of {len(g)} members (members {shown}) at "
                f"reader {name!r}. {error} Fewer `samples` or a smaller `scale` may help too."
            ) from error
    return torch.stack(matrices, 1)


def _pi(
    variant: Variant, g: Tensor, z: Tensor, before: Tensor, after: Tensor, check: bool
) -> Tensor:
    """π(g, Z), from Z, σ(Z) and σ(gZ)."""

    def activation(samples: Tensor) -> Tensor:
        return before if samples is z else after

    pi = variant.reader(g, z, activation, check=check)
    eye = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    return pi.transpose(eye.expand(g.shape))


def _exists(variant: Variant, given: tuple[Tensor, ...], i: int, check: bool) -> bool:
    g, z, before, after = (x[i : i + 1] for x in given)
    try:
        _pi(variant, g, z, before, after, check)
    except (ValueError, _SolverError):
        return False
    return True


def _states_of_one(space: HiddenSpace, pool: Inputs, size: int) -> int:
    """The number of hidden states that readers take for one sample: tokens, pixels, or 1."""
    few = min(2, size)
    params = dict(space.model.named_parameters())
    seen = run(space.model, space.writer, space.readers, params, _first(pool, few))
    if seen.written.shape[0] != few:
        raise ValueError(
            f"`references` must have samples along the first axis of what {space.writer!r} gives; "
            f"{few} samples gave {list(seen.written.shape)}."
        )
    return max(read.numel() // space.width // few for read in seen.read.values())


def _hidden_states(
    space: HiddenSpace, references: References, g: Tensor
) -> tuple[Tensor, tuple[int, ...]]:
    """Z of every member, `[members, states, h]`, and the shape `[k, …, h]` they have in a run."""
    used, place = references.index.unique(return_inverse=True)
    params = dict(space.model.named_parameters())
    parts = [
        run(space.model, space.writer, space.readers, params, references.take(part)).written
        for part in used.split(SLICE)
    ]
    written = torch.cat(parts).movedim(_axis(space, space.writer), -1).to(g)
    z = written[place.to(written.device)]
    return z.flatten(1, -2), tuple(z.shape[1:])


def _values(space: HiddenSpace, references: References, z: Tensor) -> dict[str, Tensor]:
    """σ(Z) of every reader, `[rows, states, h]`, for Z `[rows, k, …, h]`.

    What a reader takes depends on the writer alone, so that any k inputs do, and what is in front
    of the writer is not run for each row.
    """
    model, k = space.model, z.shape[1]
    axes = {name: _axis(space, name) for name in (space.writer, *space.readers)}
    params, inputs = _in_float64(space, _first(references.pool, k))

    def one(written: Tensor) -> Tensor:
        read = run(model, space.writer, space.readers, params, inputs, written=written).read
        rows = [read[n].movedim(axes[n], -1).reshape(-1, space.width) for n in space.readers]
        counts[:] = [len(row) for row in rows]
        return torch.cat(rows)

    counts: list[int] = []
    dtype = next((p.dtype for p in params.values() if p.is_floating_point()), z.dtype)
    written = z.to(dtype).movedim(-1, axes[space.writer])
    parts = written.split(max(1, ENTRIES // written[0].numel()))
    values = torch.cat([together(one, part) for part in parts]).to(z)
    return dict(zip(space.readers, values.split(counts, 1), strict=True))


def _in_float64(space: HiddenSpace, inputs: Inputs) -> tuple[dict[str, Tensor], Inputs]:
    """Parameters, buffers and inputs in float64, if the model runs in it."""
    model = space.model
    own: dict[str, Tensor] = {**dict(model.named_buffers()), **dict(model.named_parameters())}
    exact = {name: _double(tensor) for name, tensor in own.items()}
    doubled = tuple(_double(x) for x in inputs)
    try:
        run(model, space.writer, space.readers, exact, _first(doubled, 1))
    except RuntimeError:  # layers that insist on a dtype of their own
        return own, inputs
    return exact, doubled


def _axis(space: HiddenSpace, name: str) -> int:
    return CHANNEL_AXES[type(space.model.get_submodule(name))]


def _first(pool: Inputs, count: int) -> Inputs:
    return tuple(x[:count] if isinstance(x, Tensor) else x for x in pool)


def _double(x: Any) -> Any:
    return x.detach().double() if isinstance(x, Tensor) and x.is_floating_point() else x
