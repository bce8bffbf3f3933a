"""Rows of the Jacobian ∂outputs/∂θ of a recorded model, at many fresh inputs."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor
from torch.func import grad, vmap

from paramsym.certification.inputs import Inputs
from paramsym.discovery.recording import Recording, rejected
from paramsym.discovery.replaying import replay

CHUNK = 128
"""Rows that are computed at a time."""

Params = dict[str, Tensor]


@final
@dataclass
class Jacobian:
    """Rows wᵀ ∂F(θ, x)/∂θ, each with inputs x and a covector w of all outputs of its own.

    Random covectors lose no direction: v is flat if and only if every such row is orthogonal to it,
    but for a set of measure zero (docs/derivations.md §23). A row costs one pass forward and back.

    Attributes:
        recording: The run, with normalisations already without their ε.
        inputs: Where x comes from.
        within: The parameters that make up θ, if not all that outputs depend on; the others stay.
        sizes: Number of entries of each parameter that makes up θ, in order.
        is_batched: Whether rows are computed many at a time; not once an op turned out not to allow
            it.
    """

    recording: Recording
    inputs: Inputs
    within: frozenset[str] | None = None
    sizes: Mapping[str, int] = field(init=False)
    is_batched: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        unused = set(self.recording.unused)
        self.sizes = {
            p.name: p.numel
            for p in self.recording.parameters
            if p.is_real and p.name not in unused
            if self.within is None or p.name in self.within
        }

    @property
    def dim(self) -> int:
        """The number of parameters d."""
        return sum(self.sizes.values())

    def flatten(self, values: Mapping[str, Tensor], lead: int = 0) -> Tensor:
        """Values of θ's parameters as vectors `[..., d]`, after `lead` leading axes."""
        parts = [values[name] for name in self.sizes]
        return torch.cat([x.reshape(*x.shape[:lead], -1) for x in parts], lead)

    def unflatten(self, vectors: Tensor) -> dict[str, Tensor]:
        """Vectors `[k, d]` as parameters `[k, *shape]`."""
        parts = vectors.split(list(self.sizes.values()), 1)
        shapes = {p.name: p.shape for p in self.recording.parameters}
        return {
            name: part.reshape(len(vectors), *shapes[name])
            for name, part in zip(self.sizes, parts, strict=True)
        }

    def rows(
        self, params: Mapping[str, Tensor], count: int, seed: int, columns: Tensor | None = None
    ) -> Tensor:
        """Rows at fresh inputs, `[count, d]`, or of some of its columns; the same for one seed.

        Raises:
            ValueError: If outputs or derivatives are not finite, or there are no real outputs.
        """
        width = self.dim if columns is None else len(columns)
        rows = torch.empty(count, width, dtype=torch.float64)
        generator = torch.Generator().manual_seed(seed)
        for start in range(0, count, CHUNK):
            # Chunks are equal, so that a row does not depend on how many are asked for.
            part = self._chunk(params, CHUNK, generator, seed + start)[: count - start]
            rows[start : start + len(part)] = part if columns is None else part[:, columns]
        if not bool(torch.isfinite(rows).all()):
            raise ValueError(
                "the derivative of the model's outputs is not finite at these parameters and "
                "inputs. Look for square roots, norms or divisions at zero, or pass a sampler "
                "`inputs` that stays in the model's domain."
            )
        return rows

    def _chunk(
        self, params: Mapping[str, Tensor], count: int, generator: torch.Generator, seed: int
    ) -> Tensor:
        theta = {name: params[name] for name in self.sizes}
        rest = {name: p for name, p in params.items() if name not in theta}
        inputs = self.inputs.draw(count, generator)
        shapes = [self.recording.shapes[i] for i in self.recording.outputs]
        weights = [
            torch.randn(count, 2, *shape, generator=generator, dtype=torch.float64)
            for shape in shapes
        ]
        # Where an op writes to a constant (batch norm to its statistics), every row has its own.
        written = {i for record in self.recording.records for i in record.mutates}
        constants = {
            i: c.expand(count, *c.shape)
            for i, c in self.recording.constants.items()
            if i in written
        }

        def pairing(
            theta: Params, xs: dict[int, Tensor], ws: list[Tensor], own: dict[int, Tensor]
        ) -> Tensor:
            run = self.recording
            run = replace(run, constants={**run.constants, **own}) if own else run
            return _pair(replay(run, {**rest, **theta}, xs, seed=seed), ws)

        with _quietly():
            if self.is_batched:
                try:
                    every = vmap(grad(pairing), in_dims=(None, 0, 0, 0), randomness="different")
                    return self.flatten(every(theta, inputs, weights, constants), 1)
                except (RuntimeError, NotImplementedError):
                    self.is_batched = False
            return self._one_by_one(pairing, theta, inputs, weights, constants)

    def _one_by_one(self, pairing, theta, inputs, weights, constants) -> Tensor:
        leaves = {name: p.detach().clone().requires_grad_() for name, p in theta.items()}
        rows: list[Tensor] = []
        for k in range(len(weights[0])):
            own, held = ({i: x[k] for i, x in given.items()} for given in (inputs, constants))
            try:
                with torch.enable_grad():
                    value = pairing(leaves, own, [w[k] for w in weights], held)
                    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
            except RuntimeError as error:
                raise rejected(own.values(), error) from error
            filled = (
                torch.zeros_like(p) if g is None else g
                for g, p in zip(found, leaves.values(), strict=True)
            )
            rows.append(torch.cat([g.flatten() for g in filled]))
        return torch.stack(rows)


def _pair(outputs: list[Tensor], weights: list[Tensor]) -> Tensor:
    """⟨w, F⟩ over all outputs that are numbers; complex ones are pairs of real ones."""
    total = weights[0].new_zeros(())
    for y, w in zip(outputs, weights, strict=True):
        if y.is_complex():
            total = total + (w[0] * y.real + w[1] * y.imag).sum()
        elif y.is_floating_point():
            total = total + (w[0] * y).sum()
    return total


@contextmanager
def _quietly() -> Iterator[None]:
    """Without torch's notes on ops that it batches slowly."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        yield
