"""Terms: what a translation of a hidden space adds to parameters.

A term is plain data, one contraction; `action` gives it its meaning.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from paramsym.sharded import here, is_sharded, joined, part_of, whole


@final
@dataclass(frozen=True)
class Slot:
    """A rectangular block of a parameter, or of the parameter in another shape.

    Attributes:
        parameter: Canonical name.
        block: For every axis `(start, stop)`, or `None` for the whole axis; `()` for the whole.
        view: Shape in which the axes are counted, as the heads of a fused projection need; `()` for
            the parameter's own.
    """

    parameter: str
    block: tuple[tuple[int, int] | None, ...] = ()
    view: tuple[int, ...] = ()

    def read(self, params: Mapping[str, Tensor]) -> Tensor:
        tensor = whole(params[self.parameter])
        tensor = tensor.reshape(self.view) if self.view else tensor
        return tensor[tuple(slice(*b) if b else slice(None) for b in self.block)]

    def add(self, tensor: Tensor, change: Tensor) -> Tensor:
        """`tensor` plus `change` in the block; a new tensor."""
        padding: list[int] = []
        shape = self.view or tensor.shape
        for size, b in zip(shape, self._bounds(shape), strict=True):
            padding = [b[0], size - b[1], *padding]
        if any(padding):
            change = torch.nn.functional.pad(change, padding)
        change = change.reshape(tensor.shape)
        if is_sharded(tensor):
            return joined(tensor.to_local() + part_of(change, tensor), tensor)
        return tensor + change

    def within(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the block in a parameter of this shape.

        Raises:
            ValueError: If the block is not inside, or the view has another number of entries.
        """
        if self.view:
            if math.prod(self.view) != math.prod(shape):
                raise ValueError(
                    f"the view {self.view} of {self.parameter!r} must have as many entries as its "
                    f"shape; got shape {tuple(shape)}."
                )
            shape = self.view
        bounds = self._bounds(shape) if len(self.block) in (0, len(shape)) else []
        inside = all(0 <= a <= b <= size for (a, b), size in zip(bounds, shape, strict=False))
        if len(bounds) != len(shape) or not inside:
            raise ValueError(
                f"block {self.block} is not inside {self.parameter!r} of shape {shape}."
            )
        return tuple(stop - start for start, stop in bounds)

    def _bounds(self, shape: tuple[int, ...]) -> list[tuple[int, int]]:
        block = self.block or (None,) * len(shape)
        return [b or (0, size) for b, size in zip(block, shape, strict=True)]


@final
@dataclass(frozen=True)
class Source:
    """What a term reads: (entry + offset)^power, power 1, −1 or −½.

    Attributes:
        slot: The entries. It must have a view if they are not those of a parameter.
        power: The power; −½ makes the inverse of a deviation of a variance.
        offset: Number added before.
        values: Entries of a constant of the model, such as the running statistics of a batch norm
            in evaluation, which then is what `slot` names; `None` for a parameter. Empty where
            they were not known, on the meta device.
    """

    slot: Slot
    power: float = 1
    offset: float = 0.0
    values: tuple[float, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.power not in (1, -1, -0.5):
            raise ValueError(
                f"the source {self.slot.parameter!r} must have power 1, -1 or -0.5; "
                f"got {self.power}."
            )
        size = None if self.values is None else math.prod(self.slot.view)
        if self.values and size != len(self.values):
            raise ValueError(
                f"the constant {self.slot.parameter!r} must have as many values as its view "
                f"{self.slot.view}; got {len(self.values)}."
            )

    @property
    def is_constant(self) -> bool:
        """Whether it is no parameter."""
        return self.values is not None

    @cached_property
    def _constant(self) -> Tensor:
        if not self.values:
            raise ValueError(
                f"the action reads {self.slot.parameter!r}, whose values were not known on the "
                "meta device. Discover the symmetry of a model with values."
            )
        return torch.tensor(self.values, dtype=torch.float64)

    def read(self, params: Mapping[str, Tensor]) -> Tensor:
        if self.is_constant:
            value = self.slot.read({self.slot.parameter: self._constant})
        else:
            value = self.slot.read(params)
        value = value + self.offset if self.offset else value
        if self.power == 1:
            return value
        return value.reciprocal() if self.power == -1 else value.rsqrt()

    def shape(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
        """Shape of what is read, for parameters of these shapes."""
        whole = self.slot.view if self.is_constant else shapes[self.slot.parameter]
        return self.slot.within(whole)


@final
@dataclass(frozen=True)
class Term:
    """`target += coefficient · contraction(translation, sources)`.

    Attributes:
        target: What is shifted.
        equation: As for `einsum`; the first operand is the translation, of the group's shape, the
            others are the sources. Letters of the result that no operand has are broadcast:
            `"i->oi"` adds the translation to every row.
        sources: What the contraction reads, parameters at the moment the term runs.
        coefficient: A number.
        view: Shape in which the equation sees the translation; `()` for the group's own.
    """

    target: Slot
    equation: str
    sources: tuple[Source, ...] = ()
    coefficient: float = 1.0
    view: tuple[int, ...] = ()

    @property
    def reads(self) -> frozenset[str]:
        """Names of the parameters that it reads."""
        return frozenset(s.slot.parameter for s in self.sources if not s.is_constant)

    @cached_property
    def _letters(self) -> tuple[list[str], str]:
        inputs, output = self.equation.split("->")
        return inputs.split(","), output

    def require_shapes(
        self, translation: tuple[int, ...], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        """Raise unless the equation fits the translation, the sources and the target.

        Raises:
            ValueError: If operands, letters, blocks or sizes differ.
        """
        where = f"the term {self.equation!r} on {self.target.parameter!r}"
        inputs, output = self._letters
        if len(inputs) != 1 + len(self.sources):
            raise ValueError(
                f"{where} must name the translation and {len(self.sources)} sources; "
                f"got {len(inputs)} operands."
            )
        if self.view and math.prod(self.view) != math.prod(translation):
            raise ValueError(
                f"{where} must view the translation, of shape {translation}, in a shape with as "
                f"many entries; got {self.view}."
            )
        operands = [
            self.view or translation,
            *(source.shape(shapes) for source in self.sources),
        ]
        target = self.target.within(shapes[self.target.parameter])
        sizes: dict[str, int] = {}
        for letters, shape in zip([*inputs, output], [*operands, target], strict=True):
            fits = len(letters) == len(shape) and all(
                sizes.setdefault(x, size) == size for x, size in zip(letters, shape, strict=True)
            )
            if not fits:
                raise ValueError(f"{where}: {letters!r} does not fit shape {shape} there.")

    def change(self, translation: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """What the term adds to its block of the target."""
        inputs, output = self._letters
        given = "".join(inputs)
        kept = "".join(letter for letter in output if letter in given)
        target = params[self.target.parameter]
        like = here(target)
        sources = [source.read(params).to(like) for source in self.sources]
        translation = translation.to(like)
        translation = translation.reshape(self.view) if self.view else translation
        value = torch.einsum(f"{','.join(inputs)}->{kept}", translation, *sources)
        spread = value[tuple(slice(None) if x in given else None for x in output)]
        return (self.coefficient * spread).expand(self.target.within(target.shape))

    def adjoint(self, covector: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """The translation's share of ⟨covector, change⟩, shaped like the translation."""
        inputs, output = self._letters
        if covector.dtype.itemsize < 4:
            covector = covector.float()  # sums over many entries, as in every moment
        sources = [source.read(params).to(covector) for source in self.sources]
        given = "".join([output, *inputs[1:]])
        kept = "".join(letter for letter in inputs[0] if letter in given)
        equation = f"{','.join([output, *inputs[1:]])}->{kept}"
        value = self.coefficient * torch.einsum(equation, covector, *sources)
        # A letter of the translation that the term sums over: every entry has the same share.
        value = value[tuple(slice(None) if x in given else None for x in inputs[0])]
        return value.expand(self.view).flatten() if self.view else value
