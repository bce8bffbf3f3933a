"""Ensembles: many members from one model, evaluated together."""

from collections.abc import Iterator
from typing import Any, final

import torch
from torch import Tensor, nn

from paramsym.data_dependent.runs import Inputs
from paramsym.ensembling.moves import Moves, call_all, largest_output
from paramsym.ensembling.voting import vote

CACHED = 2**18
"""Entries of the largest tensor that is computed at once, unless `chunk` is given."""
LARGEST = 2**24
"""The same for one sample: more members than that are evaluated in slices."""


@final
class Ensemble(nn.Module):
    """Members made from one model by a group action. Make it by `ensemble`.

    The model's parameters are shared by all members, stay its own and trainable; held for each
    member are its group element and what readers are multiplied by. Members are evaluated together,
    in slices (see `ensemble`, `chunk`). Gradients flow to the inputs and to the model's parameters.

    Attributes:
        model: The model.
        members: How many members.
        kind: How they were made.
        scale: ε.
        condition: cond(g), `[members]`, float64: rounding errors grow with it.
        references: Which references each member took, `[members, k]`, or `None`.
        chunk: Most pairs of a member and a sample that are evaluated at once, or `None`.
    """

    condition: Tensor
    references: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        moves: Moves,
        *,
        kind: str,
        scale: float,
        condition: Tensor,
        references: Tensor | None = None,
        chunk: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.moves = model, moves
        self.members, self.kind, self.scale, self.chunk = moves.members, kind, scale, chunk
        self.register_buffer("condition", condition)
        self.register_buffer("references", references)
        self.training = model.training
        self._sizes: dict[tuple[Any, ...], tuple[int, bool]] = {}

    def forward(self, *inputs: Any) -> Tensor:
        """The outputs of every member, `[members, *shape]`: logits `[members, batch, classes]`.

        Raises:
            TypeError: If the model gives no tensor.
            ValueError: If the model is in a mode in which its symmetry does not hold.
        """
        self.moves.require_mode(self.model)
        by_member, by_sample = self._steps(inputs)
        params = dict(self.model.named_parameters())
        rows = []
        for start in range(0, self.members, by_member):
            state = self.moves.state(params, slice(start, start + by_member))
            parts = [call_all(self.moves, self.model, state, x) for x in _cut(inputs, by_sample)]
            rows.append(parts[0] if len(parts) == 1 else torch.cat(parts, 1))
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def predict(self, *inputs: Any, by: str = "mode") -> Tensor:
        """The class of every sample, `[batch]`, int64, as the members vote; see `vote`."""
        with torch.no_grad():
            return vote(self(*inputs), by)

    def member(self, i: int) -> dict[str, Tensor]:
        """The parameters of one member, by the model's names; those not moved are the model's own.

        Raises:
            IndexError: If there is no member i.
        """
        if not -self.members <= i < self.members:
            raise IndexError(f"member {i} of {self.members}")
        return self.moves.member(dict(self.model.named_parameters()), i)

    def extra_repr(self) -> str:
        return f"members={self.members}, kind={self.kind!r}, scale={self.scale:g}"

    def _steps(self, inputs: Inputs) -> tuple[int, int]:
        """How many members, and how many samples, are evaluated at once."""
        samples = _common_length(inputs)
        entries, divisible = self._size(inputs, samples)
        pairs = max(1, LARGEST // entries) if self.chunk is None else self.chunk
        if not divisible:
            return max(1, pairs // samples), samples
        by_member = min(pairs, self.members)
        if self.chunk is None:
            pairs = max(by_member, CACHED // entries)
        return by_member, pairs // by_member

    def _size(self, inputs: Inputs, samples: int) -> tuple[int, bool]:
        """Entries of the largest tensor a pair; whether samples may be evaluated in slices."""
        shapes = [(x.shape[samples > 1 :], x.dtype) for x in _tensors(inputs)]
        key = (self.model.training, samples > 1, *shapes)
        if key not in self._sizes:
            if not self.model.training and samples > 1:
                found = self._tried(inputs, samples)
                if found is not None:
                    self._sizes[key] = (found, True)
                    return self._sizes[key]
            entries, out = largest_output(self.model, inputs, self.moves.writer)
            if not isinstance(out, Tensor):
                raise TypeError(
                    f"`model` must give one tensor, of logits; it gives {type(out).__name__}. "
                    "Wrap it in a module that does."
                )
            self._sizes[key] = (-(-entries // samples), False)
        return self._sizes[key]

    def _tried(self, inputs: Inputs, samples: int) -> int | None:
        """Entries of the largest tensor a pair, if the first axis is one of independent samples.

        It is if the first and the last give together what each gives alone, to rounding. Otherwise
        (sequences along the first axis, inputs that are one sample) nothing may be cut.
        """
        ends = [_part(inputs, slice(0, 1)), _part(inputs, slice(samples - 1, samples))]
        both = tuple(
            torch.cat([a, b]) if isinstance(a, Tensor) else a for a, b in zip(*ends, strict=True)
        )
        try:
            entries, out = largest_output(self.model, both, self.moves.writer)
            alone = [largest_output(self.model, end, self.moves.writer)[1] for end in ends]
            slack = 1000 * torch.finfo(out.dtype).eps * out.abs().max()
            gap = (out - torch.cat(alone)).abs()
            independent = out.shape[:1] == (2,) and bool((gap <= slack).all())
        except Exception:  # raised again on the whole, if it is the model's own
            return None
        return max(1, -(-entries // 2)) if independent else None


def _tensors(inputs: Inputs) -> list[Tensor]:
    return [x for x in inputs if isinstance(x, Tensor)]


def _common_length(inputs: Inputs) -> int:
    """The length of the first axis of all tensors; 1 where they do not share it."""
    lengths = {x.shape[0] if x.ndim else 0 for x in _tensors(inputs)}
    return max(1, lengths.pop()) if len(lengths) == 1 else 1


def _part(inputs: Inputs, part: slice) -> Inputs:
    return tuple(x[part] if isinstance(x, Tensor) else x for x in inputs)


def _cut(inputs: Inputs, step: int) -> Iterator[Inputs]:
    length = _common_length(inputs)
    if length <= step:
        yield inputs
        return
    for start in range(0, length, step):
        yield _part(inputs, slice(start, start + step))
