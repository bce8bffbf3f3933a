"""Fresh inputs of a recorded model: every token, every scale, masks as they were given."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
import torch.utils._pytree as pytree
from torch import Tensor

from paramsym.discovery.recording import Recording, Ref
from paramsym.discovery.replaying import widen

InputSampler = Callable[[torch.Generator], Any]
"""Draws one set of inputs: a tuple like `args`, a single tensor where there is one input, or a pair
(args, kwargs)."""

_KEEPS_VALUES = frozenset(
    (
        *("alias", "clone", "contiguous", "detach", "lift_fresh_copy", "to", "_to_copy"),
        *("expand", "flatten", "permute", "reshape", "select", "slice", "squeeze", "t"),
        *("transpose", "unbind", "unsqueeze", "view", "_unsafe_view"),
    )
)
"""Ops whose results hold numbers of their first argument and nothing else."""

_LOOKS_UP = {"embedding": ("weight", "indices"), "index_select": ("self", "index")}
"""Ops that take rows of a table: the names of the table and of the row numbers."""


@final
@dataclass(frozen=True)
class Inputs:
    """Where the inputs of a recorded model come from.

    Attributes:
        recording: The run, with the inputs of which it was made.
        sampler: The user's own source; `None` for the rule below.

    Without a sampler, real inputs are normal, at a scale that varies from draw to draw
    (log-normal); integers that number the rows of a table are uniform over its rows; everything
    else (masks, positions that are computed with, labels) stays as it was given.
    """

    recording: Recording
    sampler: InputSampler | None = None

    def draw(self, count: int, generator: torch.Generator) -> dict[int, Tensor]:
        """`count` draws by value number, stacked along a new first axis; real ones in float64.

        Raises:
                ValueError: If what it returns has other shapes or dtypes than the recorded inputs.
        """
        if self.sampler is not None:
            draws = [self._checked(self.sampler(generator)) for _ in range(count)]
            return {
                i: widen(torch.stack([draw[k] for draw in draws]))
                for k, i in enumerate(self.recording.inputs)
            }
        return {
            i: self._fresh(i, widen(x), count, generator) for i, x in self.recording.inputs.items()
        }

    def _fresh(self, i: int, x: Tensor, count: int, generator: torch.Generator) -> Tensor:
        shape = (count, *x.shape)
        if i in self.held:
            return x.expand(shape)
        if i in self.vocabularies:
            return torch.randint(self.vocabularies[i], shape, generator=generator, dtype=x.dtype)
        scale = torch.randn(count, *[1] * x.ndim, generator=generator, dtype=torch.float64)
        normal = torch.randn(shape, generator=generator, dtype=torch.float64)
        return normal * (scale / 2).exp()

    @cached_property
    def vocabularies(self) -> Mapping[int, int]:
        """Integer input → number of rows of the smallest table that it numbers the rows of."""
        origin = {i: i for i, x in self.recording.inputs.items() if _is_integer(x)}
        sizes: dict[int, int] = {}
        for record in self.recording.records:
            if record.op in _KEEPS_VALUES and record.args and isinstance(record.args[0], Ref):
                source = origin.get(record.args[0].id)
                if source is not None:
                    origin.update({i: source for i in record.outputs if i is not None})
            elif record.op in _LOOKS_UP:
                table, rows = operator.itemgetter(*_LOOKS_UP[record.op])(record.bind())
                if isinstance(rows, Ref) and isinstance(table, Ref) and rows.id in origin:
                    source, size = origin[rows.id], self.recording.shapes[table.id][0]
                    sizes[source] = min(size, sizes.get(source, size))
        return sizes

    @cached_property
    def held(self) -> frozenset[int]:
        """Inputs that stay as they were given."""
        return frozenset(
            i
            for i, x in self.recording.inputs.items()
            if (i not in self.vocabularies and not x.is_floating_point()) or _is_mask(x)
        )

    def _checked(self, drawn: Any) -> list[Tensor]:
        leaves = [x for x in pytree.tree_leaves(drawn) if isinstance(x, Tensor)]
        expected = list(self.recording.inputs.values())
        got, wanted = ([_described(x) for x in xs] for xs in (leaves, expected))
        if got != wanted:
            raise ValueError(
                "the sampler `inputs` must return what the model was recorded with, "
                f"{', '.join(wanted)}; got {', '.join(got) or 'no tensor'}. Return a tuple of "
                "tensors like `args`, or a pair (args, kwargs)."
            )
        return leaves


def _described(x: Tensor) -> str:
    kind = "real" if x.is_floating_point() else str(x.dtype).removeprefix("torch.")
    return f"{kind} {tuple(x.shape)}"


def _is_integer(x: Tensor) -> bool:
    return not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)


def _is_mask(x: Tensor) -> bool:
    """Whether real numbers say what to leave out: both zeros and ones, or infinities."""
    if not x.is_floating_point():
        return False
    zero, one = x == 0, x == 1
    return bool((zero.any() & one.any() & (zero | one).all()) | torch.isinf(x).any())


def check_sampler(sampler: object) -> None:
    """Raise unless `inputs` is a function.

    Raises:
        TypeError: If it is something else.
    """
    if sampler is not None and not callable(sampler):
        raise TypeError(
            "`inputs` must be a sampler, a function of a torch.Generator that returns one set of "
            f"inputs like `args`; got {type(sampler).__name__}. Leave it out for random inputs of "
            "the shapes of `args`."
        )
