"""The data-dependent action on a hidden space of any model, at a reference batch.

A hidden space lies between a layer that writes to it (V, b) and those that read from it (U), found
by name. What the model computes in between, z ↦ σ(z), is not analysed: the model is run with the
writer's output replaced, and what reaches a reader is its σ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn

from paramsym.data_dependent.batch import QR
from paramsym.data_dependent.cocycle import Activation, Variant
from paramsym.data_dependent.requirements import require_float, require_square
from paramsym.data_dependent.runs import Inputs, Run, run

CHANNEL_AXES: dict[type[nn.Module], int] = {
    nn.Linear: -1,
    nn.Conv1d: -2,
    nn.Conv2d: -3,
    nn.Conv3d: -4,
}
"""The layers that may write to a hidden space and read from it, and their axis of features."""


@final
@dataclass(frozen=True, eq=False)
class HiddenSpace:
    """The space R^h between a writer and its readers. Make it by `hidden_space`.

    Attributes:
        model: The model; its parameters and buffers are never changed.
        writer: Name of the layer that gives z = Vx + b.
        readers: Names of all layers that take a function of z. Each has a σ of its own.
        width: h, the number of features or channels.
    """

    model: nn.Module = field(repr=False)
    writer: str
    readers: tuple[str, ...]
    width: int

    def hidden(
        self, params: Mapping[str, Tensor], inputs: Inputs, reader: str | None = None
    ) -> tuple[Tensor, Activation]:
        """The hidden states z `[k, h]` at the inputs, and σ on such tensors.

        k counts everything but the features: batch times tokens in a transformer, batch times
        pixels behind a convolution.

        Args:
            params: `dict(model.named_parameters())`.
            inputs: A tuple of the model's arguments.
            reader: Whose σ; by default that of the first.

        Raises:
            ValueError: If the reader is none of this space.
        """
        reader = self.readers[0] if reader is None else reader
        if reader not in self.readers:
            raise ValueError(f"`reader` must be one of {list(self.readers)}; got {reader!r}.")
        seen = self._run(params, inputs)
        axis = self._axis(self.writer)
        like = seen.written.movedim(axis, -1)

        def activation(z: Tensor) -> Tensor:
            written = z.to(like).reshape(like.shape).movedim(-1, axis)
            read = self._run(params, inputs, written).read[reader]
            return self._rows(read, reader).to(z)

        return self._rows(seen.written, self.writer), activation

    def act(
        self,
        g: Tensor,
        params: Mapping[str, Tensor],
        inputs: Inputs,
        variant: Variant | None = None,
        *,
        check: bool = False,
    ) -> dict[str, Tensor]:
        """The parameters moved by g, with which the outputs at `inputs` are the same.

        V, b ↦ gV, gb and U ↦ U π(g, Z), with Z the hidden states at `inputs` (eq. (7), (112)); on
        the channels of convolutions at every pixel. A pure function of g and the parameters,
        differentiable as the variant is. It computes in the model's dtype, and in float32 for
        models in half precision.

        Args:
            g: An invertible matrix `[h, h]`.
            params: `dict(model.named_parameters())`.
            inputs: The reference batch, a tuple of the model's arguments.
            variant: The choice of cocycle, by default `QR()`.
            check: Also check values, as `Variant.cocycle`.

        Returns:
            A new dict; all but V, b and U are the same tensors.

        Raises:
            ValueError: If a shape does not fit, a reader takes more than h samples and the variant
                cannot take them, or with `check` a value does not fit.
        """
        self._require_element(g, params)
        return self._moved(g, self._reader_matrices(g, params, inputs, variant, check), params)

    def freeze(self, g: Tensor, inputs: Inputs, variant: Variant | None = None) -> "FrozenAction":
        """The model moved by g with π fixed at a reference batch, for fresh inputs.

        On a batch with k ≤ h samples of its own, the recomputed π would give the old model back.
        Values are checked. Arguments and errors as `act`.
        """
        params = dict(self.model.named_parameters())
        self._require_element(g, params)
        with torch.no_grad():
            pi = self._reader_matrices(g, params, inputs, variant, check=True)
        return FrozenAction(self, g, pi)

    def _run(
        self, params: Mapping[str, Tensor], inputs: Inputs, written: Tensor | None = None
    ) -> Run:
        return run(self.model, self.writer, self.readers, params, inputs, written=written)

    def _axis(self, name: str) -> int:
        return CHANNEL_AXES[type(self.model.get_submodule(name))]

    def _rows(self, x: Tensor, name: str) -> Tensor:
        return x.movedim(self._axis(name), -1).reshape(-1, self.width)

    def _reader_matrices(
        self,
        g: Tensor,
        params: Mapping[str, Tensor],
        inputs: Inputs,
        variant: Variant | None,
        check: bool,
    ) -> Tensor:
        """π for every reader, `[readers, h, h]`."""
        variant = QR() if variant is None else variant
        matrices = []
        for reader in self.readers:
            z, activation = self.hidden(params, inputs, reader)
            z = z.to(torch.promote_types(z.dtype, torch.float32))
            pi = variant.reader(g.to(z), z, activation, check=check)
            matrices.append(pi.matrix(z, self.width))
        return torch.stack(matrices)

    def _moved(self, g: Tensor, pi: Tensor, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        moved, g = dict(params), g.to(pi)
        weight, bias = f"{self.writer}.weight", f"{self.writer}.bias"
        old = params[weight]
        moved[weight] = (g @ old.flatten(1).to(pi)).reshape(old.shape).to(old)
        if bias in moved:
            moved[bias] = (g @ params[bias].to(pi)).to(params[bias])
        for reader, matrix in zip(self.readers, pi, strict=True):
            old = params[f"{reader}.weight"]
            turned = old.movedim(1, -1).to(pi) @ matrix
            moved[f"{reader}.weight"] = turned.movedim(-1, 1).to(old)
        return moved

    def _require_element(self, g: Tensor, params: Mapping[str, Tensor]) -> None:
        require_float("g", g)
        require_square(g, self.width, f"{self.writer!r} writes to R^{self.width}")
        if g.ndim != 2:
            raise ValueError(
                f"`g` must be one matrix [h, h]; got shape {list(g.shape)}. "
                "Use `torch.func.vmap` over several."
            )
        expected = dict(self.model.named_parameters())
        for name, own in expected.items():
            if name not in params or params[name].shape != own.shape:
                got = f"shape {list(params[name].shape)}" if name in params else "nothing"
                raise ValueError(
                    f"`params` must hold {name!r} with shape {list(own.shape)}; got {got}. "
                    "Pass `dict(model.named_parameters())`."
                )


@final
class FrozenAction(nn.Module):
    """A model moved by g, with π = c(g, Z_ref)⁻¹ of a reference batch (Appendix I).

    The model's parameters stay its own, and trainable; every forward run moves them by the buffers
    `g` and `pi`.

    Args:
        space: The hidden space.
        g: The matrix `[h, h]`.
        pi: What each reader is multiplied by, `[readers, h, h]`.
    """

    g: Tensor
    pi: Tensor

    def __init__(self, space: HiddenSpace, g: Tensor, pi: Tensor) -> None:
        super().__init__()
        self.model = space.model
        self._space = space
        self.register_buffer("g", g.detach().clone().to(pi))
        self.register_buffer("pi", pi.detach().clone())

    def moved(self) -> dict[str, Tensor]:
        """The moved parameters, as a dict with the model's own names."""
        return self._space._moved(self.g, self.pi, dict(self.model.named_parameters()))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return torch.func.functional_call(self.model, self.moved(), inputs, named)
